// gemm, groupedGemm, groupedGemmOuter: all three are lists of products, run by one machine.
//
// A list runs in two steps: pack every operand into panels (gemm.h), then compute every tile of every output. Both are one
// flat list of tasks over all products, so that experts with many rows and experts with few fill the threads
// together and no expert waits for another. A product too large to pack at once is added in pieces.
#include "abi.h"
#include "gemm.h"
#include "gemm_thin.h"
#include "lanes.h"
#include "runtime.h"
#include "simd.h"

namespace CV_ISA {
namespace gemm_ {

constexpr int64_t kDepth = 256;                // k between two touches of the output: a B panel of it lives in L1
constexpr int64_t kTileRows = 16 * MR;         // with kDepth: an A block for half of L2
constexpr int64_t kTileColumns = 256;
constexpr int64_t kTilesWanted = 32;           // a product is cut finer until it feeds this many tasks
constexpr int64_t kPieceFloats = 4 << 20;      // largest packed operand
constexpr int64_t kListFloats = 16 << 20;      // packed floats after which a list runs
constexpr int kListLength = 256;               // and products
constexpr int64_t kPackFloats = 48 << 10;      // floats a packing task
constexpr int64_t kPackDepth = 32;             // k it moves at once; divides kDepth
constexpr double kInlineFlops = 1 << 20;       // 10 microseconds: less is not worth waking a thread

struct Product {
  Operand a, b;  // a by the output's rows, b by its columns
  char* out;
  int64_t m, n, k;

  // Set by List::add.
  bool is_thin;
  int64_t tile_rows, tile_columns;
  float *packed_a, *packed_b, *sums;  // sums: f32 [m, n], where a bf16 output needs more than one kDepth
  int64_t first_pack, first_tile;     // the product's first task in the list

  int64_t panels_a() const { return ceil_div(m, MR); }
  int64_t panels_b() const { return ceil_div(n, NR); }
  int64_t panels_a_task() const { return most(1, kPackFloats / (MR * most(k, 1))); }
  int64_t panels_b_task() const { return most(1, kPackFloats / (NR * most(k, 1))); }
  int64_t pack_tasks_a() const { return is_thin ? 1 : ceil_div(panels_a(), panels_a_task()); }
  int64_t pack_tasks_b() const { return is_thin ? 0 : ceil_div(panels_b(), panels_b_task()); }
  int64_t tiles() const { return ceil_div(m, tile_rows) * ceil_div(n, tile_columns); }
  int64_t floats_a() const { return is_thin ? ceil_div(thin_rows_of(m) * k, 16) * 16 : panels_a() * MR * k; }
  int64_t floats_b() const { return is_thin ? 0 : panels_b() * NR * k; }
};

// out [rows, columns] (+)= sums
[[gnu::noinline]] static void store_sums(const float* sums, int64_t ld_sums, char* out, int64_t ld, bool bf16, bool add, int64_t rows,
                       int64_t columns) {
  for (int64_t i = 0; i < rows; i++, sums += ld_sums) {
    if (bf16) {
      uint16_t* to = (uint16_t*)out + i * ld;
      CV_SHORT for (int64_t j = 0; j < columns; j++) to[j] = f32_to_bf16(add ? bf16_to_f32(to[j]) + sums[j] : sums[j]);
    } else {
      float* to = (float*)out + i * ld;
      CV_SHORT for (int64_t j = 0; j < columns; j++) to[j] = add ? to[j] + sums[j] : sums[j];
    }
  }
}

class List {
 public:
  // Every output has rows `ld` apart. accumulate: out += product.
  List(int64_t ld, bool bf16, bool accumulate) : ld_(ld), bf16_(bf16), accumulate_(accumulate) {}

  [[gnu::noinline]] void add(const Product& whole) {
    int64_t rows = kPieceFloats / most(whole.k, 1) / MR * MR, columns = kPieceFloats / most(whole.k, 1) / NR * NR;
    rows = most(rows, MR), columns = most(columns, NR);
    bool is_thin = whole.m <= kThinRows;
    for (int64_t j = 0; j < whole.n; j += is_thin ? whole.n : columns)
      for (int64_t i = 0; i < whole.m; i += rows) {
        Product piece = whole;
        piece.a.data = whole.a.at(i, 0);
        piece.b.data = whole.b.at(j, 0);
        piece.out = at(whole.out, i, j);
        piece.m = least(rows, whole.m - i);
        piece.n = is_thin ? whole.n : least(columns, whole.n - j);
        piece.is_thin = is_thin;
        add_piece(piece);
      }
  }

  [[gnu::noinline]] void run() {
    if (length_ == 0) return;
    float* memory = (float*)cv::scratch(0, (floats_ + 16) * (int64_t)sizeof(float));
    for (int p = 0; p < length_; p++) {
      Product& product = products_[p];
      product.packed_a = memory, memory += product.floats_a();
      product.packed_b = memory, memory += product.floats_b();
      product.sums = memory, memory += floats_sums(product);
    }
    each(packs_, [this](int64_t task) { pack(task); });
    each(tiles_, [this](int64_t task) { tile(task); });
    length_ = 0, floats_ = packs_ = tiles_ = 0, flops_ = 0;
  }

 private:
  char* at(char* out, int64_t i, int64_t j) const { return out + (i * ld_ + j) * (bf16_ ? 2 : 4); }
  int64_t floats_sums(const Product& p) const {
    return bf16_ && !p.is_thin && p.k > kDepth ? ceil_div(p.m * p.n, 16) * 16 : 0;
  }

  void add_piece(Product& p) {
    p.tile_rows = p.is_thin ? p.m : kTileRows;
    p.tile_columns = kTileColumns;
    while (!p.is_thin && p.tiles() < kTilesWanted && p.tile_columns > 64) p.tile_columns /= 2;
    while (!p.is_thin && p.tiles() < kTilesWanted && p.tile_rows > 4 * MR) p.tile_rows /= 2;
    p.first_pack = packs_, packs_ += p.pack_tasks_a() + p.pack_tasks_b();
    p.first_tile = tiles_, tiles_ += p.tiles();
    floats_ += p.floats_a() + p.floats_b() + floats_sums(p);
    flops_ += 2.0 * p.m * p.n * p.k;
    products_[length_++] = p;
    if (length_ == kListLength || floats_ >= kListFloats) run();
  }

  template <class F>
  void each(int64_t tasks, F f) {
    if (flops_ >= kInlineFlops) return cv::parallel(tasks, f);
    for (int64_t t = 0; t < tasks; t++) f(t);
  }

  // The product that owns a task: the last one whose first task is not past it.
  const Product& owner(int64_t Product::* first, int64_t task) const {
    int low = 0, high = length_;
    while (high - low > 1) {
      int middle = (low + high) / 2;
      (products_[middle].*first <= task ? low : high) = middle;
    }
    return products_[low];
  }

  [[gnu::noinline]] void pack(int64_t task) const {
    const Product& p = owner(&Product::first_pack, task);
    task -= p.first_pack;
    if (p.is_thin) {
      for (int64_t i = 0; i < thin_rows_of(p.m); i++) pack_block<1>(p.a, i, i < p.m ? 1 : 0, 0, p.k, p.packed_a + i * p.k);
    } else if (task < p.pack_tasks_a()) {
      pack_panels<MR>(p.a, p.m, p.k, task * p.panels_a_task(), p.panels_a_task(), p.packed_a);
    } else {
      task -= p.pack_tasks_a();
      pack_panels<NR>(p.b, p.n, p.k, task * p.panels_b_task(), p.panels_b_task(), p.packed_b);
    }
  }

  // Where a panel's part of k from k0 on stands: packed operands are slabs of kDepth, in each one panel after the other, so
  // that what a tile reads between two touches of the output is one piece of memory.
  template <int R>
  static int64_t place(int64_t rows, int64_t k, int64_t i, int64_t k0) {
    return k0 * ceil_div(rows, R) * R + i * least(kDepth, k - k0);
  }

  // By short pieces of k, panel after panel: whichever way the operand lies, the lines it is read from and the panels
  // it is written to stay in L1 until they are done with.
  template <int R>
  static void pack_panels(const Operand& x, int64_t rows, int64_t k, int64_t panel, int64_t panels, float* packed) {
    int64_t end = least(panel + panels, ceil_div(rows, R));
    for (int64_t p = 0; p < k; p += kPackDepth)
      for (int64_t i = panel * R; i < end * R; i += R) {
        float* to = packed + place<R>(rows, k, i, p / kDepth * kDepth) + p % kDepth * R;
        pack_block<R>(x, i, least(R, rows - i), p, least(kPackDepth, k - p), to);
      }
  }

  [[gnu::noinline]] void tile(int64_t task) const {
    const Product& p = owner(&Product::first_tile, task);
    task -= p.first_tile;
    int64_t across = ceil_div(p.n, p.tile_columns);
    int64_t i0 = task / across * p.tile_rows, j0 = task % across * p.tile_columns;
    int64_t rows = least(p.tile_rows, p.m - i0), columns = least(p.tile_columns, p.n - j0);
    if (p.is_thin) return thin_tile(p, j0, columns);
    int64_t k0 = 0;
    do {  // once at least: k may be 0
      tile_block(p, i0, i0 + rows, j0, j0 + columns, k0, least(kDepth, p.k - k0));
      k0 += kDepth;
    } while (k0 < p.k);
    if (p.k > kDepth && bf16_)
      store_sums(p.sums + i0 * p.n + j0, p.n, at(p.out, i0, j0), ld_, true, accumulate_, rows, columns);
  }

  void thin_tile(const Product& p, int64_t j0, int64_t columns) const {
    float sums[kThinRows * kThinColumns];
    multiply_thin(thin_rows_of(p.m), p.packed_a, p.b, j0, p.k, columns, sums);
    store_sums(sums, kThinColumns, at(p.out, 0, j0), ld_, bf16_, accumulate_, p.m, columns);
  }

  // Rows i0-i1 by columns j0-j1 of the output, summed over `depth` of k from k0 on.
  void tile_block(const Product& p, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t k0, int64_t depth) const {
    bool in_sums = bf16_ && p.k > kDepth;
    bool add = k0 > 0 || (accumulate_ && !in_sums);
    for (int64_t j = j0; j < j1; j += NR)
      for (int64_t i = i0; i < i1; i += MR) {
        const float* a = p.packed_a + place<MR>(p.m, p.k, i, k0);
        const float* b = p.packed_b + place<NR>(p.n, p.k, j, k0);
        int64_t rows = least(MR, i1 - i), columns = least(NR, j1 - j);
        float* direct = in_sums ? p.sums + i * p.n + j : (float*)at(p.out, i, j);
        int64_t ld = in_sums ? p.n : ld_;
        if (columns == NR && (in_sums || !bf16_)) {
          MultiplyRows::of[rows](depth, a, b, direct, ld, add);
        } else {
          float edge[MR * NR];
          MultiplyRows::of[rows](depth, a, b, edge, NR, false);
          store_sums(edge, NR, (char*)direct, ld, bf16_ && !in_sums, add, rows, columns);
        }
      }
  }

  int64_t ld_;
  bool bf16_, accumulate_;
  int length_ = 0;
  int64_t floats_ = 0, packs_ = 0, tiles_ = 0;
  double flops_ = 0;
  Product products_[kListLength];
};

CV_INLINE Operand operand(const cv::Buf& x, int64_t skip, int64_t ld, bool k_inner, bool round) {
  bool bf16 = x.dtype() == cv::DType::bf16;
  return {x.as<const char>() + skip * (bf16 ? 2 : 4), ld, k_inner, bf16, round, nullptr};
}

CV_INLINE char* output(const cv::Buf& out, int64_t skip) {
  return out.as<char>() + skip * (out.dtype() == cv::DType::bf16 ? 2 : 4);
}

}  // namespace gemm_

void gemm(const cv::GemmArgs& g) {
  using namespace gemm_;
  int64_t m = g.m, n = g.n, k = g.k;
  List list(n, g.out.dtype() == cv::DType::bf16, g.accumulate);
  for (int64_t i = 0; i < g.batch; i++) {
    Product p{};
    p.a = operand(g.a, i * m * k, g.trans_a ? m : k, !g.trans_a, g.bf16);
    p.b = operand(g.b, i * k * n, g.trans_b ? k : n, g.trans_b, g.bf16);
    p.out = output(g.out, i * m * n);
    p.m = m, p.n = n, p.k = k;
    list.add(p);
  }
  list.run();
}

void grouped_gemm(const cv::GroupedGemmArgs& g) {
  using namespace gemm_;
  int64_t n = g.n, k = g.k, experts = g.experts;
  const int32_t* offsets = g.offsets.i32();
  bool bf16 = g.out.dtype() == cv::DType::bf16;
  List list(n, bf16, false);
  for (int64_t e = 0; e < experts; e++) {
    Product p{};
    p.a = operand(g.x, offsets[e] * k, k, true, g.bf16);
    p.b = operand(g.w, e * n * k, g.trans_w ? k : n, g.trans_w, g.bf16);
    p.out = output(g.out, offsets[e] * n);
    p.m = offsets[e + 1] - offsets[e], p.n = n, p.k = k;
    list.add(p);
  }
  list.run();
  int64_t used = offsets[experts];
  memset(output(g.out, used * n), 0, (size_t)((g.rows - used) * n * (bf16 ? 2 : 4)));
}

void grouped_gemm_outer(const cv::GroupedGemmOuterArgs& g) {
  using namespace gemm_;
  int64_t m = g.m, n = g.n;
  const int32_t* offsets = g.offsets.i32();
  List list(n, g.out.dtype() == cv::DType::bf16, false);
  for (int64_t e = 0; e < g.experts; e++) {
    Product p{};
    p.a = operand(g.a, offsets[e] * m, m, false, g.bf16);
    p.b = operand(g.b, offsets[e] * n, n, false, g.bf16);
    p.out = output(g.out, e * m * n);
    p.m = m, p.n = n, p.k = offsets[e + 1] - offsets[e];
    list.add(p);
  }
  list.run();
}

}  // namespace CV_ISA
