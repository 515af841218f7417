// Products in vector registers: f32 multiply-adds on a register tile of MR x NR.
#pragma once
#include "gemm.h"

namespace CV_ISA {

// Rows of a register tile: NR = 2 vectors wide, as tall as the registers allow.
#if CV_WIDTH == 16
constexpr int MR = 12;
#elif CV_WIDTH == 8
constexpr int MR = 6;
#elif defined(__aarch64__)
constexpr int MR = 8;
#else
constexpr int MR = 4;
#endif
constexpr int NR = 2 * W;

// Rows of A as the microkernel reads them: element (i, p) of strip s (rows s*MR..) is at[s*strip + i*row + p*depth].
struct Strips {
  const float* at;
  int64_t strip, row, depth;
};

// c [rows, NR] (+)= a strip x b panel over k. Every element is summed in the order of k, whatever the tile it falls in.
template <int kRows>
static void multiply(int64_t k, const float* a, int64_t row, int64_t depth, const float* b, float* c, int64_t ldc, bool add) {
  // Without this the first store to each line waits for memory: 4 % of the whole (Zen 3).
  CV_UNROLL for (int i = 0; i < kRows; i++) __builtin_prefetch(c + i * ldc, 1), __builtin_prefetch(c + i * ldc + NR - 1, 1);
  vf lo[kRows], hi[kRows];
  CV_UNROLL for (int i = 0; i < kRows; i++) lo[i] = hi[i] = vf{};
  const float *a3 = a + 3 * row, *a6 = a3 + 3 * row, *a9 = a6 + 3 * row;  // base + {0, 1, 2} rows: addressing without multiplying
  for (; k > 0; k--, a += depth, a3 += depth, a6 += depth, a9 += depth, b += NR) {
    vf b0 = load(b), b1 = load(b + W);
    CV_UNROLL for (int i = 0; i < kRows; i++) {
      const float* from = i < 3 ? a : i < 6 ? a3 : i < 9 ? a6 : a9;
      vf x = splat(from[i % 3 * row]);
      lo[i] = fma(x, b0, lo[i]);
      hi[i] = fma(x, b1, hi[i]);
    }
  }
  CV_UNROLL for (int i = 0; i < kRows; i++, c += ldc) {
    store(c, add ? load(c) + lo[i] : lo[i]);
    store(c + W, add ? load(c + W) + hi[i] : hi[i]);
  }
}

typedef void (*Multiply)(int64_t k, const float* a, int64_t row, int64_t depth, const float* b, float* c, int64_t ldc, bool add);

// multiply<rows> for rows 1 to MR, so that a last strip with few rows costs no more than it holds.
template <int... kRows>
struct MultiplyTable {
  static constexpr Multiply of[sizeof...(kRows) + 1] = {nullptr, multiply<kRows>...};
};
#if CV_WIDTH == 16
typedef MultiplyTable<1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12> MultiplyRows;
#elif CV_WIDTH == 8
typedef MultiplyTable<1, 2, 3, 4, 5, 6> MultiplyRows;
#elif defined(__aarch64__)
typedef MultiplyTable<1, 2, 3, 4, 5, 6, 7, 8> MultiplyRows;
#else
typedef MultiplyTable<1, 2, 3, 4> MultiplyRows;
#endif

struct VectorUnit {
  typedef float Element;  // of packed operands
  typedef Strips A;
  static constexpr int kRows = MR, kColumns = NR;
  static constexpr int64_t kHalfStride = W;  // from the first to the second half of a packed panel
  static constexpr int kStep = 1;            // k is padded to a multiple of it
  static constexpr int64_t kDepth = 512;     // k a block: a B panel of it fills L1
  static constexpr int64_t kBlockRows = 16 * MR;  // with kDepth: an A block for a part of L2
  static constexpr int64_t kTileColumns = 256;  // columns a task: what a copied row of A is used for
  static constexpr bool kAnyRows = true;     // multiply() writes `rows` rows only
  // k packed at once: transposing reads whole lines of memory and keeps them in L1; copying goes on with few lines at a time.
  static int64_t pack_depth(const Operand& x) { return x.k_inner ? 64 : 8; }

  static bool takes_as_it_lies(const Operand& a) { return a.is_ready(); }
  static int64_t elements_a(int64_t rows, int64_t depth) { return ceil_div(rows, MR) * MR * depth; }

  // Rows i to i+rows of x, k from p to p+depth: as they lie, or copied to memory.
  static A place_a(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, float* memory) {
    if (x.is_ready()) return {x.line<float>(i, p), MR * x.ld, x.ld, 1};
    if (x.k_inner) {
      with_source(x, [&](auto source) {
        typedef decltype(source) S;
        for (int64_t r = 0; r < rows; r++) copy_line<S>(x.line<typename S::T>(i + r, p), depth, memory + r * depth);
      });
      return {memory, MR * depth, depth, 1};
    }
    const int64_t some = pack_depth(x);
    with_source(x, [&](auto source) {
      for (int64_t q = 0; q < depth; q += some)
        for (int64_t r = 0; r < rows; r += MR)
          pack_columns<MR, MR, decltype(source)>(x, i + r, least(MR, rows - r), p + q, least(some, depth - q), memory + r * depth + q * MR);
    });
    return {memory, MR * depth, 1, MR};
  }

  // A panel's part of columns j.., R of its NR places.
  template <int R>
  static void pack_part(const Operand& x, int64_t j, int64_t end, int64_t p, int64_t depth, float* out) {
    pack_block<R, NR>(x, j, most(0, least(R, end - j)), p, depth, out);
  }

  static void multiply(int64_t rows, int64_t depth, const A& a, int64_t strip, const float* b, float* c, int64_t ldc, bool add) {
    MultiplyRows::of[rows](depth, a.at + strip * a.strip, a.row, a.depth, b, c, ldc, add);
  }

  // Around a task.
  static void begin() {}
  static void end() {}
};

}  // namespace CV_ISA
