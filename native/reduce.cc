// Reductions over the middle axis of [outer, n, inner]. A long axis is cut into pieces by the shape alone; the pieces'
// results are then joined in order.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

struct Sum {
  static constexpr float start = 0;
  CV_INLINE vf join(vf a, vf b) { return a + b; }
};
struct Max {
  static constexpr float start = -infinity;
  CV_INLINE vf join(vf a, vf b) { return vmax_nan(a, b); }
};
struct Min {
  static constexpr float start = infinity;
  CV_INLINE vf join(vf a, vf b) { return vmin_nan(a, b); }
};

// All lanes into one, halves first.
template <class Fold>
CV_INLINE float fold_lanes(vf v) {
  float lanes[W];
  for (int width = W / 2; width > 0; width /= 2) {
    store(lanes, v);
    v = Fold::join(v, get(lanes + width, Part{width}, Fold::start));
  }
  return first(v);
}

template <class Fold>
float fold_contiguous(const float* x, int64_t n) {
  vf a = splat(Fold::start), b = a, c = a, d = a;  // four chains, so that the adder's latency does not show
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W) {
    a = Fold::join(a, load(x + i));
    b = Fold::join(b, load(x + i + W));
    c = Fold::join(c, load(x + i + 2 * W));
    d = Fold::join(d, load(x + i + 3 * W));
  }
  each_vector(n - i, [&](int64_t j, auto lanes) { a = Fold::join(a, get(x + i + j, lanes, Fold::start)); });
  return fold_lanes<Fold>(Fold::join(Fold::join(a, b), Fold::join(c, d)));
}

// out[inner] = rows of x [n, inner] joined.
template <class Fold>
void fold_rows(const float* x, float* out, int64_t n, int64_t inner) {
  if (inner == 1) {
    *out = fold_contiguous<Fold>(x, n);
    return;
  }
  each_vector(inner, [&](int64_t i, auto lanes) {
    vf a = splat(Fold::start);
    for (int64_t j = 0; j < n; j++) a = Fold::join(a, get(x + j * inner + i, lanes));
    put(out + i, a, lanes);
  });
}

template <class Fold>
void reduce_run(const float* x, float* out, int64_t outer, int64_t n, int64_t inner) {
  const int64_t piece = most(64, task_floats / most(1, inner)), pieces = most(1, ceil_div(n, piece));
  float* partial = pieces == 1 ? out : (float*)cv::scratch(0, outer * pieces * inner * sizeof(float));
  parallel_rows(outer * pieces, least(n, piece) * inner, [=](int64_t task) {
    const int64_t o = task / pieces, begin = task % pieces * piece;
    fold_rows<Fold>(x + (o * n + begin) * inner, partial + task * inner, least(piece, n - begin), inner);
  });
  if (pieces == 1) return;
  parallel_rows(outer, pieces * inner,
                [=](int64_t o) { fold_rows<Fold>(partial + o * pieces * inner, out + o * inner, pieces, inner); });
}

}  // namespace

void reduce(const cv::ReduceArgs& args) {
  const float* x = args.x.f32();
  float* out = args.out.f32();
  switch (args.op) {
    case cv::ReduceOp::sum_: return reduce_run<Sum>(x, out, args.outer, args.n, args.inner);
    case cv::ReduceOp::max_: return reduce_run<Max>(x, out, args.outer, args.n, args.inner);
    case cv::ReduceOp::min_: return reduce_run<Min>(x, out, args.outer, args.n, args.inner);
  }
}

void sum_squares(const cv::SumSquaresArgs& args) {
  const int64_t n = args.n, pieces = ceil_div(n, task_floats);
  const float* x = args.x.f32();
  float* partial = (float*)cv::scratch(0, most(1, pieces) * sizeof(float));
  cv::parallel(pieces, [=](int64_t task) {
    const float* from = x + task * task_floats;
    vf sum = {};
    each_vector(least(task_floats, n - task * task_floats), [&](int64_t i, auto lanes) {
      vf v = get(from + i, lanes);
      sum = fma(v, v, sum);
    });
    partial[task] = hsum(sum);
  });
  double total = 0;
  for (int64_t i = 0; i < pieces; i++) total += partial[i];
  *args.out.f32() = (float)total;
}

}  // namespace CV_ISA
