// A list of products with weights in blocks, as one flat list of tasks.
//
// A task is a tile of one product. It packs its columns a slab of k at a time into memory of its own thread, then walks its rows in
// blocks that stay in L2. Sums go by the order of k alone: they depend neither on how tiles are cut nor on the rows beside.
#pragma once
#include "block_gemm.h"
#include "gemm_list.h"

namespace CV_ISA {

// out [rows, n] = rows of x from `row` on times w.
struct BlockProduct {
  const uint8_t* w;
  cv::DType dtype;
  int64_t row, rows;
  float* out;
};

#if CV_INTEGERS && !CV_TILES
class BlockList {
 public:
  static constexpr bool kWorks = true;

  // Products of n columns, each to a part of rows of `ld`, listed in `memory`.
  BlockList(BlockProduct* memory, int64_t n, int64_t k, int64_t ld) : products_(memory), n_(n), k_(k), ld_(ld) {}

  void add(const BlockProduct& product) {
    products_[length_++] = product;
    (in_bytes(product.dtype) ? wants8_ : wants16_) = true;
  }
  bool wants8() const { return wants8_; }
  bool wants16() const { return wants16_; }

  // Chooses the tile, finer for more threads. @returns the number of tasks
  int64_t cut() {
    const int64_t wanted = kTasksAThread * cv::threads();
    tile_columns_ = kTileColumns;
    while (count() < wanted && tile_columns_ > NR) tile_columns_ /= 2;
    return count();
  }

  // Memory of a task.
  int64_t floats() const { return length_ ? tile_columns_ * (kSlabBytes / 4 + kSlab / 16) : 0; }

  void run(const Rows8& bytes, const Rows16& words, int64_t task, float* memory) const {
    int64_t p = 0;
    for (int64_t tiles; task >= (tiles = tiles_of(products_[p])); p++) task -= tiles;
    const BlockProduct& product = products_[p];
    const int64_t across = ceil_div(n_, tile_columns_), i = task / across * kTileRows, j = task % across * tile_columns_;
    with_format(product.dtype, [&](auto f) {
      typedef decltype(f) F;
      if constexpr (Integers<F>::kBytes) tile<F>(product, bytes, i, j, memory);
      else tile<F>(product, words, i, j, memory);
    });
  }

 private:
  static constexpr int64_t kTileColumns = 128;
  static constexpr int64_t kSlab = 1024;                         // elements of k packed at once, of bytes; half as many words
  static constexpr int64_t kSlabBytes = kSlab + kSlab / 16 * 4;  // a column of a panel takes at most
  static constexpr int64_t kBlockRows = 96 / MR * MR;            // of a slab: a part of L2

  int64_t tiles_of(const BlockProduct& p) const { return ceil_div(p.rows, kTileRows) * ceil_div(n_, tile_columns_); }
  int64_t count() const {
    int64_t tasks = 0;
    for (int64_t p = 0; p < length_; p++) tasks += tiles_of(products_[p]);
    return tasks;
  }

  template <class F, class T>
  [[gnu::noinline]] void tile(const BlockProduct& p, const Rounded<T>& x, int64_t i0, int64_t j0, float* memory) const {
    typedef Integers<F> I;
    constexpr int64_t kDepth = kSlab / sizeof(T);
    const int64_t rows = least(kTileRows, p.rows - i0), columns = least(tile_columns_, n_ - j0);
    const int64_t row_bytes = k_ / F::kElements * F::kBytes, panels = ceil_div(columns, NR);
    uint8_t* packed = (uint8_t*)(memory + tile_columns_ * (kSlab / 16));
    for (int64_t k0 = 0; k0 < k_; k0 += kDepth) {
      const int64_t depth = least(kDepth, k_ - k0), scales = depth / I::kEach;
      for (int64_t panel = 0; panel < panels; panel++) {
        const uint8_t* w = p.w + (j0 + panel * NR) * row_bytes + k0 / F::kElements * F::kBytes;
        pack_blocks<F>(w, row_bytes, least(NR, columns - panel * NR), depth, packed + panel * scales * I::kScaledBytes,
                       memory + panel * scales * NR);
      }
      for (int64_t block = 0; block < rows; block += kBlockRows)
        for (int64_t panel = 0; panel < panels; panel++)
          for (int64_t r = block; r < least(rows, block + kBlockRows); r += MR) {
            const int64_t height = least(MR, rows - r), width = least(NR, columns - panel * NR);
            float sums[MR * NR];
            const Rounded<T> from = x.at(p.row + i0 + r, k0);
            const float* start = start_of<F>(from, height, scales, memory + panel * scales * NR, sums);
            multiply_strip<T, I::kEach, I::kTaken != 0 && I::kBytes>(height, depth / 32, from, I::kTaken,
                                                                     packed + panel * scales * I::kScaledBytes, start, sums);
            finish(sums, height, width, p.out + (i0 + r) * ld_ + j0 + panel * NR, k0 > 0);
          }
    }
  }

  // What sums [rows, NR] start from: what minima add, a product of their own with the sums of rows.
  template <class F, class T>
  static const float* start_of(const Rounded<T>& x, int64_t rows, int64_t scales, const float* minima, float* sums) {
    static constexpr float zeros[MR * NR] = {};
    if (!F::kMin) return zeros;
    MultiplyRows::of[rows](scales, Integers<F>::kEach == 32 ? x.sum32 : x.sum16, x.k / Integers<F>::kEach, 1, minima, sums, NR, false);
    return sums;
  }

  void finish(const float* sums, int64_t rows, int64_t columns, float* out, bool add) const {
    for (int64_t r = 0; r < rows; r++, sums += NR, out += ld_)
      each_vector(columns, [&](int64_t j, auto lanes) {
        const vf sum = get(sums + j, lanes);
        put(out + j, add ? get(out + j, lanes) + sum : sum, lanes);
      });
  }

  BlockProduct* products_;
  int64_t length_ = 0, n_, k_, ld_, tile_columns_ = kTileColumns;
  bool wants8_ = false, wants16_ = false;
};
#else
// For machines whose f32, or whose matrix unit, is faster.
struct BlockList {
  static constexpr bool kWorks = false;
  BlockList(BlockProduct*, int64_t, int64_t, int64_t) {}
  void add(const BlockProduct&) {}
  bool wants8() const { return false; }
  bool wants16() const { return false; }
  int64_t cut() { return 0; }
  int64_t floats() const { return 0; }
  void run(const Rows8&, const Rows16&, int64_t, float*) const {}
};
#endif

}  // namespace CV_ISA
