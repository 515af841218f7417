// AdamW (Loshchilov & Hutter 2019, algorithm 2) over all parameters at once.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2, base *= base)
    if (exponent % 2) result *= base;
  return result;
}

// Means of gradients that have stopped coming decay until they are denormal, where each operation takes a hundred times as long.
CV_INLINE vf flushed(vf x) { return select(vabs(x) < 0x1p-126f, vf{}, x); }

}  // namespace

void adamw(const cv::AdamwArgs& args) {
  float *param = args.param.f32(), *m = args.m.f32(), *v = args.v.f32();
  const float *grad = args.grad.f32(), scale = args.grad_scale ? *args.grad_scale.f32() : 1;
  const float keep1 = (float)args.beta1, take1 = (float)(1 - args.beta1);
  const float keep2 = (float)args.beta2, take2 = (float)(1 - args.beta2);
  const float correct1 = (float)(1 / (1 - power(args.beta1, args.step)));
  const float correct2 = (float)(1 / (1 - power(args.beta2, args.step)));
  const float lr = (float)args.lr, eps = (float)args.eps, decay = (float)args.decay;
  const int64_t decayed = args.decayed;

  const auto update = [=](int64_t begin, int64_t end, float shrink) {
    each_vector(end - begin, [=](int64_t at, auto lanes) {
      const int64_t i = begin + at;
      vf g = get(grad + i, lanes) * scale, p = get(param + i, lanes);
      vf m1 = flushed(fma(get(m + i, lanes), splat(keep1), g * take1));
      vf v1 = flushed(fma(get(v + i, lanes), splat(keep2), g * g * take2));
      vf step = m1 * correct1 / (vsqrt(v1 * correct2) + eps) + shrink * p;
      put(m + i, m1, lanes);
      put(v + i, v1, lanes);
      put(param + i, p - lr * step, lanes);
    });
  };
  parallel_pieces(args.n, 4, [=](int64_t begin, int64_t end) {
    const int64_t turn = least(end, most(begin, decayed));  // decay stops here
    if (begin < turn) update(begin, turn, decay);
    if (turn < end) update(turn, end, 0);
  });
}

}  // namespace CV_ISA
