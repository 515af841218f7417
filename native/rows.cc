// Kernels over rows of n: distributions, the largest of a row, entries picked by id, the loss.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

float row_max(const float* x, int64_t n) {
  vf a = splat(-infinity), b = a;
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    a = vmax(a, load(x + i));
    b = vmax(b, load(x + i + W));
  }
  each_vector(n - i, [&](int64_t j, auto lanes) { a = vmax(a, get(x + i + j, lanes, -infinity)); });
  return hmax(vmax(a, b));
}

// The largest of a row, or 0 for a row of nothing but -infinity: what exponents are taken against, so that such a row
// sums to 0 and a NaN anywhere shows in the sum.
float row_anchor(const float* x, int64_t n) {
  float max = row_max(x, n);
  return max == -infinity ? 0 : max;
}

float row_log_sum_exp(const float* x, int64_t n) {
  const float anchor = row_anchor(x, n);
  vf sums = {};
  each_vector(n, [&](int64_t i, auto lanes) { sums += vexp_down(get(x + i, lanes, -infinity) - anchor); });
  return anchor + first(vlog(splat(hsum(sums))));
}

// Whether entry (a, i) stands after (b, j) in a falling row: ties go to the lower index, NaN ranks below everything.
inline bool ranks_below(float a, int32_t i, float b, int32_t j) {
  if (a < b || (a != a && b == b)) return true;
  if (a > b || (a == a && b != b)) return false;
  return i > j;
}

// Restores the heap (lowest-ranked on top) over k entries after entry `hole` took (value, id).
inline void sift(float* values, int32_t* ids, int64_t k, int64_t hole, float value, int32_t id) {
  for (int64_t child; (child = 2 * hole + 1) < k; hole = child) {
    if (child + 1 < k && ranks_below(values[child + 1], ids[child + 1], values[child], ids[child])) child++;
    if (!ranks_below(values[child], ids[child], value, id)) break;
    values[hole] = values[child];
    ids[hole] = ids[child];
  }
  values[hole] = value;
  ids[hole] = id;
}

inline bool any(vi mask) {
  for (int i = 0; i < W; i++)
    if (mask[i]) return true;
  return false;
}

// The k best so far are a heap in the output itself; the row's tail is scanned against the worst of them.
void row_topk(const float* x, float* values, int32_t* ids, int64_t n, int64_t k) {
  for (int64_t i = 0; i < k; i++) {
    values[i] = x[i];
    ids[i] = (int32_t)i;
  }
  for (int64_t i = k / 2 - 1; i >= 0; i--) sift(values, ids, k, i, values[i], ids[i]);
  for (int64_t i = k; i < n;) {
    const bool whole = i + W <= n;
    if (whole && values[0] == values[0] && !any(load(x + i) > values[0])) {
      i += W;
      continue;
    }
    for (const int64_t end = whole ? i + W : n; i < end; i++)
      if (ranks_below(values[0], ids[0], x[i], (int32_t)i)) sift(values, ids, k, 0, x[i], (int32_t)i);
  }
  for (int64_t last = k - 1; last > 0; last--) {  // the worst goes to the end, again and again
    const float value = values[last];
    const int32_t id = ids[last];
    values[last] = values[0];
    ids[last] = ids[0];
    sift(values, ids, last, 0, value, id);
  }
}

}  // namespace

void softmax(const cv::SoftmaxArgs& args) {
  const float* x = args.x.f32();
  float* out = args.out.f32();
  const int64_t n = args.n;
  parallel_rows(args.rows, n, [=](int64_t r) {
    const float* from = x + r * n;
    float* to = out + r * n;
    const float anchor = row_anchor(from, n);
    vf sums = {};
    each_vector(n, [&](int64_t i, auto lanes) {
      vf e = vexp_down(get(from + i, lanes, -infinity) - anchor);
      put(to + i, e, lanes);
      sums += e;
    });
    const float sum = hsum(sums), scale = sum == 0 ? 0 : 1 / sum;
    each_vector(n, [&](int64_t i, auto lanes) { put(to + i, get(to + i, lanes) * scale, lanes); });
  });
}

void softmax_grad(const cv::SoftmaxGradArgs& args) {
  const float *y = args.y.f32(), *dy = args.dy.f32();
  float* dx = args.dx.f32();
  const int64_t n = args.n;
  parallel_rows(args.rows, 2 * n, [=](int64_t r) {
    const float *y_n = y + r * n, *dy_n = dy + r * n;
    const float mean = dot(y_n, dy_n, n);
    each_vector(n, [=](int64_t i, auto lanes) {
      put(dx + r * n + i, get(y_n + i, lanes) * (get(dy_n + i, lanes) - mean), lanes);
    });
  });
}

void log_sum_exp(const cv::LogSumExpArgs& args) {
  const float* x = args.x.f32();
  float* out = args.out.f32();
  const int64_t n = args.n;
  parallel_rows(args.rows, n, [=](int64_t r) { out[r] = row_log_sum_exp(x + r * n, n); });
}

void topk(const cv::TopkArgs& args) {
  const float* x = args.x.f32();
  float* values = args.values.f32();
  int32_t* ids = args.ids.i32();
  const int64_t n = args.n, k = args.k;
  parallel_rows(args.rows, 4 * n, [=](int64_t r) { row_topk(x + r * n, values + r * k, ids + r * k, n, k); });
}

void take_along(const cv::TakeAlongArgs& args) {
  const float* x = args.x.f32();
  const int32_t* ids = args.ids.i32();
  float* out = args.out.f32();
  const int64_t n = args.n, k = args.k;
  parallel_rows(args.rows, 4 * k, [=](int64_t r) {
    for (int64_t i = r * k; i < (r + 1) * k; i++) out[i] = ids[i] < 0 ? 0 : x[r * n + ids[i]];
  });
}

void take_along_grad(const cv::TakeAlongGradArgs& args) {
  const float* dy = args.dy.f32();
  const int32_t* ids = args.ids.i32();
  float* dx = args.dx.f32();
  const int64_t n = args.n, k = args.k;
  parallel_rows(args.rows, n + 4 * k, [=](int64_t r) {
    memset(dx + r * n, 0, n * sizeof(float));
    for (int64_t i = r * k; i < (r + 1) * k; i++)
      if (ids[i] >= 0) dx[r * n + ids[i]] += dy[i];
  });
}

void cross_entropy(const cv::CrossEntropyArgs& args) {
  const float* logits = args.logits.f32();
  const int32_t* target = args.target.i32();
  float *loss = args.loss.f32(), *lse = args.lse.f32();
  const int64_t n = args.n;
  parallel_rows(args.rows, n, [=](int64_t r) {
    const float* row = logits + r * n;
    lse[r] = row_log_sum_exp(row, n);
    loss[r] = target[r] < 0 ? 0 : lse[r] - row[target[r]];
  });
}

void cross_entropy_grad(const cv::CrossEntropyGradArgs& args) {
  const float *logits = args.logits.f32(), *lse = args.lse.f32(), *dloss = args.dloss.f32();
  const int32_t* target = args.target.i32();
  float* dlogits = args.dlogits.f32();
  const int64_t n = args.n;
  parallel_rows(args.rows, 2 * n, [=](int64_t r) {
    float* to = dlogits + r * n;
    if (target[r] < 0) {
      memset(to, 0, n * sizeof(float));
      return;
    }
    const float* row = logits + r * n;
    const float norm = lse[r], scale = dloss[r];
    const float at_target = first(vexp_down(splat(row[target[r]] - norm))) - 1;
    each_vector(n, [=](int64_t i, auto lanes) { put(to + i, vexp_down(get(row + i, lanes) - norm) * scale, lanes); });
    to[target[r]] = at_target * scale;
  });
}

}  // namespace CV_ISA
