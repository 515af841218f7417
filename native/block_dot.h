// Products of weights in blocks with rows in f32, or in 8 bits: the integers of 32 elements are then multiplied and added up exactly,
// and scaled.
#pragma once
#include "block_rows.h"

namespace CV_ISA {

CV_INLINE float sum8(f32x8 v) {
  float a[8];
  memcpy(a, &v, 32);
  return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

// out[m] = one row of weights times row m of x [kM, k], in f32.
template <class F, int kM>
CV_INLINE void dot_blocks(const uint8_t* b, const float* x, int64_t k, float* out) {
  f32x8 acc[kM];
  CV_UNROLL for (int m = 0; m < kM; m++) acc[m] = f32x8{};
  Head<F::kScales> h;
  for (int64_t p = 0; p < k; p += F::kElements, b += F::kBytes) {
    F::head(b, h);
    CV_UNROLL for (int i = 0; i < F::kElements / 32; i++) {
      f32x8 v[4];
      values_of_part<F>(b, h, i, v);
      CV_UNROLL for (int m = 0; m < kM; m++) {
        const float* at = x + m * k + p + 32 * i;
        f32x8 sum = v[0] * load_bytes<f32x8>(at);
        CV_UNROLL for (int e = 1; e < 4; e++) sum = fma8(v[e], load_bytes<f32x8>(at + 8 * e), sum);
        acc[m] += sum;
      }
    }
  }
  CV_UNROLL for (int m = 0; m < kM; m++) out[m] = sum8(acc[m]);
}

// ---- rows in 8 bits -----------------------------------------------------------------------------------------
// Eight weight rows at a time, the columns of the product: a lane is a column, so that nothing is summed across lanes, and what was
// read and decoded once serves every row of x. Sums run in the order of k, whatever the number of rows.

constexpr int kColumnLanes = 8, kMostRows = 8;

#if !defined(__AVX2__)
// Eight sums of four products each, of weights q and activations x (|x| at most 127).
template <bool kSigned>
CV_INLINE s32x8 dot4(u8x32 q, s8x32 x) {
#if defined(__aarch64__)
  int8x16_t a[2], b[2];
  int32x4_t sums[2];
  memcpy(a, &q, 32), memcpy(b, &x, 32);
  for (int i = 0; i < 2; i++) {  // weights are at most 127 where they are unsigned
    int16x8_t low = vmull_s8(vget_low_s8(a[i]), vget_low_s8(b[i])), high = vmull_high_s8(a[i], b[i]);
    sums[i] = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
  }
  return load_bytes<s32x8>(sums);
#else
  // Pairs of products as 16-bit words, two of which make one of the sums.
  typedef int8_t s8x16 __attribute__((vector_size(16)));
  s8x16 a[2], b[2];
  s32x4 sums[2];
  memcpy(a, &q, 32), memcpy(b, &x, 32);
  for (int i = 0; i < 2; i++) {
    const s8x16 none = {};
    // A byte in the upper half of a word, moved down: its sign comes along.
    const s16x8 a_low = (s16x8)__builtin_shufflevector(none, a[i], 0, 16, 0, 17, 0, 18, 0, 19, 0, 20, 0, 21, 0, 22, 0, 23) >> 8;
    const s16x8 b_low = (s16x8)__builtin_shufflevector(none, b[i], 0, 16, 0, 17, 0, 18, 0, 19, 0, 20, 0, 21, 0, 22, 0, 23) >> 8;
    const s16x8 a_high = (s16x8)__builtin_shufflevector(none, a[i], 0, 24, 0, 25, 0, 26, 0, 27, 0, 28, 0, 29, 0, 30, 0, 31) >> 8;
    const s16x8 b_high = (s16x8)__builtin_shufflevector(none, b[i], 0, 24, 0, 25, 0, 26, 0, 27, 0, 28, 0, 29, 0, 30, 0, 31) >> 8;
#if defined(__SSE2__)
    const s32x4 low = (s32x4)_mm_madd_epi16((__m128i)a_low, (__m128i)b_low), high = (s32x4)_mm_madd_epi16((__m128i)a_high, (__m128i)b_high);
#else
    const s32x4 low = (s32x4)wasm_i32x4_dot_i16x8((v128_t)a_low, (v128_t)b_low);
    const s32x4 high = (s32x4)wasm_i32x4_dot_i16x8((v128_t)a_high, (v128_t)b_high);
#endif
    sums[i] = __builtin_shufflevector(low, high, 0, 2, 4, 6) + __builtin_shufflevector(low, high, 1, 3, 5, 7);
  }
  return load_bytes<s32x8>(sums);
#endif
}
#endif

#if defined(__AVX2__)
// Pairs of products of F's weights with a row that 16 bits hold the sum of, of kFours at most.
template <class F, int kFours>
constexpr int pairs_together() {
  const int fit = F::kSigned ? 1 : 32767 / (2 * 127 * ((1 << F::kBits) - 1));
  return fit >= kFours ? kFours : fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
}
#endif

// For each column the sum of the products of 4 * kFours weights (lane c of q[d]: four of column c) with as many of a row of x.
template <class F, int kFours>
CV_INLINE s32x8 dot_fours(const s32x8* q, const int8_t* x) {
  s32x8 sum = {};
#if defined(__AVX2__)
  // As many pairs of products as 16 bits hold are added up before they are widened.
  constexpr int kPairs = pairs_together<F, kFours>();
  CV_UNROLL for (int d = 0; d < kFours; d += kPairs) {
    __m256i pairs = _mm256_setzero_si256();
    CV_UNROLL for (int e = d; e < d + kPairs; e++) {
      __m256i a = (__m256i)q[e], b = _mm256_set1_epi32(load_bytes<int32_t>(x + 4 * e));
      if (F::kSigned) b = _mm256_sign_epi8(b, a), a = _mm256_abs_epi8(a);
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(a, b));
    }
    sum += (s32x8)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
#else
  CV_UNROLL for (int d = 0; d < kFours; d++)
    sum += dot4<F::kSigned>((u8x32)q[d], (s8x32)(load_bytes<int32_t>(x + 4 * d) - s32x8{}));
#endif
  return sum;
}

// The same for two rows, k apart.
template <class F, int kFours>
CV_INLINE void dot_fours(const s32x8* q, const int8_t* x, int64_t k, s32x8 (&sum)[2]) {
#if defined(__AVX2__)
  if constexpr (!F::kSigned) {
    constexpr int kPairs = pairs_together<F, kFours>();
    sum[0] = sum[1] = s32x8{};
    CV_UNROLL for (int d = 0; d < kFours; d += kPairs) {
      __m256i pairs[2] = {};
      CV_UNROLL for (int e = d; e < d + kPairs; e++) CV_UNROLL for (int m = 0; m < 2; m++) {
        const __m256i four = _mm256_set1_epi32(load_bytes<int32_t>(x + m * k + 4 * e));
        pairs[m] = _mm256_add_epi16(pairs[m], _mm256_maddubs_epi16((__m256i)q[e], four));
        asm volatile("" : "+x"(pairs[m]));  // or GCC takes one row after the other, each a chain of its own
      }
      CV_UNROLL for (int m = 0; m < 2; m++) sum[m] += (s32x8)_mm256_madd_epi16(pairs[m], _mm256_set1_epi16(1));
    }
    return;
  }
#endif
  CV_UNROLL for (int m = 0; m < 2; m++) sum[m] = dot_fours<F, kFours>(q, x + m * k);
}

// The scales of a block of each of eight columns, and what its elements are off by: lane c is column c's.
template <class F>
struct ColumnHeads {
  static constexpr int kEach = F::kScales == 16 ? 2 : 1;  // for every 32 elements
  static constexpr bool kOffset = F::kMin || F::kCenter != 0;
  f32x8 scale[F::kScales], offset[F::kScales];

  CV_MEMBER void read(const uint8_t* b, int64_t stride) {
    if constexpr (F::kScales == 1) {
      scale[0] = F::scales(b, stride);
      if (F::kMin) offset[0] = halves_of_columns(b + 2, stride);
    } else if constexpr (F::kScales == 8) {
      heads_of_six(b, stride, scale, offset);
    } else {
      Head<F::kScales> h[8];
      for (int c = 0; c < 8; c++) F::head(b + c * stride, h[c]);
      for (int at = 0; at < F::kScales; at += 8) {
        gather(h[0].scale + at, sizeof h[0], scale + at);
        if (F::kMin) gather(h[0].min + at, sizeof h[0], offset + at);
      }
    }
    if (F::kCenter) CV_UNROLL for (int i = 0; i < F::kScales; i++) offset[i] = scale[i] * splat8(-F::kCenter);
  }

 private:
  CV_MEMBER static void gather(const float* from, int64_t bytes, f32x8* to) {
    s32x8 v[8];
    CV_UNROLL for (int c = 0; c < 8; c++) v[c] = load_bytes<s32x8>((const char*)from + c * bytes);
    transpose8(v);
    memcpy(to, v, sizeof v);
  }
};

// out[m * ld + c] = column c (weights at b + c * stride) times row m of x, for `columns` of eight columns and kRows (1 or 2) rows; where
// that is 0, for `many`. Eight columns at `next` are asked for meanwhile.
template <class F, int kRows>
[[gnu::noinline]] static void dot_columns(const uint8_t* b, int64_t stride, const uint8_t* next, const Rows8& x, int many, float* out,
                                          int64_t ld, int64_t columns) {
  typedef ColumnHeads<F> Heads;
  constexpr int kParts = F::kElements / 32, kFours = 8 / Heads::kEach;
  const int64_t parts = x.k / 32;
  f32x8 acc[kRows > 0 ? kRows : kMostRows] = {};
  Heads heads;
  for (int64_t p = 0; p < parts; p += kParts, b += F::kBytes) {
    for (int line = 0; line < kColumnLanes * F::kBytes; line += 64) __builtin_prefetch(next + line);
    next += kColumnLanes * F::kBytes;
    heads.read(b, stride);
    s32x8 read[8], q[8];
    CV_UNROLL for (int i = 0; i < kParts; i++) {
      if (i % F::kShare == 0) F::columns(b, stride, i, read);
      F::part(read, i, q);
      const f32x8* scale = heads.scale + Heads::kEach * i;
      const f32x8* offset = heads.offset + Heads::kEach * i;
      auto add_dots = [&](int64_t at, int half, s32x8 dots, f32x8 sum) __attribute__((always_inline)) {
        const f32x8 total = __builtin_convertvector(dots, f32x8), unit = splat8(x.scale[at]);
        sum = F::kWide ? fma8(total * unit, scale[half], sum) : fma8(total, scale[half] * unit, sum);
        if (!Heads::kOffset) return sum;
        return fma8(offset[half], splat8(Heads::kEach == 1 ? x.sum32[at] : x.sum16[2 * at + half]), sum);
      };
      auto add_row = [&](int m) __attribute__((always_inline)) {
        const int64_t at = m * parts + p + i;
        f32x8 sum = acc[m];
        CV_UNROLL for (int half = 0; half < Heads::kEach; half++)
          sum = add_dots(at, half, dot_fours<F, kFours>(q + kFours * half, x.q + 32 * at + 16 * half), sum);
        acc[m] = sum;
      };
      if constexpr (kRows == 1) {
        add_row(0);
      } else if constexpr (kRows == 2) {
        CV_UNROLL for (int half = 0; half < Heads::kEach; half++) {
          s32x8 dots[2];
          dot_fours<F, kFours>(q + kFours * half, x.q + 32 * (p + i) + 16 * half, x.k, dots);
          CV_UNROLL for (int m = 0; m < 2; m++) acc[m] = add_dots(m * parts + p + i, half, dots[m], acc[m]);
        }
      } else {
        for (int m = 0; m < many; m++) add_row(m);
      }
    }
  }
  for (int m = 0; m < (kRows > 0 ? kRows : many); m++) memcpy(out + m * ld, &acc[m], columns * sizeof(float));
}

}  // namespace CV_ISA
