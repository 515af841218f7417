// Products of weights in blocks with rows in f32, or in 8 bits: the integers of 32 elements are then multiplied and added up exactly,
// and scaled.
#pragma once
#include "block_rows.h"

namespace CV_ISA {

// Eight sums of four products each, of weights q and activations x (|x| at most 127).
template <bool kSigned>
CV_INLINE s32x8 dot4(u8x32 q, s8x32 x) {
#if defined(__AVX2__)
  __m256i a = (__m256i)q, b = (__m256i)x;
  if (kSigned) b = _mm256_sign_epi8(b, a), a = _mm256_abs_epi8(a);
  return (s32x8)_mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
#elif defined(__aarch64__)
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
  typedef int16_t s16x8 __attribute__((vector_size(16)));
  typedef int8_t s8x16 __attribute__((vector_size(16)));
  typedef int32_t s32x4 __attribute__((vector_size(16)));
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

// The same for rows in 8 bits.
template <class F, int kM>
CV_INLINE void dot_blocks(const uint8_t* b, const Rows8& x, float* out) {
  constexpr int kParts = F::kElements / 32, kEach = F::kScales / kParts;  // scales for every 32 elements: 1 or 2
  f32x8 acc[kM], shift[kM];  // shift: of the minima, or of the centre that was not taken from q
  float shift1[kM];
  CV_UNROLL for (int m = 0; m < kM; m++) acc[m] = shift[m] = f32x8{}, shift1[m] = 0;
  Head<F::kScales> h;
  for (int64_t block = 0; block < x.k / F::kElements; block++, b += F::kBytes) {
    F::head(b, h);
    const float* offset = F::kMin ? h.min : h.scale;
    CV_UNROLL for (int i = 0; i < kParts; i++) {
      const u8x32 q = F::whole(b, i);
      const int64_t part = block * kParts + i;
      CV_UNROLL for (int m = 0; m < kM; m++) {
        const s32x8 dots = dot4<F::kSigned>(q, load_bytes<s8x32>(x.q + m * x.k + 32 * part));
        const float unit = x.scale[m * (x.k / 32) + part];
        f32x8 scale = splat8(h.scale[kEach * i] * unit);
        if (kEach == 2)
          scale = __builtin_shufflevector(scale, splat8(h.scale[2 * i + 1] * unit), 0, 1, 2, 3, 12, 13, 14, 15);
        acc[m] = fma8(__builtin_convertvector(dots, f32x8), scale, acc[m]);
      }
    }
    if (F::kMin || F::kCenter) CV_UNROLL for (int m = 0; m < kM; m++) {
      if (F::kScales == 1) shift1[m] += offset[0] * x.sum32[m * (x.k / 32) + block];
      for (int s = 0; s + 8 <= F::kScales; s += 8) {
        const float* sums = F::kScales == 8 ? x.sum32 + m * (x.k / 32) + 8 * block : x.sum16 + m * (x.k / 16) + 16 * block + s;
        shift[m] = fma8(load_bytes<f32x8>(offset + s), load_bytes<f32x8>(sums), shift[m]);
      }
    }
  }
  CV_UNROLL for (int m = 0; m < kM; m++) {
    const float shifted = F::kScales == 1 ? shift1[m] : sum8(shift[m]);
    out[m] = sum8(acc[m]) + (F::kMin ? shifted : -F::kCenter * shifted);
  }
}

}  // namespace CV_ISA
