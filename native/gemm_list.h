// A list of products, run as one flat list of tasks, so that experts with many rows and experts with few fill the threads together and
// no expert waits for another.
//
// A task is a tile of one output. It packs its columns of B over the whole of k into memory of its own thread, then walks its rows
// in blocks that stay in L2: nothing packed is ever shared, or waited for.
#pragma once
#include "gemm_thin.h"
#include "gemm_vector.h"
#if CV_TILES || CV_PAIRS
#include "gemm_tile.h"
#endif

namespace CV_ISA {

constexpr int64_t kTileRows = 512;          // rows a task: what a packed column of B is used for
constexpr int64_t kTasksAThread = 8;         // tiles are cut finer until there are that many; at 32 they were 10 % slower (Zen 3)
constexpr int64_t kStripDepth = 2048;       // k packed at once: with a tile's columns 2 MiB, a thread's share of L3
constexpr double kTaskFlops = 1 << 22;       // small products are cut into fewer, but two a thread: each cut packs an operand once more
constexpr int kListLength = 256;            // products after which a list runs
constexpr double kInlineFlops = 1 << 20;    // 10 microseconds: less is not worth waking a thread

// Where rows of results go, f32 or bf16.
struct Output {
  char* data;
  int64_t ld;
  bool bf16;

  explicit operator bool() const { return data != nullptr; }
  float* f32(int64_t i, int64_t j) const { return (float*)data + i * ld + j; }
  uint16_t* h16(int64_t i, int64_t j) const { return (uint16_t*)data + i * ld + j; }
};

CV_INLINE vf read(const Output& o, int64_t i, int64_t j, Whole) {
  return o.bf16 ? load_bf16(o.h16(i, j)) : load(o.f32(i, j));
}
CV_INLINE vf read(const Output& o, int64_t i, int64_t j, Part part) {
  if (!o.bf16) return get(o.f32(i, j), part);
  uint16_t some[W] = {};
  memcpy(some, o.h16(i, j), part.n * 2);
  return load_bf16(some);
}
CV_INLINE void write(const Output& o, int64_t i, int64_t j, vf v, Whole) {
  if (o.bf16) store_bf16(o.h16(i, j), v);
  else store(o.f32(i, j), v);
}
CV_INLINE void write(const Output& o, int64_t i, int64_t j, vf v, Part part) {
  if (!o.bf16) return put(o.f32(i, j), v, part);
  uint16_t some[W];
  store_bf16(some, v);
  memcpy(o.h16(i, j), some, part.n * 2);
}

// What becomes of a finished sum.
enum class Finish {
  store,        // out (+)= sum
  swiglu,       // columns of gate and up: out = silu(gate) * up; both are kept in `saved` [m, 2n], if that is given
  swiglu_grad,  // sum is the gradient of silu(gate) * up, gate and up are read from `saved`: out [m, 2n] = theirs
};

struct Product {
  Operand a, b;  // a by the output's rows, b by its columns
  int64_t m, n, k;  // n: columns of `out`, or n hidden features in SwiGLU: b then holds n gate and n up columns
  Finish finish;
  bool accumulate;
  Output out, saved;

  bool is_paired() const { return finish == Finish::swiglu; }
  bool is_thin() const { return m <= (b.k_inner ? kThinRows : kThinRows / 2) && !b.format; }
};

class List {
 public:
  // rounds: every operand may be rounded to bf16, so that a matrix unit may do the work.
  explicit List(bool rounds) : rounds_(rounds) {}

  void add(const Product& product) {
    if (product.m <= 0 || product.n <= 0) return;
    products_[length_++] = product;
    if (length_ == kListLength) run();
  }

  void run() {
#if CV_TILES || CV_PAIRS
    if (rounds_) return run_on<TileUnit>();
#endif
    run_on<VectorUnit>();
  }

 private:
  // What one unit's tasks work on.
  template <class U>
  struct Memory {
    typename U::Element *a, *b;
    float* sums;
  };

  template <class U>
  [[gnu::noinline]] void run_on() {
    if (length_ == 0) return;
    const double flops = all_flops();
    const int64_t tasks = cut<U>(flops);
    int64_t b = 0, sums = 0;
    for (int p = 0; p < length_; p++) {
      const Product& product = products_[p];
      const int64_t columns = least(tile_columns_, ceil_div(product.n, U::kColumns) * U::kColumns * (product.is_paired() ? 2 : 1));
      if (product.is_thin()) {
        b = most(b, thin_rows_of(product.m) * product.k * (int64_t)sizeof(float));
        continue;
      }
      b = most(b, columns * ceil_div(least(product.k, kStripDepth), U::kStep) * U::kStep * (int64_t)sizeof(typename U::Element));
      sums = most(sums, (product.k > U::kDepth ? tile_rows_ : least(tile_rows_, U::kBlockRows)) * tile_columns_);
    }
    const int64_t a_floats = ceil_div(U::elements_a(U::kBlockRows, U::kDepth) * (int64_t)sizeof(typename U::Element), 64) * 16;
    const int64_t b_floats = ceil_div(b, 64) * 16;
    auto work = [&](float* memory, int64_t task) {
      tile(Memory<U>{(typename U::Element*)memory, (typename U::Element*)(memory + a_floats), memory + a_floats + b_floats}, task);
    };
    const int64_t floats = a_floats + b_floats + sums;
    if (flops >= kInlineFlops) {
      parallel_with_memory(0, tasks, floats, work);
    } else {
      float* memory = (float*)cv::scratch(0, most(1, floats) * sizeof(float));
      for (int64_t t = 0; t < tasks; t++) work(memory, t);
    }
    length_ = 0;
  }

  // Hidden features a paired tile covers are half its columns.
  static int64_t columns_of(const Product& p, int64_t tile_columns) {
    if (p.is_thin()) tile_columns = least(tile_columns, thin_columns_of(p.b, p.k));
    return p.is_paired() ? tile_columns / 2 : tile_columns;
  }

  double all_flops() const {
    double flops = 0;
    for (int p = 0; p < length_; p++)
      flops += 2.0 * products_[p].m * products_[p].n * products_[p].k * (products_[p].is_paired() ? 2 : 1);
    return flops;
  }

  // Chooses the tile. Sums do not depend on it: each is added up in the order of k. @returns the number of tasks
  template <class U>
  int64_t cut(double flops) {
    tile_rows_ = kTileRows, tile_columns_ = U::kTileColumns;
    const int64_t threads = cv::threads();
    const int64_t wanted = threads * most(2, least(kTasksAThread, (int64_t)(flops / threads / kTaskFlops)));
    // Rows that are read as they lie cost nothing when they are read by more tasks.
    const int64_t least_rows = U::takes_as_it_lies(products_[0].a) ? tile_rows_ : kTileRows / 4;
    for (;;) {
      const int64_t tasks = count();
      if (tasks >= wanted) return tasks;
      if (tile_rows_ > least_rows) tile_rows_ /= 2;
      else if (tile_columns_ > most(64, U::kColumns)) tile_columns_ /= 2;
      else if (tile_rows_ > 4 * U::kRows) tile_rows_ /= 2;
      else return tasks;
    }
  }

  // The number of tasks; notes each product's first.
  int64_t count() {
    int64_t tasks = 0;
    for (int p = 0; p < length_; p++) {
      first_[p] = tasks;
      tasks += ceil_div(products_[p].m, tile_rows_) * ceil_div(products_[p].n, columns_of(products_[p], tile_columns_));
    }
    return tasks;
  }

  template <class U>
  [[gnu::noinline]] void tile(const Memory<U>& memory, int64_t task) const {
    int low = 0, high = length_;  // the product that owns the task: the last whose first is not past it
    while (high - low > 1) {
      int middle = (low + high) / 2;
      (first_[middle] <= task ? low : high) = middle;
    }
    const Product& p = products_[low];
    task -= first_[low];
    const int64_t width = columns_of(p, tile_columns_), across = ceil_div(p.n, width);
    const int64_t i0 = task / across * tile_rows_, j0 = task % across * width;
    const int64_t rows = least(tile_rows_, p.m - i0), columns = least(width, p.n - j0);
    if (p.is_thin()) return thin_tile(p, (float*)memory.b, j0, columns);
    U::begin();
    int64_t k0 = 0;
    do {  // once at least: k may be 0
      const int64_t depth = least(kStripDepth, p.k - k0);
      pack_strip<U>(p, j0, columns, k0, depth, memory.b);
      for (int64_t i = 0; i < rows; i += U::kBlockRows)
        rows_block<U>(p, memory, i0, i, least(U::kBlockRows, rows - i), j0, columns, k0, depth);
      k0 += kStripDepth;
    } while (k0 < p.k);
    U::end();
  }

  template <class U>
  static int64_t padded(int64_t depth) { return ceil_div(depth, U::kStep) * U::kStep; }

  // Panels across, of a paired product half of each for gate and half for up.
  template <class U>
  static int64_t panels_of(const Product& p, int64_t columns) {
    return ceil_div(columns, p.is_paired() ? U::kColumns / 2 : U::kColumns);
  }

  // All panels of a tile's columns, k from k0 on: slab after slab of kDepth, in each one panel after the other.
  template <class U>
  [[gnu::noinline]] static void pack_strip(const Product& p, int64_t j0, int64_t columns, int64_t k0, int64_t depth,
                                           typename U::Element* strip) {
    constexpr int kHalf = U::kColumns / 2;
    const int64_t panels = panels_of<U>(p, columns), end = j0 + columns;
    for (int64_t slab = 0; slab < depth; slab += U::kDepth) {
      const int64_t in_slab = least(U::kDepth, depth - slab), panel_size = padded<U>(in_slab) * U::kColumns;
      for (int64_t q = 0; q < in_slab; q += U::pack_depth(p.b))
        for (int64_t panel = 0; panel < panels; panel++) {
          typename U::Element* to = strip + slab * panels * U::kColumns + panel * panel_size + q * U::kColumns;
          const int64_t from = k0 + slab + q, some = least(U::pack_depth(p.b), in_slab - q);
          if (p.is_paired()) {
            const int64_t j = j0 + panel * kHalf;
            U::template pack_part<kHalf>(p.b, j, end, from, some, to);
            U::template pack_part<kHalf>(p.b, p.n + j, p.n + end, from, some, to + U::kHalfStride);
          } else {
            U::template pack_part<U::kColumns>(p.b, j0 + panel * U::kColumns, end, from, some, to);
          }
        }
    }
  }

  // Rows i.. of the tile by its packed strip, `depth` of k from k0 on.
  template <class U>
  [[gnu::noinline]] void rows_block(const Product& p, const Memory<U>& memory, int64_t i0, int64_t i, int64_t rows, int64_t j0,
                                    int64_t columns, int64_t k0, int64_t depth) const {
    const int64_t panels = panels_of<U>(p, columns), half = p.is_paired() ? U::kColumns / 2 : U::kColumns;
    const bool in_place = p.finish == Finish::store && !p.out.bf16;
    // Sums of one block need not outlive it.
    const Sums sums{memory.sums + (p.k > U::kDepth ? i * tile_columns_ : 0), panels * U::kColumns, half, U::kColumns, U::kColumns / 2};
    int64_t slab = 0;
    do {
      const int64_t some = least(U::kDepth, depth - slab), at = k0 + slab;
      const bool last = at + some >= p.k;
      const auto a = U::place_a(p.a, i0 + i, rows, at, some, memory.a);
      for (int64_t panel = 0; panel < panels; panel++) {
        const typename U::Element* b = memory.b + (slab * panels + panel * padded<U>(some)) * U::kColumns;
        const int64_t j = j0 + panel * half, width = least(half, columns - panel * half);
        for (int64_t r = 0; r < rows; r += U::kRows) {
          const int64_t height = least(U::kRows, rows - r);
          if (in_place && width == U::kColumns && (U::kAnyRows || height == U::kRows)) {
            U::multiply(height, some, a, r / U::kRows, b, p.out.f32(i0 + i + r, j), p.out.ld, at > 0 || p.accumulate);
            continue;
          }
          const Sums tile = sums.from(r, panel);
          U::multiply(height, some, a, r / U::kRows, b, tile.at, tile.ld, at > 0);
          if (in_place && last) finish<Finish::store>(p, tile, i0 + i + r, height, j, width);
        }
      }
      if (last && !in_place) finish(p, sums, i0 + i, rows, j0, columns);
      slab += U::kDepth;
    } while (slab < depth);
  }

  void thin_tile(const Product& p, float* a, int64_t j0, int64_t columns) const {
    const int64_t rows = thin_rows_of(p.m), up = kThinColumns / 2;
    float sums[kThinRows * kThinColumns];
    pack_thin(p.a, p.m, p.k, a);
    multiply_thin(rows, a, p.b, j0, p.k, columns, sums);
    if (p.is_paired()) multiply_thin(rows, a, p.b, p.n + j0, p.k, columns, sums + up);
    finish(p, {sums, kThinColumns, columns, columns, up}, 0, p.m, j0, columns);
  }

  // Sums lie panel beside panel: `width` columns of the output every `panel` floats, in a paired product those of up `up` floats behind
  // those of gate.
  struct Sums {
    float* at;
    int64_t ld, width, panel, up;
    Sums from(int64_t row, int64_t place) const { return {at + row * ld + place * panel, ld, width, panel, up}; }
  };

  // What stands at rows i.. and columns j.. of the product. Row by row over a whole block: tile by tile it was a third slower, since
  // rows lie kilobytes apart and share their places in the cache (Zen 3).
  static void finish(const Product& p, const Sums& sums, int64_t i, int64_t rows, int64_t j, int64_t columns) {
    if (p.finish == Finish::swiglu) return finish<Finish::swiglu>(p, sums, i, rows, j, columns);
    if (p.finish == Finish::swiglu_grad) return finish<Finish::swiglu_grad>(p, sums, i, rows, j, columns);
    finish<Finish::store>(p, sums, i, rows, j, columns);
  }

  template <Finish kFinish>
  [[gnu::noinline]] static void finish(const Product& product, const Sums& of, int64_t i, int64_t rows, int64_t j, int64_t columns) {
    const Product p = product;  // copies that no store can change: they stay in registers
    const Sums sums = of;
    for (int64_t r = 0; r < rows; r++) {
      const float* from = sums.at + r * sums.ld;
      for (int64_t c = 0; c < columns; c += sums.width, from += sums.panel)
        each_vector(least(sums.width, columns - c), [&](int64_t q, auto lanes) {
          const vf sum = get(from + q, lanes), up = kFinish == Finish::swiglu ? get(from + sums.up + q, lanes) : vf{};
          finish_vector<kFinish>(p, sum, up, i + r, j + c + q, lanes);
        });
    }
  }

  template <Finish kFinish, class Lanes>
  CV_INLINE void finish_vector(const Product& p, vf sum, vf up, int64_t i, int64_t j, Lanes lanes) {
    if (kFinish == Finish::store) {
      write(p.out, i, j, p.accumulate ? read(p.out, i, j, lanes) + sum : sum, lanes);
    } else if (kFinish == Finish::swiglu) {
      if (p.saved) write(p.saved, i, j, sum, lanes), write(p.saved, i, p.n + j, up, lanes);
      write(p.out, i, j, sum * vsigmoid(sum) * up, lanes);
    } else {
      const vf g = read(p.saved, i, j, lanes), u = read(p.saved, i, p.n + j, lanes);
      const vf s = vsigmoid(g), silu = g * s;
      write(p.out, i, j, sum * u * fma(silu, 1.0f - s, s), lanes);
      write(p.out, i, p.n + j, sum * silu, lanes);
    }
  }

  [[maybe_unused]] const bool rounds_;
  int length_ = 0;
  int64_t tile_rows_ = 0, tile_columns_ = 0;
  int64_t first_[kListLength];
  Product products_[kListLength];
};

}  // namespace CV_ISA
