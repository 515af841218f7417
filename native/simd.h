// One vector type an instruction set. Each kernel file is compiled once per set, inside namespace CV_ISA, with CV_WIDTH
// floats a vector: 16 (AVX-512), 8 (AVX2), 4 (SSE2, NEON, wasm simd128). Built on the compilers' vector
// extensions, so that the source is the same for all; only what they cannot express is an intrinsic.
#pragma once
#include <stdint.h>
#include <string.h>
#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace CV_ISA {

constexpr int W = CV_WIDTH;
typedef float vf __attribute__((vector_size(CV_WIDTH * 4)));
typedef int32_t vi __attribute__((vector_size(CV_WIDTH * 4)));
typedef uint32_t vu __attribute__((vector_size(CV_WIDTH * 4)));
typedef uint16_t vh __attribute__((vector_size(CV_WIDTH * 2)));
typedef float v4f __attribute__((vector_size(16)));
typedef float v8f __attribute__((vector_size(32)));
typedef int32_t v4i __attribute__((vector_size(16)));
#define CV_INLINE static inline __attribute__((always_inline))
// Before a loop of few, constant turns over an array of vectors: unrolled, the array lives in registers. Before a loop over
// what is left of a vector: kept short, since unrolling it costs more compile time than the kernel itself.
#if defined(__clang__)
#define CV_UNROLL _Pragma("unroll")
#define CV_SHORT _Pragma("clang loop vectorize(disable) unroll(disable)")
#else
#define CV_UNROLL _Pragma("GCC unroll 16")
#define CV_SHORT _Pragma("GCC unroll 1")
#endif

CV_INLINE vf splat(float x) { return x - vf{}; }
CV_INLINE vi splati(int32_t x) { return x - vi{}; }
CV_INLINE vf load(const float* p) { vf v; memcpy(&v, p, sizeof v); return v; }
CV_INLINE void store(float* p, vf v) { memcpy(p, &v, sizeof v); }
CV_INLINE vf as_f(vi v) { return (vf)v; }
CV_INLINE vi as_i(vf v) { return (vi)v; }
// Lanes of `mask` are all ones or all zeros, as comparisons give them.
CV_INLINE vf select(vi mask, vf yes, vf no) { return as_f((mask & as_i(yes)) | (~mask & as_i(no))); }
// b where either is NaN.
#if CV_WIDTH == 16 && defined(__AVX512F__)
CV_INLINE vf vmax(vf a, vf b) { return (vf)_mm512_maskz_max_ps((__mmask16)-1, (__m512)a, (__m512)b); }  // as for vsqrt
CV_INLINE vf vmin(vf a, vf b) { return (vf)_mm512_maskz_min_ps((__mmask16)-1, (__m512)a, (__m512)b); }
#elif CV_WIDTH == 8 && defined(__AVX__)
CV_INLINE vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
CV_INLINE vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
#else
CV_INLINE vf vmax(vf a, vf b) { return select(a > b, a, b); }
CV_INLINE vf vmin(vf a, vf b) { return select(a < b, a, b); }
#endif
CV_INLINE vf vabs(vf a) { return as_f(as_i(a) & splati(0x7fffffff)); }

// a * b + c, fused where the machine fuses.
CV_INLINE vf fma(vf a, vf b, vf c) {
#if defined(__wasm_relaxed_simd__)
  return (vf)wasm_f32x4_relaxed_madd((v128_t)a, (v128_t)b, (v128_t)c);
#elif CV_WIDTH == 16 && defined(__AVX512F__)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif CV_WIDTH == 8 && defined(__FMA__)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

// The first n (< W) floats at p, the rest zero / the first n lanes of v to p. Never touches memory past p[n-1].
CV_INLINE vf load_n(const float* p, int64_t n) { vf v = {}; memcpy(&v, p, n * 4); return v; }
CV_INLINE void store_n(float* p, vf v, int64_t n) { memcpy(p, &v, n * 4); }

// Sums and maxima across lanes, always in the same order: join(upper half, lower half) until one lane is left. In registers:
// through memory, each step would wait for the store before it.
template <class Join>
CV_INLINE float across(vf v, Join join) {
#if CV_WIDTH == 16
  v8f eight = join(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
  v4f four = join(__builtin_shufflevector(eight, eight, 0, 1, 2, 3), __builtin_shufflevector(eight, eight, 4, 5, 6, 7));
#elif CV_WIDTH == 8
  v4f four = join(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7));
#else
  v4f four = v;
#endif
  v4f two = join(four, __builtin_shufflevector(four, four, 2, 3, 2, 3));
  return join(two[0], two[1]);
}
CV_INLINE float hsum(vf v) { return across(v, [](auto a, auto b) { return a + b; }); }
CV_INLINE float hmax(vf v) { return across(v, [](auto a, auto b) { return a > b ? a : b; }); }

// Whole numbers: the larger of each lane, the largest lane, and the lanes of a comparison as bits, the first lowest.
CV_INLINE vi select(vi mask, vi yes, vi no) { return (mask & yes) | (~mask & no); }
CV_INLINE vi vmax(vi a, vi b) { return select(a > b, a, b); }
CV_INLINE int32_t hmax(vi v) {
#if CV_WIDTH == 16
  v = vmax(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  v = vmax(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
#elif CV_WIDTH == 8
  v = vmax(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
#endif
  v4i four;
  memcpy(&four, &v, sizeof four);
  for (int i = 0; i < 2; i++) {
    v4i other = i == 0 ? __builtin_shufflevector(four, four, 2, 3, 0, 1) : __builtin_shufflevector(four, four, 1, 0, 3, 2);
    four = four > other ? four : other;
  }
  return four[0];
}
CV_INLINE uint32_t lane_bits(vi mask) {
#if CV_WIDTH == 16 && defined(__AVX512DQ__)
  return (uint32_t)_mm512_movepi32_mask((__m512i)mask);
#elif CV_WIDTH == 8 && defined(__AVX__)
  return (uint32_t)_mm256_movemask_ps((__m256)mask);
#elif CV_WIDTH == 4 && defined(__SSE2__)
  return (uint32_t)_mm_movemask_ps((__m128)mask);
#elif CV_WIDTH == 4 && defined(__wasm_simd128__)
  return (uint32_t)wasm_i32x4_bitmask((v128_t)mask);
#else
  uint32_t bits = 0;
  for (int i = 0; i < W; i++) bits |= (uint32_t)(mask[i] & 1) << i;
  return bits;
#endif
}

// bf16 is the upper half of an f32. Rounding is to nearest even; a NaN keeps a set mantissa bit.
CV_INLINE float bf16_to_f32(uint16_t h) { uint32_t u = (uint32_t)h << 16; float f; memcpy(&f, &u, 4); return f; }
CV_INLINE uint16_t f32_to_bf16(float f) {
  uint32_t u; memcpy(&u, &f, 4);
  if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)((u >> 16) | 0x40);
  return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
CV_INLINE vf round_bf16(vf x) {  // f32 lanes rounded to the nearest bf16
  vu u = (vu)x;
  vu r = (u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000u;
  vi nan = (vi)((u & 0x7fffffff) > 0x7f800000u);
  return select(nan, (vf)((u | 0x400000u) & 0xffff0000u), (vf)r);
}
CV_INLINE vf load_bf16(const uint16_t* p) {
  vh h; memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
}
CV_INLINE void store_bf16(uint16_t* p, vf v) {
  vh h = __builtin_convertvector((vu)round_bf16(v) >> 16, vh);
  memcpy(p, &h, sizeof h);
}

}  // namespace CV_ISA
