// Random numbers by their places in a stream: Philox 4x32-10 (Salmon et al. 2011), a block of four words in each lane.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

typedef uint64_t vq __attribute__((vector_size(CV_WIDTH * 4)));

// The lower halves of 64-bit lanes times m.
CV_INLINE vq times(vq a, uint32_t m) {
#if CV_WIDTH == 16 && defined(__AVX512F__)
  return (vq)_mm512_maskz_mul_epu32((__mmask8)-1, (__m512i)a, (__m512i)(m - vq{}));  // as for vsqrt
#elif CV_WIDTH == 8 && defined(__AVX2__)
  return (vq)_mm256_mul_epu32((__m256i)a, (__m256i)(m - vq{}));
#elif CV_WIDTH == 4 && defined(__SSE2__)
  return (vq)_mm_mul_epu32((__m128i)a, (__m128i)(m - vq{}));
#else
  return (a & 0xffffffffu) * (uint64_t)m;
#endif
}

// The two halves of a * m.
CV_INLINE void multiply(vu a, uint32_t m, vu* high, vu* low) {
  const uint64_t upper = 0xffffffff00000000u;
  const vq even = times((vq)a, m), odd = times((vq)a >> 32, m);
  *high = (vu)((even >> 32) | (odd & upper));
  *low = (vu)((even & ~upper) | (odd << 32));
}

struct Words { vu word[4]; };

struct Stream { uint32_t step, stream, key0, key1; };

// The words of the W blocks from `block` on, one a lane.
CV_INLINE Words philox(const Stream& stream, uint32_t block) {
  vu c0 = {}, c1 = stream.step - vu{}, c2 = stream.stream - vu{}, c3 = {};
  for (int i = 0; i < W; i++) c0[i] = block + (uint32_t)i;
  uint32_t key0 = stream.key0, key1 = stream.key1;
  for (int round = 0; round < 10; round++) {
    vu high0, low0, high1, low1;
    multiply(c0, 0xd2511f53u, &high0, &low0);
    multiply(c2, 0xcd9e8d57u, &high1, &low1);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

struct Range { double low, high; };

// In double, as the reference: there are 24 random bits, and a range of f32 would lose some.
CV_INLINE vf uniform(vu word, Range range) {
  const vd u = __builtin_convertvector((vi)(word >> 8), vd);
  return __builtin_convertvector(range.low + u * ((range.high - range.low) / 16777216.0), vf);
}

// sqrt(-2 ln((word + 1) / 2^32)). Above one half, 1 less the fraction is what f32 can hold, and its logarithm is ln(1 - x).
CV_INLINE vf radius(vu word) {
  const vi bits = (vi)word, upper = bits < 0, most = splati(0x7ffffffe);
  const vi least = select(bits > most, most, bits) + 1;  // 2^31 - 1 is 2^31 as f32
  const vf x = __builtin_convertvector(select(upper, ~bits, least), vf) * 2.3283064365386963e-10f;
  const vf fraction = select(upper, 1.0f - x, x);
  const vf lost = select(upper, (-x - (fraction - 1.0f)) / fraction, vf{});  // what rounding 1 - x took
  return vsqrt(vmax(vf{}, -2.0f * (vlog(fraction) + lost)));
}

// Two independent normal numbers from two words (Box and Muller 1958). The angle is a whole number of 2^-32 turns, so its quadrant and
// what is left of it are exact.
CV_INLINE void box_muller(vu first, vu second, vf* a, vf* b) {
  const vu quadrant = (second + 0x20000000u) >> 30;
  const vf rest = __builtin_convertvector((vi)(second - (quadrant << 30)), vf) * 1.4629180792671596e-09f;  // pi/2 / 2^30
  vf sine, cosine;
  vsincos_reduced(rest, (vi)quadrant, &sine, &cosine);
  const vf r = radius(first);
  *a = r * cosine;
  *b = r * sine;
}

#if CV_WIDTH == 16
#define CV_ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define CV_ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif CV_WIDTH == 8
#define CV_ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define CV_ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define CV_ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define CV_ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

// Numbers that one call of philox gives.
constexpr int64_t drawn = 4 * W;

// v[0][0], v[1][0], v[2][0], v[3][0], v[0][1] ...
CV_INLINE void put_by_block(float* out, const vf (&v)[4]) {
  const vf even[] = {CV_ZIP_LOW(v[0], v[2]), CV_ZIP_HIGH(v[0], v[2])};
  const vf odd[] = {CV_ZIP_LOW(v[1], v[3]), CV_ZIP_HIGH(v[1], v[3])};
  for (int i = 0; i < 2; i++) {
    store(out + 2 * i * W, CV_ZIP_LOW(even[i], odd[i]));
    store(out + (2 * i + 1) * W, CV_ZIP_HIGH(even[i], odd[i]));
  }
}

// The numbers from `chunk` * drawn on.
void draw(const Stream& stream, bool normal, Range range, int64_t chunk, float* out) {
  const Words words = philox(stream, (uint32_t)(chunk * W));
  vf v[4];
  if (normal) {
    for (int i = 0; i < 4; i += 2) box_muller(words.word[i], words.word[i + 1], &v[i], &v[i + 1]);
    for (vf& one : v) one = fma(one, splat((float)range.high), splat((float)range.low));
  } else {
    for (int i = 0; i < 4; i++) v[i] = uniform(words.word[i], range);
  }
  put_by_block(out, v);
}

}  // namespace

// A number depends on its place in the stream alone, not on where an output begins.
void random(const cv::RandomArgs& args) {
  float* out = args.out.f32();
  const int32_t* at = args.at.i32();
  const Stream stream = {(uint32_t)at[0], (uint32_t)(int64_t)args.stream, (uint32_t)(int64_t)args.seed, (uint32_t)(int64_t)args.seed_high};
  const bool normal = args.kind == cv::RandomKind::normal_;
  const Range range = {args.low, args.high};
  const int64_t begin = at[1] * (int64_t)args.n, end = begin + args.rows * (int64_t)args.n, first_chunk = begin / drawn;
  parallel_pieces(ceil_div(end, drawn) - first_chunk, 8 * drawn, [=](int64_t from, int64_t to) {
    for (int64_t chunk = first_chunk + from; chunk < first_chunk + to; chunk++) {
      const int64_t start = chunk * drawn, left = most(start, begin), right = least(start + drawn, end);
      if (right - left == drawn) {
        draw(stream, normal, range, chunk, out + start - begin);
        continue;
      }
      float part[drawn];
      draw(stream, normal, range, chunk, part);
      memcpy(out + left - begin, part + left - start, (right - left) * sizeof(float));
    }
  });
}

}  // namespace CV_ISA
