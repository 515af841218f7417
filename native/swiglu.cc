// SwiGLU (Shazeer 2020): silu(gate) * up, gate and up side by side in a row of x.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {

void swiglu(const cv::SwigluArgs& args) {
  const float* x = args.x.f32();
  float* out = args.out.f32();
  const int64_t n = args.n;
  parallel_rows(args.rows, 3 * n, [=](int64_t r) {
    const float *gate = x + r * 2 * n, *up = gate + n;
    each_vector(n, [=](int64_t i, auto lanes) {
      vf g = get(gate + i, lanes);
      put(out + r * n + i, g * vsigmoid(g) * get(up + i, lanes), lanes);
    });
  });
}

void swiglu_grad(const cv::SwigluGradArgs& args) {
  const float *x = args.x.f32(), *dout = args.dout.f32();
  float* dx = args.dx.f32();
  const int64_t n = args.n;
  parallel_rows(args.rows, 5 * n, [=](int64_t r) {
    const float *gate = x + r * 2 * n, *up = gate + n;
    float *dgate = dx + r * 2 * n, *dup = dgate + n;
    each_vector(n, [=](int64_t i, auto lanes) {
      vf g = get(gate + i, lanes), d = get(dout + r * n + i, lanes), s = vsigmoid(g), silu = g * s;
      put(dgate + i, d * get(up + i, lanes) * fma(silu, 1.0f - s, s), lanes);
      put(dup + i, d * silu, lanes);
    });
  });
}

void swiglu_clamped(const cv::SwigluClampedArgs& args) {
  const float* x = args.x.f32();
  float* out = args.out.f32();
  const int64_t n = args.n;
  const float alpha = (float)args.alpha, limit = (float)args.limit;
  parallel_rows(args.rows, 3 * n, [=](int64_t r) {
    const float *gate = x + r * 2 * n, *up = gate + n;
    each_vector(n, [=](int64_t i, auto lanes) {
      vf g = vmin(splat(limit), get(gate + i, lanes));
      vf u = vmax(splat(-limit), vmin(splat(limit), get(up + i, lanes)));
      put(out + r * n + i, g * vsigmoid(g * alpha) * (u + 1.0f), lanes);
    });
  });
}

void group_bias(const cv::GroupBiasArgs& args) {
  const float *x = args.x.f32(), *bias = args.bias.f32();
  const int32_t* offsets = args.offsets.i32();
  float* out = args.out.f32();
  const int64_t n = args.n, groups = args.groups;
  parallel_pieces(args.rows, 3 * n, [=](int64_t begin, int64_t end) {
    int64_t g = 0;
    for (int64_t r = begin; r < end; r++) {
      while (g < groups && offsets[g + 1] <= r) g++;
      const float *from = x + r * n, *added = bias + g * n;
      float* to = out + r * n;
      if (g == groups) {
        if (to != from) memcpy(to, from, n * sizeof(float));
      } else
        each_vector(n, [=](int64_t i, auto lanes) { put(to + i, get(from + i, lanes) + get(added + i, lanes), lanes); });
    }
  });
}

}  // namespace CV_ISA
