// Rows of activations rounded to whole numbers, for products with weights in blocks.
#pragma once
#include "blocks.h"

namespace CV_ISA {

// T: int8_t or int16_t. 32 neighbours share a scale, their largest magnitude / the most a T holds.
template <class T>
struct Rounded {
  static constexpr int kMost = sizeof(T) == 1 ? 127 : 32767;

  float* scale;      // [rows, k / 32]
  float* sum16;      // [rows, k / 16]: of the rounded values, in x's unit
  float* sum32;      // [rows, k / 32]
  int16_t* lanes16;  // [rows, k / 16, 2]: minus the sums of elements 0, 1, 4, 5, 8 .. and of 2, 3, 6, 7 ..; of bytes only
  int16_t* lanes32;  // [rows, k / 32, 2]
  T* q;              // [rows, k]
  int64_t k;

  static int64_t bytes(int64_t rows, int64_t k) { return rows * (k * (int64_t)sizeof(T) + 7 * 4 * (k / 32)); }
  Rounded(void* memory, int64_t rows, int64_t k) : k(k) {
    scale = (float*)memory;
    sum16 = scale + rows * (k / 32);
    sum32 = sum16 + rows * (k / 16);
    lanes16 = (int16_t*)(sum32 + rows * (k / 32));
    lanes32 = lanes16 + rows * (k / 16) * 2;
    q = (T*)(lanes32 + rows * (k / 32) * 2);
  }
  // Row r, from element p (whole 32s) on.
  Rounded at(int64_t r, int64_t p = 0) const {
    Rounded to = *this;
    const int64_t part = (r * k + p) / 32;
    to.q += 32 * part, to.scale += part, to.sum16 += 2 * part, to.sum32 += part, to.lanes16 += 4 * part, to.lanes32 += 2 * part;
    return to;
  }
};
typedef Rounded<int8_t> Rows8;
typedef Rounded<int16_t> Rows16;

// Whole numbers, all within what the narrower type holds.
CV_INLINE void narrow(const s32x8 (&v)[4], int8_t* to) {
#if defined(__AVX2__)
  const __m256i low = _mm256_packs_epi32((__m256i)v[0], (__m256i)v[1]), high = _mm256_packs_epi32((__m256i)v[2], (__m256i)v[3]);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
  memcpy(to, &bytes, 32);
#else
  CV_UNROLL for (int j = 0; j < 4; j++) {
    const s8x8 bytes = __builtin_convertvector(v[j], s8x8);
    memcpy(to + 8 * j, &bytes, 8);
  }
#endif
}
CV_INLINE void narrow(const s32x8 (&v)[4], int16_t* to) {
  CV_UNROLL for (int j = 0; j < 4; j += 2) {
#if defined(__AVX2__)
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32((__m256i)v[j], (__m256i)v[j + 1]), 0xd8);
    memcpy(to + 8 * j, &words, 32);
#else
    const s16x8 words[2] = {__builtin_convertvector(v[j], s16x8), __builtin_convertvector(v[j + 1], s16x8)};
    memcpy(to + 8 * j, words, 32);
#endif
  }
}

// Row r of x [rows, k].
template <class T>
[[gnu::noinline]] static void round_row(const float* x, const Rounded<T>& all, int64_t r) {
  constexpr int kMost = Rounded<T>::kMost;
  const Rounded<T> to = all.at(r);
  for (int64_t i = 0; i < all.k / 32; i++, x += 32) {
    f32x8 v[4], most = {};
    CV_UNROLL for (int j = 0; j < 4; j++) {
      v[j] = load_bytes<f32x8>(x + 8 * j);
      s32x8 size = (s32x8)v[j] & 0x7fffffff;
      most = size > (s32x8)most ? (f32x8)size : most;
    }
    int32_t lanes[8], bits = 0;  // compared as integers: NaN is above all, and the scale hands it on
    float largest;
    memcpy(lanes, &most, 32);
    for (int j = 0; j < 8; j++) bits = lanes[j] > bits ? lanes[j] : bits;
    memcpy(&largest, &bits, 4);
    const float scale = largest / kMost, inverse = largest > 0x1p-100f ? kMost / largest : 0;  // of less, it could overflow
    const int32_t finite = bits < 0x7f800000 ? -1 : 0;  // else zeros, which the scale makes NaN
    s32x8 whole[4];
    CV_UNROLL for (int j = 0; j < 4; j++) {
      // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number, ties to even.
      f32x8 rounded = v[j] * splat8(inverse) + splat8(12582912.0f);
      whole[j] = ((s32x8)rounded - 0x4b400000) & finite;
    }
    narrow(whole, to.q + 32 * i);
    int32_t sums[4];
    for (int half = 0; half < 2; half++) {
      const s32x8 both = whole[2 * half] + whole[2 * half + 1];
      memcpy(lanes, &both, 32);
      sums[2 * half] = lanes[0] + lanes[1] + lanes[4] + lanes[5], sums[2 * half + 1] = lanes[2] + lanes[3] + lanes[6] + lanes[7];
      to.sum16[2 * i + half] = (float)(sums[2 * half] + sums[2 * half + 1]) * scale;
    }
    to.scale[i] = scale;
    to.sum32[i] = to.sum16[2 * i] + to.sum16[2 * i + 1];
    if (sizeof(T) > 1) continue;
    for (int s = 0; s < 4; s++) to.lanes16[4 * i + s] = (int16_t)-sums[s];
    to.lanes32[2 * i] = (int16_t)-(sums[0] + sums[2]), to.lanes32[2 * i + 1] = (int16_t)-(sums[1] + sums[3]);
  }
}

}  // namespace CV_ISA
