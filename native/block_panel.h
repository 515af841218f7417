// Panels of weights in blocks, kept as whole numbers: what the products of block_gemm.h read.
//
// A panel holds NR columns (weight rows). For each `kEach` elements of k that share a scale it has the columns' NR scales, then, for every
// four bytes of k (four elements, or two where they are words), those four bytes of each column.
#pragma once
#include "block_rows.h"
#include "gemm_vector.h"

// What products a machine multiplies faster in whole numbers than in f32. (WebAssembly: 1.2 times as fast for q4_0, no faster for q8_0,
// for a fifth more code: left out.)
#if defined(__AVX2__)
#define CV_INTEGERS 2  // of bytes and of words
#elif defined(__SSE2__)
#define CV_INTEGERS 1  // of words
#else
#define CV_INTEGERS 0
#endif

namespace CV_ISA {

typedef int16_t s16x16 __attribute__((vector_size(32)));

template <bool kYes, class A, class B> struct Either { typedef A Type; };
template <class A, class B> struct Either<false, A, B> { typedef B Type; };

// How a format's products are computed.
//
// Unsigned weights stay bytes: a product with two activations of 8 bits is added up in 16 bits, over all elements that share a scale. That sum
// need not fit on its way, only at its end, where `kTaken` has been taken from every weight: |q - kTaken| * 127 * kEach / 2 < 2^15.
// Signed weights become words, as do all where the machine has no products of bytes, and activations have 16 bits.
template <class F>
struct Integers {
  static constexpr bool kBytes = CV_INTEGERS == 2 && !F::kSigned;
  static constexpr int kUnit = kBytes ? 4 : 2;  // elements in four bytes
  static constexpr int kEach = F::kElements / F::kScales;
  static constexpr int kTaken = F::kCenter || !kBytes ? F::kCenter : F::kBits > 4 ? 16 : 0;
  static constexpr int64_t kScaledBytes = NR * 4 + NR * kEach * (kBytes ? 1 : 2);  // of elements that share a scale
  typedef typename Either<kBytes, int8_t, int16_t>::Type Activation;
};

static inline bool in_bytes(cv::DType dtype) {
  return with_format(dtype, [](auto f) { return Integers<decltype(f)>::kBytes; });
}

// 16 of 32 bytes as words.
template <bool kSigned>
CV_INLINE s16x16 words_of(u8x32 v, int half) {
#if defined(__AVX2__)
  const __m128i bytes = half ? _mm256_extracti128_si256((__m256i)v, 1) : _mm256_castsi256_si128((__m256i)v);
  return (s16x16)(kSigned ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes));
#else
  u8x16 bytes[2];
  memcpy(bytes, &v, 32);
  const u8x16 none = {}, b = bytes[half];
  // A byte in the upper half of a word, moved down: its sign comes along.
  const s16x8 low = (s16x8)__builtin_shufflevector(none, b, 0, 16, 0, 17, 0, 18, 0, 19, 0, 20, 0, 21, 0, 22, 0, 23);
  const s16x8 high = (s16x8)__builtin_shufflevector(none, b, 0, 24, 0, 25, 0, 26, 0, 27, 0, 28, 0, 29, 0, 30, 0, 31);
  const int16_t mask = kSigned ? -1 : 255;
  const s16x8 words[2] = {(low >> 8) & mask, (high >> 8) & mask};
  return load_bytes<s16x16>(words);
#endif
}

// Columns w, w + row_bytes.. (at most NR, the missing ones zeros), `depth` elements of k from the start of w on.
// minima [depth / kEach, NR], of formats that have them.
template <class F>
[[gnu::noinline]] static void pack_blocks(const uint8_t* w, int64_t row_bytes, int64_t columns, int64_t depth, uint8_t* panel,
                                          float* minima) {
  typedef Integers<F> I;
  constexpr int kScalesOf32 = 32 / I::kEach;
  Head<F::kScales> heads[NR] = {};
  for (int64_t block = 0; block < depth / F::kElements; block++, w += F::kBytes) {
    for (int64_t c = 0; c < columns; c++) {
      F::head(w + c * row_bytes, heads[c]);
      // Of the next panel: short rows, read side by side, are more than the machine foresees.
      for (int byte = 0; byte < F::kBytes; byte += 64) __builtin_prefetch(w + (NR + c) * row_bytes + byte);
    }
    for (int i = 0; i < F::kElements / 32; i++, panel += kScalesOf32 * I::kScaledBytes) {
      for (int s = 0; s < kScalesOf32; s++) {
        float* scales = (float*)(panel + s * I::kScaledBytes);
        for (int c = 0; c < NR; c++) scales[c] = heads[c].scale[i * kScalesOf32 + s];
        if (!F::kMin) continue;
        for (int c = 0; c < NR; c++) minima[c] = heads[c].min[i * kScalesOf32 + s] + I::kTaken * scales[c];
        minima += NR;
      }
      for (int c = 0; c < NR; c += 8) {
        u8x32 q[8];
        CV_UNROLL for (int j = 0; j < 8; j++) q[j] = c + j < columns ? F::whole(w + (c + j) * row_bytes, i) : u8x32{};
        CV_UNROLL for (int half = 0; half < (I::kBytes ? 1 : 2); half++) {
          s32x8 v[8];
          CV_UNROLL for (int j = 0; j < 8; j++)
            v[j] = I::kBytes ? (s32x8)q[j] : (s32x8)(words_of<F::kSigned>(q[j], half) - (int16_t)F::kCenter);
          transpose8(v);
          CV_UNROLL for (int j = 0; j < 8; j++) {
            const int unit = 8 * half + j, units = I::kEach / I::kUnit;
            memcpy(panel + unit / units * I::kScaledBytes + NR * 4 + unit % units * NR * 4 + c * 4, &v[j], 32);
          }
        }
      }
    }
  }
}

}  // namespace CV_ISA
