// RMSNorm (Zhang & Sennrich 2019), LayerNorm (Ba et al. 2016) and their gradients. With u the normalised row and
// g = weight * dy: dx = rstd * (g - u mean(u g) - mean(g)), the last term only for LayerNorm.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

// A weight or bias that may be absent.
template <class L>
CV_INLINE vf get_or(const float* p, int64_t i, L lanes, float absent) { return p ? get(p + i, lanes) : splat(absent); }

inline float inverse_sqrt(float x) { return 1 / first(vsqrt(splat(x))); }

struct NormGrad {
  const float *x, *weight, *mean, *rstd, *dy;  // mean null: RMSNorm
  float *dx, *dweight, *dbias;                 // dweight and dbias may be null
  int64_t rows, n;
};

// dx of one row; adds to dweight and dbias.
void norm_grad_row(const NormGrad& a, int64_t r, float* dweight, float* dbias) {
  const float *x = a.x + r * a.n, *dy = a.dy + r * a.n;
  const float mean = a.mean ? a.mean[r] : 0, rstd = a.rstd[r];
  vf alongs = {}, sums = {};
  each_vector(a.n, [&](int64_t i, auto lanes) {
    vf d = get(dy + i, lanes), u = (get(x + i, lanes) - mean) * rstd, g = d * get_or(a.weight, i, lanes, 1);
    alongs = fma(g, u, alongs);  // g is 0 past the end
    sums += g;
    if (dweight) put(dweight + i, fma(d, u, get(dweight + i, lanes)), lanes);
    if (dbias) put(dbias + i, get(dbias + i, lanes) + d, lanes);
  });
  const float along = hsum(alongs) / (float)a.n, shift = a.mean ? hsum(sums) / (float)a.n : 0;
  each_vector(a.n, [&](int64_t i, auto lanes) {
    vf u = (get(x + i, lanes) - mean) * rstd, g = get(dy + i, lanes) * get_or(a.weight, i, lanes, 1);
    put(a.dx + r * a.n + i, rstd * (g - u * along - shift), lanes);
  });
}

// The weights' gradients are summed over pieces of rows, then over the pieces in order.
void norm_grad(const NormGrad& a) {
  const int64_t piece = most(most(1, task_floats / most(1, 2 * a.n)), ceil_div(a.rows, 64));
  const int64_t pieces = ceil_div(a.rows, piece), n = a.n;
  const bool wanted = a.dweight || a.dbias;
  float* partial = wanted ? (float*)cv::scratch(0, most(1, pieces) * 2 * n * sizeof(float)) : nullptr;
  cv::parallel(pieces, [&](int64_t task) {
    float* sums = partial + task * 2 * n;
    if (wanted) memset(sums, 0, 2 * n * sizeof(float));
    for (int64_t r = task * piece; r < least(a.rows, (task + 1) * piece); r++)
      norm_grad_row(a, r, a.dweight ? sums : nullptr, a.dbias ? sums + n : nullptr);
  });
  float* const outputs[] = {a.dweight, a.dbias};
  for (float* out : outputs) {
    if (!out) continue;
    const float* from = partial + (out == a.dbias ? n : 0);
    parallel_pieces(n, pieces, [=](int64_t begin, int64_t end) {
      each_vector(end - begin, [=](int64_t i, auto lanes) {
        vf sum = {};
        for (int64_t task = 0; task < pieces; task++) sum += get(from + task * 2 * n + begin + i, lanes);
        put(out + begin + i, sum, lanes);
      });
    });
  }
}

}  // namespace

void rms_norm(const cv::RmsNormArgs& args) {
  const float *x = args.x.f32(), *weight = args.weight.f32();
  float *out = args.out.f32(), *rstd = args.rstd.f32();
  const int64_t n = args.n;
  const float eps = (float)args.eps;
  parallel_rows(args.rows, n, [=](int64_t r) {
    const float* row = x + r * n;
    vf squares = {};
    each_vector(n, [&](int64_t i, auto lanes) {
      vf v = get(row + i, lanes);
      squares = fma(v, v, squares);
    });
    const float scale = rstd[r] = inverse_sqrt(hsum(squares) / (float)n + eps);
    each_vector(n, [&](int64_t i, auto lanes) {
      put(out + r * n + i, get(row + i, lanes) * scale * get_or(weight, i, lanes, 1), lanes);
    });
  });
}

void rms_norm_grad(const cv::RmsNormGradArgs& args) {
  norm_grad({args.x.f32(), args.weight.f32(), nullptr, args.rstd.f32(), args.dy.f32(), args.dx.f32(),
             args.dweight.f32(), nullptr, args.rows, args.n});
}

void layer_norm(const cv::LayerNormArgs& args) {
  const float *x = args.x.f32(), *weight = args.weight.f32(), *bias = args.bias.f32();
  float *out = args.out.f32(), *means = args.mean.f32(), *rstd = args.rstd.f32();
  const int64_t n = args.n;
  const float eps = (float)args.eps;
  parallel_rows(args.rows, n, [=](int64_t r) {
    const float* row = x + r * n;
    vf sums = {}, squares = {};
    each_vector(n, [&](int64_t i, auto lanes) { sums += get(row + i, lanes); });
    const float mean = means[r] = hsum(sums) / (float)n;
    each_vector(n, [&](int64_t i, auto lanes) {
      vf v = get(row + i, lanes, mean) - mean;
      squares = fma(v, v, squares);
    });
    const float scale = rstd[r] = inverse_sqrt(hsum(squares) / (float)n + eps);
    each_vector(n, [&](int64_t i, auto lanes) {
      vf u = (get(row + i, lanes) - mean) * scale;
      put(out + r * n + i, fma(u, get_or(weight, i, lanes, 1), get_or(bias, i, lanes, 0)), lanes);
    });
  });
}

void layer_norm_grad(const cv::LayerNormGradArgs& args) {
  norm_grad({args.x.f32(), args.weight.f32(), args.mean.f32(), args.rstd.f32(), args.dy.f32(), args.dx.f32(),
             args.dweight.f32(), args.dbias.f32(), args.rows, args.n});
}

}  // namespace CV_ISA
