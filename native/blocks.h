// The block formats of weights (GGUF's), each described once: how 32 neighbouring elements lie in a block. Decoding, products with f32
// and products with rows rounded to whole numbers are all written over that description. src/kernels/blocks says what is right.
//
// A format F has kElements a block of kBytes bytes and kScales scales, each for kElements / kScales elements. Element e is worth
//   scale * (q - kCenter) + min,  q = whole(e): unsigned bytes, or signed where kSigned; min only where kMin. kBits: of q.
// kWide: a scale may be so large that times that of a row of x it is infinite, though no product is.
#pragma once
#include "simd.h"

namespace CV_ISA {

// 32 elements of a row, and 8 lanes of four elements each, whatever the width of the machine's vectors.
typedef uint8_t u8x32 __attribute__((vector_size(32)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef int8_t s8x32 __attribute__((vector_size(32)));
typedef uint8_t u8x8 __attribute__((vector_size(8)));
typedef int8_t s8x8 __attribute__((vector_size(8)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef int32_t s32x8 __attribute__((vector_size(32)));
typedef int16_t s16x8 __attribute__((vector_size(16)));
typedef int32_t s32x4 __attribute__((vector_size(16)));

template <class V>
CV_INLINE V load_bytes(const void* p) { V v; memcpy(&v, p, sizeof v); return v; }
CV_INLINE f32x8 splat8(float x) { return x - f32x8{}; }

// a * b + c, fused where the machine fuses.
CV_INLINE f32x8 fma8(f32x8 a, f32x8 b, f32x8 c) {
#if defined(__FMA__)
  return (f32x8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// Eight bytes as whole numbers.
CV_INLINE s32x8 widen(const uint8_t* p) {
#if defined(__AVX2__)
  return (s32x8)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
#else
  typedef uint16_t u16x8 __attribute__((vector_size(16)));
  const u8x8 v = load_bytes<u8x8>(p), none = {};
  const u16x8 words = (u16x8)__builtin_shufflevector(v, none, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  return (s32x8)__builtin_shufflevector(words, u16x8{}, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
#endif
}

// f16, exactly: subnormals, infinities and NaN too.
CV_INLINE float f16_to_f32(uint16_t h) {
#if defined(__F16C__)
  return _cvtsh_ss(h);
#else
  uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, bits;
  float f; memcpy(&f, &magnitude, 4);
  f *= 0x1p112f;
  memcpy(&bits, &f, 4);
  if (magnitude >= 0x0f800000) bits |= 0x7f800000;
  bits |= (uint32_t)(h & 0x8000) << 16;
  memcpy(&f, &bits, 4);
  return f;
#endif
}
CV_INLINE float half_at(const uint8_t* p) { return f16_to_f32(load_bytes<uint16_t>(p)); }
CV_INLINE uint32_t word_at(const uint8_t* p) { return load_bytes<uint32_t>(p); }

// The low halves of 16 bytes, then the high ones.
CV_INLINE u8x32 nibbles(const uint8_t* p) {
  u8x16 v = load_bytes<u8x16>(p);
#if defined(__AVX2__)
  __m256i pair = _mm256_set_m128i(_mm_srli_epi16((__m128i)v, 4), (__m128i)v);
  return (u8x32)_mm256_and_si256(pair, _mm256_set1_epi8(15));
#else
  return __builtin_shufflevector(v & 15, v >> 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
                                 24, 25, 26, 27, 28, 29, 30, 31);
#endif
}

// kBits bits from bit `shift` on of each byte. A shift of whole 16-bit words, masked, is that of bytes.
template <int kBits>
CV_INLINE u8x32 bits_of(u8x32 v, int shift) {
  typedef uint16_t u16x16 __attribute__((vector_size(32)));
  return (u8x32)((u16x16)v >> (uint16_t)shift) & (uint8_t)((1 << kBits) - 1);
}

// Bit e of 32 bits as byte e of `one`.
CV_INLINE u8x32 spread(uint32_t bits, uint8_t one) {
#if defined(__AVX2__)
  const __m256i byte = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
  const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
  __m256i v = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte), bit);
  return (u8x32)_mm256_and_si256(_mm256_cmpeq_epi8(v, bit), _mm256_set1_epi8((char)one));
#else
  uint64_t lanes[4];
  for (int i = 0; i < 4; i++) {  // each of 8 bits to a byte of its own
    uint64_t b = (((bits >> (8 * i)) & 255) * 0x0101010101010101ull) & 0x8040201008040201ull;
    lanes[i] = (((b + 0x7f7f7f7f7f7f7f7full) | b) >> 7 & 0x0101010101010101ull) * one;
  }
  return load_bytes<u8x32>(lanes);
#endif
}

// table[q] for q below 16.
CV_INLINE s8x32 look_up(const int8_t* table, u8x32 q) {
#if defined(__AVX2__)
  return (s8x32)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)table)), (__m256i)q);
#else
  uint8_t places[32];
  int8_t out[32];
  memcpy(places, &q, 32);
  for (int i = 0; i < 32; i++) out[i] = table[places[i]];
  return load_bytes<s8x32>(out);
#endif
}

// Four vectors of four, rows become columns.
CV_INLINE void transpose4(v4f (&v)[4]) {
  v4f low = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), low2 = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
  v4f high = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7), high2 = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(low, low2, 0, 1, 4, 5), v[1] = __builtin_shufflevector(low, low2, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(high, high2, 0, 1, 4, 5), v[3] = __builtin_shufflevector(high, high2, 2, 3, 6, 7);
}

// Eight of eight: lane c of v[d] becomes lane d of v[c]. Lanes are moved as they are, whatever they hold.
template <class V>
CV_INLINE void transpose8(V (&v)[8]) {
#if CV_WIDTH >= 8
  V t[8];
  CV_UNROLL for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  CV_UNROLL for (int i = 0; i < 8; i += 4) CV_UNROLL for (int j = 0; j < 2; j++) {
    v[i + 2 * j] = __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    v[i + 2 * j + 1] = __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  CV_UNROLL for (int i = 0; i < 4; i++) {
    const V low = v[i], high = v[i + 4];
    v[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = __builtin_shufflevector(low, high, 4, 5, 6, 7, 12, 13, 14, 15);
  }
#else  // where GCC takes vectors of eight apart, lane by lane
  v4f squares[2][2][4];
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 2; j++) memcpy(&squares[i / 4][j][i % 4], (const char*)&v[i] + 16 * j, 16);
  for (int i = 0; i < 4; i++) transpose4(squares[i / 2][i % 2]);
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 2; j++) memcpy((char*)&v[i] + 16 * j, &squares[j][i / 4][i % 4], 16);
#endif
}

// What a block says of all its elements.
template <int kScales>
struct Head { float scale[kScales], min[kScales]; };

// What F::columns reads from blocks of eight columns (weight rows), `stride` bytes apart, F::part makes elements 32 * i and up of: lane
// c of q[d] holds four, 4 * d and up, of column c. kShare neighbouring parts are made of what was read once.
template <class F>
CV_INLINE void whole_of_columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) {
  CV_UNROLL for (int c = 0; c < 8; c++) q[c] = (s32x8)F::whole(b + c * stride, i);
  transpose8(q);
}

// 16 bytes of each of eight columns: lane c of v[j] is word j of column c.
CV_INLINE void words_of_columns(const uint8_t* b, int64_t stride, s32x8 (&v)[4]) {
  s32x8 t[4];
  CV_UNROLL for (int c = 0; c < 4; c++)
    v[c] = __builtin_shufflevector(load_bytes<s32x4>(b + c * stride), load_bytes<s32x4>(b + (c + 4) * stride), 0, 1, 2, 3, 4, 5, 6, 7);
  CV_UNROLL for (int i = 0; i < 4; i += 2) {
    t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  CV_UNROLL for (int j = 0; j < 2; j++) {
    v[2 * j] = __builtin_shufflevector(t[j], t[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    v[2 * j + 1] = __builtin_shufflevector(t[j], t[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
}

// Elements that are halves of 16 bytes, the low halves first: moved before they are taken apart.
CV_INLINE void nibbles_of_columns(const uint8_t* b, int64_t stride, s32x8 (&q)[8]) {
  s32x8 v[4];
  words_of_columns(b, stride, v);
  CV_UNROLL for (int d = 0; d < 4; d++) q[d] = (s32x8)bits_of<4>((u8x32)v[d], 0), q[d + 4] = (s32x8)bits_of<4>((u8x32)v[d], 4);
}

// Where one part is read at a time, as it is.
struct OwnParts {
  static constexpr int kShare = 1;
  CV_MEMBER static void part(const s32x8 (&read)[8], int, s32x8 (&q)[8]) { memcpy(q, read, sizeof q); }
};

// Where bytes hold kBits bits of each of several parts.
template <int kBits>
struct SharedParts {
  static constexpr int kShare = 8 / kBits;
  CV_MEMBER static void part(const s32x8 (&read)[8], int i, s32x8 (&q)[8]) {
    CV_UNROLL for (int d = 0; d < 8; d++) q[d] = (s32x8)bits_of<kBits>((u8x32)read[d], i % kShare * kBits);
  }
  CV_MEMBER static void read_columns(const uint8_t* b, int64_t stride, s32x8 (&q)[8]) {
    CV_UNROLL for (int c = 0; c < 8; c++) q[c] = load_bytes<s32x8>(b + c * stride);
    transpose8(q);
  }
};

// An f16 of each of eight columns, `stride` bytes apart.
CV_INLINE f32x8 halves_of_columns(const uint8_t* b, int64_t stride) {
#if defined(__F16C__)
  auto at = [=](int c) { return load_bytes<int16_t>(b + c * stride); };
  return (f32x8)_mm256_cvtph_ps(_mm_set_epi16(at(7), at(6), at(5), at(4), at(3), at(2), at(1), at(0)));
#else
  f32x8 v;
  CV_UNROLL for (int c = 0; c < 8; c++) v[c] = half_at(b + c * stride);
  return v;
#endif
}

struct Block32 : OwnParts {
  static constexpr int kElements = 32, kScales = 1, kCenter = 0, kBits = 4;
  static constexpr bool kSigned = false, kMin = false, kWide = false;
  CV_MEMBER static f32x8 scales(const uint8_t* b, int64_t stride) { return halves_of_columns(b, stride); }
};

struct Q4_0 : Block32 {
  static constexpr int kBytes = 18, kCenter = 8;
  CV_MEMBER static void head(const uint8_t* b, Head<1>& h) { h.scale[0] = half_at(b); }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int) { return nibbles(b + 2); }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int, s32x8 (&q)[8]) { nibbles_of_columns(b + 2, stride, q); }
};
struct Q4_1 : Block32 {
  static constexpr int kBytes = 20;
  static constexpr bool kMin = true;
  CV_MEMBER static void head(const uint8_t* b, Head<1>& h) { h.scale[0] = half_at(b), h.min[0] = half_at(b + 2); }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int) { return nibbles(b + 4); }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int, s32x8 (&q)[8]) { nibbles_of_columns(b + 4, stride, q); }
};
struct Q5_0 : Block32 {
  static constexpr int kBytes = 22, kCenter = 16, kBits = 5;
  CV_MEMBER static void head(const uint8_t* b, Head<1>& h) { h.scale[0] = half_at(b); }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int) { return nibbles(b + 6) | spread(word_at(b + 2), 16); }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { whole_of_columns<Q5_0>(b, stride, i, q); }
};
struct Q5_1 : Block32 {
  static constexpr int kBytes = 24, kBits = 5;
  static constexpr bool kMin = true;
  CV_MEMBER static void head(const uint8_t* b, Head<1>& h) { h.scale[0] = half_at(b), h.min[0] = half_at(b + 2); }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int) { return nibbles(b + 8) | spread(word_at(b + 4), 16); }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { whole_of_columns<Q5_1>(b, stride, i, q); }
};
struct Q8_0 : Block32 {
  static constexpr int kBytes = 34, kBits = 8;
  static constexpr bool kSigned = true;
  CV_MEMBER static void head(const uint8_t* b, Head<1>& h) { h.scale[0] = half_at(b); }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int) { return load_bytes<u8x32>(b + 2); }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { whole_of_columns<Q8_0>(b, stride, i, q); }
};
struct Iq4Nl : Block32 {
  static constexpr int kBytes = 18;
  static constexpr bool kSigned = true;
  CV_MEMBER static void head(const uint8_t* b, Head<1>& h) { h.scale[0] = half_at(b); }
  static constexpr int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  CV_MEMBER static u8x32 whole(const uint8_t* b, int) { return (u8x32)look_up(kLevels, nibbles(b + 2)); }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int, s32x8 (&q)[8]) {
    nibbles_of_columns(b + 2, stride, q);
    CV_UNROLL for (int d = 0; d < 8; d++) q[d] = (s32x8)look_up(kLevels, (u8x32)q[d]);
  }
};
struct Mxfp4 : Block32 {
  static constexpr int kBytes = 17;
  static constexpr bool kSigned = true, kWide = true;
  // Half of 2^(e - 127), the levels being twice those of e2m1.
  CV_MEMBER static void head(const uint8_t* b, Head<1>& h) {
    uint32_t bits = b[0] < 2 ? 0x00200000u << b[0] : (uint32_t)(b[0] - 1) << 23;
    memcpy(&h.scale[0], &bits, 4);
  }
  CV_MEMBER static f32x8 scales(const uint8_t* b, int64_t stride) {
    f32x8 v;
    Head<1> h;
    CV_UNROLL for (int c = 0; c < 8; c++) head(b + c * stride, h), v[c] = h.scale[0];
    return v;
  }
  static constexpr int8_t kLevels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  CV_MEMBER static u8x32 whole(const uint8_t* b, int) { return (u8x32)look_up(kLevels, nibbles(b + 1)); }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int, s32x8 (&q)[8]) {
    nibbles_of_columns(b + 1, stride, q);
    CV_UNROLL for (int d = 0; d < 8; d++) q[d] = (s32x8)look_up(kLevels, (u8x32)q[d]);
  }
};

struct Block256 {
  static constexpr int kElements = 256, kScales = 16, kCenter = 0, kBits = 4;
  static constexpr bool kSigned = false, kMin = false, kWide = false;
};

// Eight bytes (less `center`) as floats, times d.
CV_INLINE void scale_bytes(const uint8_t* p, float d, float* out, int center = 0) {
  f32x8 v = __builtin_convertvector(widen(p) - center, f32x8) * splat8(d);
  memcpy(out, &v, 32);
}

struct Q2K : Block256, SharedParts<2> {
  static constexpr int kBytes = 84, kBits = 2;
  static constexpr bool kMin = true;
  CV_MEMBER static void head(const uint8_t* b, Head<16>& h) {
    const float d = half_at(b + 80), dmin = half_at(b + 82);
    u8x16 v = load_bytes<u8x16>(b), low = v & 15, high = v >> 4;
    uint8_t bytes[32];
    memcpy(bytes, &low, 16), memcpy(bytes + 16, &high, 16);
    scale_bytes(bytes, d, h.scale), scale_bytes(bytes + 8, d, h.scale + 8);
    scale_bytes(bytes + 16, -dmin, h.min), scale_bytes(bytes + 24, -dmin, h.min + 8);
  }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int i) {
    return bits_of<2>(load_bytes<u8x32>(b + 16 + i / 4 * 32), i % 4 * 2);
  }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { read_columns(b + 16 + i / 4 * 32, stride, q); }
};
struct Q3K : Block256, OwnParts {
  static constexpr int kBytes = 110, kCenter = 4, kBits = 3;
  CV_MEMBER static void head(const uint8_t* b, Head<16>& h) {
    const uint32_t x = word_at(b + 96), y = word_at(b + 100), z = word_at(b + 104);
    const uint32_t low = 0x0f0f0f0f, high = 0x30303030;
    const uint32_t six[4] = {(x & low) | (z << 4 & high), (y & low) | (z << 2 & high), (x >> 4 & low) | (z & high),
                             (y >> 4 & low) | (z >> 2 & high)};
    const uint8_t* bytes = (const uint8_t*)six;
    const float d = half_at(b + 108);
    scale_bytes(bytes, d, h.scale, 32), scale_bytes(bytes + 8, d, h.scale + 8, 32);
  }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int i) {
    u8x32 low = bits_of<2>(load_bytes<u8x32>(b + 32 + i / 4 * 32), i % 4 * 2);
    return low | (bits_of<1>(load_bytes<u8x32>(b), i) << 2);
  }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { whole_of_columns<Q3K>(b, stride, i, q); }
};

// The 6-bit scales and minima of q4_k and q5_k: eight of each in 12 bytes.
CV_INLINE void head_of_six(const uint8_t* b, Head<8>& h) {
  const uint32_t x = word_at(b + 4), y = word_at(b + 8), z = word_at(b + 12);
  const uint32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, top = 0x30303030;
  const uint32_t scales[2] = {x & six, (z & four) | (x >> 2 & top)};
  const uint32_t mins[2] = {y & six, (z >> 4 & four) | (y >> 2 & top)};
  scale_bytes((const uint8_t*)scales, half_at(b), h.scale);
  scale_bytes((const uint8_t*)mins, -half_at(b + 2), h.min);
}

// The same of eight columns: lane c is column c's.
CV_INLINE void heads_of_six(const uint8_t* b, int64_t stride, f32x8* scale, f32x8* min) {
  const int32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, top = 0x30303030;
  const f32x8 d = halves_of_columns(b, stride), dmin = -halves_of_columns(b + 2, stride);
  s32x8 v[4];
  words_of_columns(b, stride, v);
  const s32x8 scales[2] = {v[1] & six, (v[3] & four) | (v[1] >> 2 & top)}, mins[2] = {v[2] & six, (v[3] >> 4 & four) | (v[2] >> 2 & top)};
  CV_UNROLL for (int i = 0; i < 8; i++) {
    scale[i] = __builtin_convertvector(scales[i / 4] >> (8 * (i % 4)) & 255, f32x8) * d;
    min[i] = __builtin_convertvector(mins[i / 4] >> (8 * (i % 4)) & 255, f32x8) * dmin;
  }
}

struct Q4K : Block256, SharedParts<4> {
  static constexpr int kBytes = 144, kScales = 8;
  static constexpr bool kMin = true;
  CV_MEMBER static void head(const uint8_t* b, Head<8>& h) { head_of_six(b, h); }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int i) {
    return bits_of<4>(load_bytes<u8x32>(b + 16 + i / 2 * 32), i % 2 * 4);
  }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { read_columns(b + 16 + i / 2 * 32, stride, q); }
};
struct Q5K : Block256, OwnParts {
  static constexpr int kBytes = 176, kScales = 8, kBits = 5;
  static constexpr bool kMin = true;
  CV_MEMBER static void head(const uint8_t* b, Head<8>& h) { head_of_six(b, h); }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int i) {
    u8x32 low = bits_of<4>(load_bytes<u8x32>(b + 48 + i / 2 * 32), i % 2 * 4);
    return low | (bits_of<1>(load_bytes<u8x32>(b + 16), i) << 4);
  }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { whole_of_columns<Q5K>(b, stride, i, q); }
};
struct Q6K : Block256, OwnParts {
  static constexpr int kBytes = 210, kCenter = 32, kBits = 6;
  CV_MEMBER static void head(const uint8_t* b, Head<16>& h) {
    const float d = half_at(b + 208);
    const u8x16 flipped = load_bytes<u8x16>(b + 192) ^ 128;  // signed bytes, plus 128
    uint8_t bytes[16];
    memcpy(bytes, &flipped, 16);
    scale_bytes(bytes, d, h.scale, 128), scale_bytes(bytes + 8, d, h.scale + 8, 128);
  }
  CV_MEMBER static u8x32 whole(const uint8_t* b, int i) {
    u8x32 low = bits_of<4>(load_bytes<u8x32>(b + i / 4 * 64 + i % 2 * 32), i / 2 % 2 * 4);
    return low | (bits_of<2>(load_bytes<u8x32>(b + 128 + i / 4 * 32), i % 4 * 2) << 4);
  }
  CV_MEMBER static void columns(const uint8_t* b, int64_t stride, int i, s32x8 (&q)[8]) { whole_of_columns<Q6K>(b, stride, i, q); }
};

// v = elements 32*i and up of a block.
template <class F>
CV_INLINE void values_of_part(const uint8_t* b, const Head<F::kScales>& h, int i, f32x8 (&v)[4]) {
  u8x32 q = F::whole(b, i);
  if (F::kSigned) q ^= 128;  // plus 128
  uint8_t bytes[32];
  memcpy(bytes, &q, 32);
  CV_UNROLL for (int e = 0; e < 4; e++) {
    const int s = F::kScales == 16 ? 2 * i + e / 2 : F::kScales == 8 ? i : 0;
    v[e] = __builtin_convertvector(widen(bytes + 8 * e) - (F::kSigned ? 128 : F::kCenter), f32x8) * splat8(h.scale[s]);
    if (F::kMin) v[e] += splat8(h.min[s]);
  }
}

// Elements p to p + n of a row that starts at `row`, both whole multiples of 32.
template <class F>
static void decode_blocks(const uint8_t* row, int64_t p, int64_t n, float* out) {
  for (const int64_t end = p + n; p < end;) {
    const uint8_t* b = row + p / F::kElements * F::kBytes;
    Head<F::kScales> h;
    F::head(b, h);
    const int64_t stop = (p / F::kElements + 1) * F::kElements;
    for (; p < end && p < stop; p += 32, out += 32) {
      f32x8 v[4];
      values_of_part<F>(b, h, p % F::kElements / 32, v);
      memcpy(out, v, sizeof v);
    }
  }
}

struct f16 { uint16_t bits; };
CV_INLINE vf load_f16(const f16* p) {
#if CV_WIDTH == 16 && defined(__AVX512F__)
  return (vf)_mm512_maskz_cvtph_ps(0xffff, load_bytes<__m256i>(p));
#elif CV_WIDTH == 8 && defined(__F16C__)
  return (vf)_mm256_cvtph_ps(load_bytes<__m128i>(p));
#else
  vf v;
  float lanes[W];
  CV_UNROLL for (int i = 0; i < W; i++) lanes[i] = f16_to_f32(p[i].bits);
  memcpy(&v, lanes, sizeof v);
  return v;
#endif
}

static void decode_f16(const uint8_t* row, int64_t p, int64_t n, float* out) {
  const f16* x = (const f16*)row + p;
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, load_f16(x + i));
  CV_SHORT for (; i < n; i++) out[i] = f16_to_f32(x[i].bits);
}

// A weight dtype that no operand of a product can be read as directly.
struct BlockFormat {
  int elements, bytes;
  void (*decode)(const uint8_t* row, int64_t p, int64_t n, float* out);
};

template <class F>
static constexpr BlockFormat format_of_blocks = {F::kElements, F::kBytes, decode_blocks<F>};
static constexpr BlockFormat format_of_f16 = {1, 2, decode_f16};

// Calls f with a value of the format's type.
template <class Call>
CV_INLINE auto with_format(cv::DType dtype, Call f) {
  switch (dtype) {
    case cv::DType::q4_0: return f(Q4_0{});
    case cv::DType::q4_1: return f(Q4_1{});
    case cv::DType::q5_0: return f(Q5_0{});
    case cv::DType::q5_1: return f(Q5_1{});
    case cv::DType::q2_k: return f(Q2K{});
    case cv::DType::q3_k: return f(Q3K{});
    case cv::DType::q4_k: return f(Q4K{});
    case cv::DType::q5_k: return f(Q5K{});
    case cv::DType::q6_k: return f(Q6K{});
    case cv::DType::iq4_nl: return f(Iq4Nl{});
    case cv::DType::mxfp4: return f(Mxfp4{});
    default: return f(Q8_0{});
  }
}

// How `dtype` is decoded; null for f32 and bf16, which are read as they are.
static inline const BlockFormat* format_of(cv::DType dtype) {
  if (dtype == cv::DType::f32 || dtype == cv::DType::bf16 || dtype == cv::DType::i32) return nullptr;
  if (dtype == cv::DType::f16) return &format_of_f16;
  return with_format(dtype, [](auto f) -> const BlockFormat* { return &format_of_blocks<decltype(f)>; });
}

}  // namespace CV_ISA
