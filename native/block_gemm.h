// Products of many rows with weights in blocks, in whole numbers: rows are rounded (block_rows.h), weights packed as they are
// (block_panel.h), and only the sums over elements that share a scale become floats.
#pragma once
#include "block_panel.h"

#if CV_INTEGERS
namespace CV_ISA {

// Sums of products: of words two by two in 32 bits, or of unsigned bytes with signed ones two by two in 16.
#if CV_WIDTH == 16 && defined(__AVX512BW__)
CV_INLINE vi pairs(vi a, vi b, int16_t) { return (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b); }
CV_INLINE vi pairs(vi a, vi b, int8_t) { return (vi)_mm512_maddubs_epi16((__m512i)a, (__m512i)b); }
#elif CV_WIDTH == 8
CV_INLINE vi pairs(vi a, vi b, int16_t) { return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
CV_INLINE vi pairs(vi a, vi b, int8_t) { return (vi)_mm256_maddubs_epi16((__m256i)a, (__m256i)b); }
#elif CV_WIDTH == 4
CV_INLINE vi pairs(vi a, vi b, int16_t) { return (vi)_mm_madd_epi16((__m128i)a, (__m128i)b); }
#else
typedef int32_t v8i __attribute__((vector_size(32)));
template <class Half>
CV_INLINE vi by_halves(vi a, vi b, Half half) {
  v8i x[2], y[2];
  memcpy(x, &a, sizeof a), memcpy(y, &b, sizeof b);
  for (int i = 0; i < 2; i++) x[i] = half(x[i], y[i]);
  return load_bytes<vi>(x);
}
CV_INLINE vi pairs(vi a, vi b, int16_t) {
  return by_halves(a, b, [](v8i x, v8i y) { return (v8i)_mm256_madd_epi16((__m256i)x, (__m256i)y); });
}
CV_INLINE vi pairs(vi a, vi b, int8_t) {
  return by_halves(a, b, [](v8i x, v8i y) { return (v8i)_mm256_maddubs_epi16((__m256i)x, (__m256i)y); });
}
#endif

// Keeps a sum in its register, as compilers reorder whole additions until their registers run out.
#if defined(__AVX512F__)
#define CV_KEEP(v) asm volatile("" : "+v"(v))
#elif defined(__x86_64__) && CV_WIDTH <= 8
#define CV_KEEP(v) asm volatile("" : "+x"(v))
#else
#define CV_KEEP(v)
#endif

// c [kRows, NR] = from + rows of x by a panel, 32 * parts of k. kLifted: less `taken` from every weight.
template <class T, int kEach, bool kLifted, int kRows>
[[gnu::noinline]] static void multiply_blocks(int64_t parts, const Rounded<T>& x, int taken, const uint8_t* b, const float* from,
                                              float* c) {
  typedef uint16_t vus __attribute__((vector_size(CV_WIDTH * 4)));  // sums that need not fit on their way wrap around
  constexpr int kUnits = kEach * sizeof(T) / 4;
  const vus ones = (uint16_t)1 - vus{}, lift = (uint16_t)taken - vus{};
  auto splat4 = [](const void* p) { return splati(load_bytes<int32_t>(p)); };
  auto add = [](vi sum, vi w, vi x) {
    if constexpr (sizeof(T) == 1) return (vi)((vus)sum + (vus)pairs(w, x, T()));
    else return sum + pairs(w, x, T());
  };
  auto whole = [&](vi sum) { return __builtin_convertvector(sizeof(T) == 1 ? pairs(sum, (vi)ones, int16_t()) : sum, vf); };
  const int64_t row = x.k, row32 = x.k / 32;
  const T *x0 = x.q, *x3 = x0 + 3 * row, *x6 = x3 + 3 * row, *x9 = x6 + 3 * row;  // base + {0, 1, 2} rows: addressing without multiplying
  const int16_t* lanes = kEach == 32 ? x.lanes32 : x.lanes16;
  for (int64_t part = 0; part < parts; part++)
    CV_UNROLL for (int s = 0; s < 32 / kEach; s++) {
      vi low[kRows], high[kRows];
      CV_UNROLL for (int i = 0; i < kRows; i++) {
        low[i] = high[i] = kLifted ? (vi)((vus)splat4(lanes + i * row32 * (64 / kEach)) * lift) : vi{};
      }
      const float* scales = (const float*)b;
      b += NR * 4;
      CV_UNROLL for (int u = 0; u < kUnits; u++) {
        const vi low_w = load_bytes<vi>(b + u * NR * 4), high_w = load_bytes<vi>(b + u * NR * 4 + sizeof(vi));
        CV_UNROLL for (int i = 0; i < kRows; i++) {
          const T* at = i < 3 ? x0 : i < 6 ? x3 : i < 9 ? x6 : x9;
          const vi four = splat4(at + i % 3 * row + u * (4 / sizeof(T)));
          low[i] = add(low[i], low_w, four), high[i] = add(high[i], high_w, four);
          CV_KEEP(low[i]);
          CV_KEEP(high[i]);
        }
      }
      const vf low_scale = load(scales), high_scale = load(scales + W);
      CV_UNROLL for (int i = 0; i < kRows; i++) {
        const vf unit = splat(x.scale[i * row32 + part]);
        store(c + i * NR, fma(whole(low[i]) * unit, low_scale, load(from + i * NR)));
        store(c + i * NR + W, fma(whole(high[i]) * unit, high_scale, load(from + i * NR + W)));
      }
      from = c;
      b += kUnits * NR * 4, lanes += 2;
      x0 += kEach, x3 += kEach, x6 += kEach, x9 += kEach;
    }
}

// Rows that one call of multiply_blocks may have: a strip's last rows are made up to the next of them.
template <class T, int kEach, bool kLifted>
CV_INLINE void multiply_strip(int64_t rows, int64_t parts, const Rounded<T>& x, int taken, const uint8_t* b, const float* from,
                              float* c) {
  if (rows <= MR / 3) return multiply_blocks<T, kEach, kLifted, MR / 3>(parts, x, taken, b, from, c);
  if (rows <= MR * 2 / 3) return multiply_blocks<T, kEach, kLifted, MR * 2 / 3>(parts, x, taken, b, from, c);
  multiply_blocks<T, kEach, kLifted, MR>(parts, x, taken, b, from, c);
}

}  // namespace CV_ISA
#endif
