// Rows picked by id: gather, scatter-add, and the weighted sum of a token's rows with its gradient.
#include "abi.h"
#include "blocks.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

// to += factor * from
void add_row(float* to, const float* from, float factor, int64_t n) {
  each_vector(n, [=](int64_t i, auto lanes) {
    put(to + i, fma(get(from + i, lanes), splat(factor), get(to + i, lanes)), lanes);
  });
}

void copy_row(const float* from, float* to, int64_t n) { memcpy(to, from, n * sizeof(float)); }
void copy_row(const uint16_t* from, uint16_t* to, int64_t n) { memcpy(to, from, n * sizeof(uint16_t)); }
void copy_row(const float* from, uint16_t* to, int64_t n) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store_bf16(to + i, load(from + i));
  for (; i < n; i++) to[i] = f32_to_bf16(from[i]);
}
void copy_row(const uint16_t* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(to + i, load_bf16(from + i));
  for (; i < n; i++) to[i] = bf16_to_f32(from[i]);
}

template <class X, class Out>
void gather(const X* x, const int32_t* ids, Out* out, int64_t rows, int64_t n) {
  parallel_rows(rows, 2 * n, [=](int64_t r) {
    if (ids[r] < 0) memset(out + r * n, 0, n * sizeof(Out));
    else copy_row(x + ids[r] * n, out + r * n, n);
  });
}

// Rows of weights in blocks, f16 included.
template <class Out>
void gather_decoded(const uint8_t* x, const BlockFormat& format, const int32_t* ids, Out* out, int64_t rows, int64_t n) {
  constexpr int64_t kStep = 256;
  const int64_t bytes = n / format.elements * format.bytes;
  parallel_rows(rows, 2 * n, [=](int64_t r) {
    if (ids[r] < 0) return (void)memset(out + r * n, 0, n * sizeof(Out));
    for (int64_t i = 0; i < n; i += kStep) {
      float values[kStep];
      const int64_t width = least(kStep, n - i);
      format.decode(x + ids[r] * bytes, i, width, values);
      copy_row(values, out + r * n + i, width);
    }
  });
}

// sum_k weight[k] * y[row[k]] in registers, one stretch of columns at a time.
void combine_token(const float* y, const int32_t* row, const float* weight, float* out, int64_t k, int64_t n) {
  each_vector(n, [=](int64_t i, auto lanes) {
    vf sum = {};
    for (int64_t j = 0; j < k; j++)
      if (row[j] >= 0) sum = fma(get(y + row[j] * n + i, lanes), splat(weight ? weight[j] : 1), sum);
    put(out + i, sum, lanes);
  });
}

}  // namespace

void gather_rows(const cv::GatherRowsArgs& args) {
  const int32_t* ids = args.ids.i32();
  const bool from_bf16 = args.x.dtype() == cv::DType::bf16, to_bf16 = args.out.dtype() == cv::DType::bf16;
  if (const BlockFormat* format = format_of(args.x.dtype())) {
    const uint8_t* x = args.x.as<uint8_t>();
    if (to_bf16) gather_decoded(x, *format, ids, args.out.bf16(), args.rows, args.n);
    else gather_decoded(x, *format, ids, args.out.f32(), args.rows, args.n);
  } else if (from_bf16 && to_bf16) gather(args.x.bf16(), ids, args.out.bf16(), args.rows, args.n);
  else if (from_bf16) gather(args.x.bf16(), ids, args.out.f32(), args.rows, args.n);
  else if (to_bf16) gather(args.x.f32(), ids, args.out.bf16(), args.rows, args.n);
  else gather(args.x.f32(), ids, args.out.f32(), args.rows, args.n);
}

// A task owns a block of columns of a range of output rows, and goes through all ids: no two tasks add to one place, and
// every place is added to in order of r.
void scatter_add_rows(const cv::ScatterAddRowsArgs& args) {
  const float* x = args.x.f32();
  const int32_t* ids = args.ids.i32();
  float* out = args.out.f32();
  const int64_t rows = args.rows, n = args.n, out_rows = args.out_rows, width = 64;
  const int64_t ranges = rows * least(n, width) > task_floats ? least(8, out_rows) : 1;
  const int64_t range = ceil_div(out_rows, most(1, ranges)), blocks = ceil_div(n, width);
  cv::parallel(blocks * ranges, [=](int64_t task) {
    const int64_t column = task % blocks * width, begin = task / blocks * range, end = least(out_rows, begin + range);
    for (int64_t r = 0; r < rows; r++)
      if (ids[r] >= begin && ids[r] < end)
        add_row(out + ids[r] * n + column, x + r * n + column, 1, least(width, n - column));
  });
}

void combine_rows(const cv::CombineRowsArgs& args) {
  const float *y = args.y.f32(), *weight = args.weight.f32();
  const int32_t* row = args.row.i32();
  float* out = args.out.f32();
  const int64_t k = args.k, n = args.n;
  parallel_rows(args.tokens, (k + 1) * n, [=](int64_t t) {
    combine_token(y, row + t * k, weight ? weight + t * k : nullptr, out + t * n, k, n);
  });
}

void combine_rows_grad(const cv::CombineRowsGradArgs& args) {
  const float *y = args.y.f32(), *weight = args.weight.f32(), *dout = args.dout.f32();
  const int32_t* row = args.row.i32();
  float *dy = args.dy.f32(), *dweight = args.dweight.f32();
  const int64_t k = args.k, n = args.n, rows = args.rows, places = args.tokens * k;

  uint8_t* held = (uint8_t*)cv::scratch(0, most(1, rows));  // rows of dy that some place will write whole
  memset(held, 0, rows);
  for (int64_t place = 0; place < places; place++)
    if (row[place] >= 0) held[row[place]] = 1;

  parallel_rows(rows, n, [=](int64_t r) {
    if (!held[r]) memset(dy + r * n, 0, n * sizeof(float));
  });
  parallel_rows(places, 3 * n, [=](int64_t place) {
    const float *from = dout + place / k * n, factor = weight ? weight[place] : 1;
    if (dweight) dweight[place] = row[place] < 0 ? 0 : dot(y + row[place] * n, from, n);
    if (row[place] < 0) return;
    float* to = dy + row[place] * n;
    each_vector(n, [=](int64_t i, auto lanes) { put(to + i, get(from + i, lanes) * factor, lanes); });
  });
}

}  // namespace CV_ISA
