// Products of bf16 operands with f32 sums, 32 x 32 of the output from two tiles of A and two of B: in the matrix unit, or (CV_PAIRS) in
// vector registers that multiply pairs.
//
// Both operands are packed into tiles of 1 KiB, in the order they are read. A tile of A is 16 rows of 32 neighbours along k; a tile of B
// is 16 pairs along k by 16 columns. Either is the other transposed, pairs taken as one element, so that whichever way an operand lies
// one of them is a copy.
#pragma once
#include "gemm.h"
#include "tile.h"
#if CV_PAIRS
#include "pair.h"
#endif

namespace CV_ISA {

typedef uint16_t h16x16 __attribute__((vector_size(32)));

constexpr int kTilePairs = 16, kTileDepth = 32, kTileElements = 512;

// kN plain elements of a line from p on, rounded to bf16.
template <int kN>
CV_INLINE void bf16_of_whole(const Operand& x, int64_t line, int64_t p, uint16_t* to) {
  if (x.bf16) {
    memcpy(to, x.line<uint16_t>(line, p), kN * 2);
  } else {
    const float* from = x.line<float>(line, p);
    CV_UNROLL for (int i = 0; i < kN; i += W) store_bf16(to + i, load(from + i));
  }
}

// n (at most 32) elements of a line from p on, rounded to bf16, then zeros to 32.
static void bf16_of_line(const Operand& x, int64_t line, int64_t p, int64_t n, uint16_t* to) {
  if (!x.format && n == kTileDepth) return bf16_of_whole<kTileDepth>(x, line, p, to);
  if (!x.format && n == kTileLines) {
    bf16_of_whole<kTileLines>(x, line, p, to);
    memset(to + kTileLines, 0, (kTileDepth - kTileLines) * 2);
    return;
  }
  float values[kTileDepth] = {};
  if (x.format) {
    const int64_t line_bytes = x.ld / x.format->elements * x.format->bytes;
    x.format->decode((const uint8_t*)x.data + line * line_bytes, p, n, values);
  } else if (x.bf16) {
    memset(to, 0, kTileDepth * 2);
    memcpy(to, x.line<uint16_t>(line, p), n * 2);
    return;
  } else {
    memcpy(values, x.line<float>(line, p), n * sizeof(float));
  }
  CV_UNROLL for (int i = 0; i < kTileDepth; i += W) store_bf16(to + i, load(values + i));
}

// k inner: [16 lines][32 of k].
static void tile_of_lines(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, uint16_t* to) {
  for (int64_t r = 0; r < kTileLines; r++, to += kTileDepth)
    if (r < rows) bf16_of_line(x, i + r, p, depth, to);
    else memset(to, 0, kTileDepth * 2);
}

// k outer: [16 pairs of k][16 neighbours][2].
static void tile_of_pairs(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, uint16_t* to) {
  for (int64_t q = 0; q < kTileDepth; q += 2, to += kTileDepth) {
    uint16_t line[2][kTileDepth] = {};
    for (int64_t side = 0; side < 2; side++)
      if (q + side < depth) bf16_of_line(x, p + q + side, i, rows, line[side]);
    h16x16 even, odd;
    memcpy(&even, line[0], 32), memcpy(&odd, line[1], 32);
    h16x16 low = __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    h16x16 high = __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    memcpy(to, &low, 32), memcpy(to + 16, &high, 32);
  }
}

// 16 x 16 pairs, rows become columns.
static void transpose_pairs(const uint16_t* from, uint16_t* to) {
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 16; j += 4) {
      v4f block[4];  // moved, never computed with
      for (int r = 0; r < 4; r++) memcpy(&block[r], from + (i + r) * kTileDepth + 2 * j, 16);
      transpose(block);
      for (int r = 0; r < 4; r++) memcpy(to + (j + r) * kTileDepth + 2 * i, &block[r], 16);
    }
}

#if CV_PAIRS
constexpr int64_t kPairRows = 8;  // by 32 columns: 16 sums in registers

// c [8, 32] (+)= lines of tiles of A x tiles of B.
static void multiply_pairs(int64_t steps, const uint16_t* a, const uint16_t* b, float* c, int64_t ldc, bool add) {
  static_assert(W == kTileLines);
  vf left[kPairRows] = {}, right[kPairRows] = {};
  for (; steps > 0; steps--, a += 2 * kTileElements, b += 2 * kTileElements)
    for (int p = 0; p < kTileDepth; p += 2) {
      vi b0, b1;
      memcpy(&b0, b + p * W, sizeof b0), memcpy(&b1, b + kTileElements + p * W, sizeof b1);
      CV_UNROLL for (int i = 0; i < kPairRows; i++) {
        int32_t pair;
        memcpy(&pair, a + i * kTileDepth + p, sizeof pair);
        left[i] = dot_pairs(left[i], splati(pair), b0);
        right[i] = dot_pairs(right[i], splati(pair), b1);
      }
    }
  CV_UNROLL for (int i = 0; i < kPairRows; i++, c += ldc) {
    store(c, add ? load(c) + left[i] : left[i]);
    store(c + W, add ? load(c + W) + right[i] : right[i]);
  }
}
#endif

struct TileUnit {
  typedef uint16_t Element;
  struct A { const uint16_t* at; };
  static constexpr int kRows = 32, kColumns = 32;
  static constexpr int64_t kHalfStride = kTileElements;
  static constexpr int kStep = kTileDepth;
  // Not measured on a machine with the unit: sizes for its 2 MiB of L2.
  static constexpr int64_t kDepth = 512, kBlockRows = 256, kTileColumns = 512;
  static constexpr bool kAnyRows = false;

  static bool takes_as_it_lies(const Operand&) { return false; }
  static int64_t elements_a(int64_t rows, int64_t depth) {
    return ceil_div(rows, kRows) * kRows * ceil_div(depth, kStep) * kStep;
  }
  static int64_t pack_depth(const Operand&) { return kTileDepth; }

  // Strips of 32 rows: by steps of 32 along k, the tile of the upper rows, then that of the lower ones.
  static A place_a(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, uint16_t* memory) {
    uint16_t* to = memory;
    for (int64_t strip = 0; strip < rows; strip += kRows)
      for (int64_t q = 0; q < depth; q += kTileDepth)
        for (int64_t r = strip; r < strip + kRows; r += kTileLines, to += kTileElements) {
          const int64_t height = most(0, least(kTileLines, rows - r)), some = least(kTileDepth, depth - q);
          if (height == 0) continue;  // multiply() does not read it
          uint16_t pairs[kTileElements];
          if (x.k_inner) tile_of_lines(x, i + r, height, p + q, some, to);
          else tile_of_pairs(x, i + r, height, p + q, some, pairs), transpose_pairs(pairs, to);
        }
    return {memory};
  }

  template <int R>
  static void pack_part(const Operand& x, int64_t j, int64_t end, int64_t p, int64_t depth, uint16_t* out) {
    for (int64_t c = 0; c < R; c += kTileLines, out += kTileElements) {
      const int64_t columns = most(0, least(kTileLines, end - j - c));
      uint16_t lines[kTileElements];
      if (columns == 0) memset(out, 0, kTileElements * 2);
      else if (!x.k_inner) tile_of_pairs(x, j + c, columns, p, depth, out);
      else tile_of_lines(x, j + c, columns, p, depth, lines), transpose_pairs(lines, out);
    }
  }

#if CV_PAIRS
  // c [32, 32] (+)= a strip x b panel, up to the eight rows that hold the last.
  static void multiply(int64_t rows, int64_t depth, const A& a, int64_t strip, const uint16_t* b, float* c, int64_t ldc, bool add) {
    const int64_t steps = ceil_div(depth, kTileDepth);
    const uint16_t* from = a.at + strip * steps * 2 * kTileElements;
    for (int64_t r = 0; r < rows; r += kPairRows)
      multiply_pairs(steps, from + r / kTileLines * kTileElements + r % kTileLines * kTileDepth, b, c + r * ldc, ldc, add);
  }

  static void begin() {}
  static void end() {}
#else
  // c [32, 32] (+)= a strip x b panel; with 16 rows or fewer the lower half is left alone.
  static void multiply(int64_t rows, int64_t depth, const A& a, int64_t strip, const uint16_t* b, float* c, int64_t ldc, bool add) {
    const int64_t steps = ceil_div(depth, kTileDepth), stride = ldc * (int64_t)sizeof(float);
    const uint16_t* from = a.at + strip * steps * 2 * kTileElements;
    float* below = c + kTileLines * ldc;
    if (add) tile_load<0>(c, stride), tile_load<1>(c + 16, stride);
    else tile_zero<0>(), tile_zero<1>();
    if (rows <= kTileLines) {
      for (int64_t s = 0; s < steps; s++, from += 2 * kTileElements, b += 2 * kTileElements) {
        tile_load<4>(from, kTileBytes), tile_load<6>(b, kTileBytes), tile_load<7>(b + kTileElements, kTileBytes);
        tile_multiply<0, 4, 6>(), tile_multiply<1, 4, 7>();
      }
    } else {
      if (add) tile_load<2>(below, stride), tile_load<3>(below + 16, stride);
      else tile_zero<2>(), tile_zero<3>();
      for (int64_t s = 0; s < steps; s++, from += 2 * kTileElements, b += 2 * kTileElements) {
        tile_load<4>(from, kTileBytes), tile_load<5>(from + kTileElements, kTileBytes);
        tile_load<6>(b, kTileBytes), tile_load<7>(b + kTileElements, kTileBytes);
        tile_multiply<0, 4, 6>(), tile_multiply<1, 4, 7>(), tile_multiply<2, 5, 6>(), tile_multiply<3, 5, 7>();
      }
      tile_store<2>(below, stride), tile_store<3>(below + 16, stride);
    }
    tile_store<0>(c, stride), tile_store<1>(c + 16, stride);
  }

  static void begin() { tile_begin(); }
  static void end() { tile_end(); }
#endif
};

}  // namespace CV_ISA
