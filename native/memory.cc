// fill, cast, stridedCopy: any dtype.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace memory_ {

constexpr int64_t kChunk = 1 << 15;  // elements a task

// f(from, to) over [0, n) in chunks.
template <class F>
CV_INLINE void chunks(int64_t n, F f) {
  cv::parallel((n + kChunk - 1) / kChunk, [&](int64_t t) {
    int64_t from = t * kChunk, to = from + kChunk < n ? from + kChunk : n;
    f(from, to);
  });
}

CV_INLINE int32_t truncate(double x) {  // saturates; NaN gives 0
  if (!(x == x)) return 0;
  return x >= 2147483647.0 ? 2147483647 : x <= -2147483648.0 ? -2147483647 - 1 : (int32_t)x;
}

CV_INLINE void convert(const float& x, float& y) { y = x; }
CV_INLINE void convert(const float& x, uint16_t& y) { y = f32_to_bf16(x); }
CV_INLINE void convert(const float& x, int32_t& y) { y = truncate(x); }
CV_INLINE void convert(const uint16_t& x, float& y) { y = bf16_to_f32(x); }
CV_INLINE void convert(const uint16_t& x, uint16_t& y) { y = x; }
CV_INLINE void convert(const uint16_t& x, int32_t& y) { y = truncate(bf16_to_f32(x)); }
CV_INLINE void convert(const int32_t& x, float& y) { y = (float)x; }
CV_INLINE void convert(const int32_t& x, uint16_t& y) { y = f32_to_bf16((float)x); }
CV_INLINE void convert(const int32_t& x, int32_t& y) { y = x; }

template <class X, class Y>
static void cast_as(const X* x, Y* y, int64_t n) {
  chunks(n, [=](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) convert(x[i], y[i]);
  });
}

static void narrow(const float* x, uint16_t* y, int64_t n) {
  chunks(n, [=](int64_t from, int64_t to) {
    int64_t i = from;
    for (; i + W <= to; i += W) store_bf16(y + i, load(x + i));
    for (; i < to; i++) y[i] = f32_to_bf16(x[i]);
  });
}

static void widen(const uint16_t* x, float* y, int64_t n) {
  chunks(n, [=](int64_t from, int64_t to) {
    int64_t i = from;
    for (; i + W <= to; i += W) store(y + i, load_bf16(x + i));
    for (; i < to; i++) y[i] = bf16_to_f32(x[i]);
  });
}

template <class X>
static void cast_from(const X* x, const cv::CastArgs& a) {
  switch (a.out.dtype()) {
    case cv::DType::f32: return cast_as(x, a.out.f32(), a.n);
    case cv::DType::bf16: return cast_as(x, a.out.bf16(), a.n);
    case cv::DType::i32: return cast_as(x, a.out.i32(), a.n);
    default: return;  // weights only
  }
}

template <class T>
static void fill_with(T* out, int64_t n, T value) {
  chunks(n, [=](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) out[i] = value;
  });
}

struct Copy {
  int64_t dims[4], x[4], out[4];
};

// The innermost loop of a copy.
template <class T, bool kAdd>
CV_INLINE void line(const T* x, int64_t xs, T* out, int64_t os, int64_t n) {
  if (!kAdd && xs == 1 && os == 1) {
    memcpy(out, x, n * sizeof(T));
  } else if (kAdd && xs == 1 && os == 1) {
    for (int64_t i = 0; i < n; i++) out[i] += x[i];
  } else if (kAdd && os == 0) {
    T sum = out[0];
    for (int64_t i = 0; i < n; i++) sum += x[i * xs];
    out[0] = sum;
  } else {
    for (int64_t i = 0; i < n; i++) out[i * os] = kAdd ? (T)(out[i * os] + x[i * xs]) : x[i * xs];
  }
}

// x moves least along dimension 2, the output along 3: small squares are gathered in a place of their own, so that lines of both are
// touched once, however many of them share their place in the cache.
template <class T>
constexpr int64_t kSide = 128 / sizeof(T);

CV_INLINE bool is_turned(const Copy& c) {
  return c.x[2] > 0 && c.x[3] > c.x[2] && c.out[3] == 1 && c.dims[2] > 1;
}

template <class T>
static void copy_turned(const Copy& c, const T* x, T* out) {
  T square[kSide<T> * kSide<T>];
  for (int64_t i0 = 0; i0 < c.dims[2]; i0 += kSide<T>)
    for (int64_t j0 = 0; j0 < c.dims[3]; j0 += kSide<T>) {
      const int64_t height = least(kSide<T>, c.dims[2] - i0), width = least(kSide<T>, c.dims[3] - j0);
      for (int64_t j = 0; j < width; j++) line<T, false>(x + i0 * c.x[2] + (j0 + j) * c.x[3], c.x[2], square + j * kSide<T>, 1, height);
      for (int64_t i = 0; i < height; i++) line<T, false>(square + i, kSide<T>, out + (i0 + i) * c.out[2] + j0, 1, width);
    }
}

template <class T, bool kAdd>
static void copy_block(const Copy& c, const T* x, T* out) {
  const bool turned = !kAdd && is_turned(c);
  for (int64_t i0 = 0; i0 < c.dims[0]; i0++)
    for (int64_t i1 = 0; i1 < c.dims[1]; i1++) {
      const T* from = x + i0 * c.x[0] + i1 * c.x[1];
      T* to = out + i0 * c.out[0] + i1 * c.out[1];
      if (turned) {
        copy_turned(c, from, to);
        continue;
      }
      for (int64_t i2 = 0; i2 < c.dims[2]; i2++)
        line<T, kAdd>(from + i2 * c.x[2], c.x[3], to + i2 * c.out[2], c.out[3], c.dims[3]);
    }
}

// Tasks share one dimension along which the output moves, so that no two write the same place and each place is summed
// in index order. With no such dimension there is one task.
template <class T, bool kAdd>
static void copy_all(const Copy& c, const T* x, T* out) {
  int64_t total = c.dims[0] * c.dims[1] * c.dims[2] * c.dims[3];
  int split = -1;
  for (int d = 0; d < 4; d++)
    if (c.out[d] != 0 && c.dims[d] > 1 && (split < 0 || c.dims[d] > 4 * c.dims[split])) split = d;
  int64_t parts = split < 0 ? 1 : (total + kChunk - 1) / kChunk;
  if (split >= 0) parts = least(parts, !kAdd && split >= 2 && is_turned(c) ? ceil_div(c.dims[split], kSide<T>) : c.dims[split]);
  cv::parallel(parts, [&](int64_t t) {
    if (split < 0) return copy_block<T, kAdd>(c, x, out);
    Copy part = c;
    int64_t from = c.dims[split] * t / parts, to = c.dims[split] * (t + 1) / parts;
    part.dims[split] = to - from;
    copy_block<T, kAdd>(part, x + from * c.x[split], out + from * c.out[split]);
  });
}

}  // namespace memory_

void fill(const cv::FillArgs& a) {
  switch (a.out.dtype()) {
    case cv::DType::f32: return memory_::fill_with(a.out.f32(), a.n, (float)a.value);
    case cv::DType::bf16: return memory_::fill_with(a.out.bf16(), a.n, f32_to_bf16((float)a.value));
    case cv::DType::i32: return memory_::fill_with(a.out.i32(), a.n, memory_::truncate(a.value));
    default: return;  // weights only
  }
}

void cast(const cv::CastArgs& a) {
  cv::DType from = a.x.dtype(), to = a.out.dtype();
  if (from == cv::DType::f32 && to == cv::DType::bf16) return memory_::narrow(a.x.f32(), a.out.bf16(), a.n);
  if (from == cv::DType::bf16 && to == cv::DType::f32) return memory_::widen(a.x.bf16(), a.out.f32(), a.n);
  switch (from) {
    case cv::DType::f32: return memory_::cast_from(a.x.f32(), a);
    case cv::DType::bf16: return memory_::cast_from(a.x.bf16(), a);
    case cv::DType::i32: return memory_::cast_from(a.x.i32(), a);
    default: return;  // weights only
  }
}

void strided_copy(const cv::StridedCopyArgs& a) {
  memory_::Copy c;
  for (int d = 0; d < 4; d++) c.dims[d] = a.dims[d], c.x[d] = a.x_strides[d], c.out[d] = a.out_strides[d];
  if (c.dims[0] * c.dims[1] * c.dims[2] * c.dims[3] == 0) return;
  if (a.accumulate) memory_::copy_all<float, true>(c, a.x.f32(), a.out.f32());
  else if (a.x.dtype() == cv::DType::bf16 || a.x.dtype() == cv::DType::f16) memory_::copy_all<uint16_t, false>(c, a.x.bf16(), a.out.bf16());
  else memory_::copy_all<int32_t, false>(c, a.x.i32(), a.out.i32());
}

}  // namespace CV_ISA
