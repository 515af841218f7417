// Products of weights in blocks with rows of 8-bit activations: the integers of 32 elements are multiplied and added up exactly,
// then scaled.
#pragma once
#include "blocks.h"

namespace CV_ISA {

// Rows of x for fast products, rounded to 8 bits: 32 neighbours share a scale, their largest magnitude / 127.
struct Bytes8 {
  int8_t* q;      // [rows, k]
  float* scale;   // [rows, k / 32]
  float* sum16;   // [rows, k / 16]: of the rounded values, in x's unit
  float* sum32;   // [rows, k / 32]
  int64_t k;

  static int64_t bytes(int64_t rows, int64_t k) { return rows * (k + 4 * (k / 32 + k / 16 + k / 32)); }
  Bytes8(void* memory, int64_t rows, int64_t k) : k(k) {
    scale = (float*)memory;
    sum16 = scale + rows * (k / 32);
    sum32 = sum16 + rows * (k / 16);
    q = (int8_t*)(sum32 + rows * (k / 32));
  }
  Bytes8 from_row(int64_t r) const {
    Bytes8 at = *this;
    at.q += r * k, at.scale += r * (k / 32), at.sum16 += r * (k / 16), at.sum32 += r * (k / 32);
    return at;
  }
};

CV_INLINE float sum_of(s32x8 v, int from, int to) {
  int32_t lanes[8], sum = 0;
  memcpy(lanes, &v, 32);
  for (int i = from; i < to; i++) sum += lanes[i];
  return (float)sum;
}

// Row r of x [rows, k].
[[gnu::noinline]] static void round_row(const float* x, const Bytes8& all, int64_t r) {
  const Bytes8 to = all.from_row(r);
  for (int64_t i = 0; i < all.k / 32; i++, x += 32) {
    f32x8 v[4], most = {};
    CV_UNROLL for (int j = 0; j < 4; j++) {
      v[j] = load_bytes<f32x8>(x + 8 * j);
      s32x8 size = (s32x8)v[j] & 0x7fffffff;
      most = size > (s32x8)most ? (f32x8)size : most;
    }
    float lanes[8], largest = 0;
    memcpy(lanes, &most, 32);
    for (int j = 0; j < 8; j++) largest = lanes[j] > largest ? lanes[j] : largest;
    const float scale = largest / 127, inverse = largest > 0 ? 127 / largest : 0;
    s32x8 sums[4];
    CV_UNROLL for (int j = 0; j < 4; j++) {
      // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number, ties to even.
      f32x8 rounded = v[j] * splat8(inverse) + splat8(12582912.0f);
      s32x8 whole = (s32x8)rounded - 0x4b400000;
      s8x8 bytes = __builtin_convertvector(whole, s8x8);
      memcpy(to.q + 32 * i + 8 * j, &bytes, 8);
      sums[j] = whole;
    }
    to.scale[i] = scale;
    to.sum16[2 * i] = sum_of(sums[0] + sums[1], 0, 8) * scale;
    to.sum16[2 * i + 1] = sum_of(sums[2] + sums[3], 0, 8) * scale;
    to.sum32[i] = to.sum16[2 * i] + to.sum16[2 * i + 1];
  }
}

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
  typedef int16_t s16x16 __attribute__((vector_size(32)));
  typedef int8_t s8x16 __attribute__((vector_size(16)));
  s32x8 sums;
  s8x16 a[2], b[2];
  int32_t lanes[8];
  memcpy(a, &q, 32), memcpy(b, &x, 32);
  for (int i = 0; i < 2; i++) {
    s16x16 products = __builtin_convertvector(a[i], s16x16) * __builtin_convertvector(b[i], s16x16);
    int16_t p[16];
    memcpy(p, &products, 32);
    for (int j = 0; j < 4; j++) lanes[4 * i + j] = p[4 * j] + p[4 * j + 1] + p[4 * j + 2] + p[4 * j + 3];
  }
  memcpy(&sums, lanes, 32);
  return sums;
#endif
}

CV_INLINE float sum8(f32x8 v) {
  float a[8];
  memcpy(a, &v, 32);
  return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

// out[m] = one row of weights times row m of x, m < kM.
template <class F, int kM>
CV_INLINE void dot_blocks(const uint8_t* b, const Bytes8& x, float* out) {
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
        acc[m] = __builtin_convertvector(dots, f32x8) * scale + acc[m];
      }
    }
    if (F::kMin || F::kCenter) CV_UNROLL for (int m = 0; m < kM; m++) {
      if (F::kScales == 1) shift1[m] += offset[0] * x.sum32[m * (x.k / 32) + block];
      for (int s = 0; s + 8 <= F::kScales; s += 8) {
        const float* sums = F::kScales == 8 ? x.sum32 + m * (x.k / 32) + 8 * block : x.sum16 + m * (x.k / 16) + 16 * block + s;
        shift[m] += load_bytes<f32x8>(offset + s) * load_bytes<f32x8>(sums);
      }
    }
  }
  CV_UNROLL for (int m = 0; m < kM; m++) {
    const float shifted = F::kScales == 1 ? shift1[m] : sum8(shift[m]);
    out[m] = sum8(acc[m]) + (F::kMin ? shifted : -F::kCenter * shifted);
  }
}

}  // namespace CV_ISA
