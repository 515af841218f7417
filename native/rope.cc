// Rotary position embedding (Su et al. 2021, eq. 34).
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

// Pairs (i, i + half) of one head; out may be x.
void turn_halves(const float* x, const float* cos, const float* sin, float sign, float* out, int64_t half) {
  each_vector(half, [=](int64_t i, auto lanes) {
    vf a = get(x + i, lanes), b = get(x + half + i, lanes);
    vf c = get(cos + i, lanes), s = get(sin + i, lanes) * sign;
    put(out + i, a * c - b * s, lanes);
    put(out + half + i, a * s + b * c, lanes);
  });
}

// Pairs (2i, 2i + 1) of one head.
void turn_pairs(const float* x, const float* cos, const float* sin, float sign, float* out, int64_t half) {
  for (int64_t i = 0; i < half; i++) {
    const float a = x[2 * i], b = x[2 * i + 1], c = cos[i], s = sin[i] * sign;
    out[2 * i] = a * c - b * s;
    out[2 * i + 1] = a * s + b * c;
  }
}

}  // namespace

void rope(const cv::RopeArgs& args) {
  const float *x = args.x.f32(), *cos = args.cos.f32(), *sin = args.sin.f32();
  const int32_t* position = args.position.i32();
  float* out = args.out.f32();
  const int64_t heads = args.heads, dim = args.head_dim, rotary = args.rotary, half = rotary / 2;
  const float sign = args.inverse ? -1 : 1;
  const auto turn = args.interleaved ? turn_pairs : turn_halves;
  parallel_rows(args.tokens, heads * dim, [=](int64_t t) {
    const int64_t angles = position[t] * half;
    for (int64_t at = t * heads * dim; at < (t + 1) * heads * dim; at += dim) {
      turn(x + at, cos + angles, sin + angles, sign, out + at, half);
      if (out != x && rotary < dim) memcpy(out + at + rotary, x + at + rotary, (dim - rotary) * sizeof(float));
    }
  });
}

}  // namespace CV_ISA
