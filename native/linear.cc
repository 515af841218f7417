// linear: rows sorted by group, times each group's weights of any dtype.
//
// Groups with few rows (decoding) are bound by memory: their weights are streamed once, as they lie, by one list of tasks over all of
// them. Groups with many rows (reading a prompt) go to the machine of gemm.cc, which decodes weights as it packs them.
#include "abi.h"
#include "block_dot.h"
#include "gemm_list.h"
#include "lanes.h"
#include "runtime.h"

namespace CV_ISA {
namespace linear_ {

constexpr int64_t kFewRows = 8;             // of a group, streamed
constexpr int64_t kTaskBytes = 32 << 10;    // of weights: a few microseconds
constexpr int64_t kInlineBytes = 32 << 10;  // of a whole call: less is not worth a second thread

int64_t row_bytes(cv::DType dtype, int64_t k) {
  const BlockFormat* format = format_of(dtype);
  if (format) return k / format->elements * format->bytes;
  return k * (dtype == cv::DType::bf16 ? 2 : 4);
}

// A group whose weights are streamed.
struct Stream {
  int64_t group, row, rows;
};

struct Call {
  const cv::LinearArgs& a;
  const float* x;
  float* out;
  int64_t n, k, parts, piece;  // piece: columns (weight rows) of one
  const Bytes8* bytes;         // the streamed rows of x in 8 bits; null in exact mode
};

template <int kM, class T>
CV_INLINE void dot_plain(const float* x, const T* w, int64_t k, int64_t columns, float* sums) {
  thin_k_inner<kM, T, false>(x, w, k, k, columns, sums);
}

// out[m, j] for kM rows of x from `row` on and columns weight rows from w on.
template <int kM>
[[gnu::noinline]] static void stream_rows(const Call& c, cv::DType dtype, const uint8_t* w, int64_t row, int64_t j, int64_t columns) {
  const float* x = c.x + row * c.k;
  float* out = c.out + row * c.n + j;
  const int64_t bytes = row_bytes(dtype, c.k);
  auto plain = [&](auto* from) {
    float sums[kM * kThinColumns];
    dot_plain<kM>(x, from, c.k, columns, sums);
    for (int m = 0; m < kM; m++) memcpy(out + m * c.n, sums + m * kThinColumns, columns * sizeof(float));
  };
  if (dtype == cv::DType::f32) return plain((const float*)w);
  if (dtype == cv::DType::bf16) return plain((const uint16_t*)w);
  if (dtype == cv::DType::f16) return plain((const f16*)w);
  auto each = [&](auto dot) {
    for (int64_t i = 0; i < columns; i++, w += bytes) {
      float sums[kM];
      dot(w, sums);
      CV_UNROLL for (int m = 0; m < kM; m++) out[m * c.n + i] = sums[m];
    }
  };
  with_format(dtype, [&](auto f) {
    typedef decltype(f) F;
    if constexpr (kM != 2)  // two exact rows are taken one by one: a variant less to compile for each format
      if (!c.bytes) return each([&](const uint8_t* at, float* sums) { dot_blocks<F, kM>(at, x, c.k, sums); });
    const Bytes8 rows = c.bytes->from_row(row);
    each([&](const uint8_t* at, float* sums) { dot_blocks<F, kM>(at, rows, sums); });
  });
}

// Columns j to j + columns of a streamed group, all of one piece.
void stream(const Call& c, const Stream& s, int64_t j, int64_t columns) {
  const cv::Buf& w = c.a.w[s.group * c.parts + j / c.piece];
  const uint8_t* from = w.as<uint8_t>() + j % c.piece * row_bytes(w.dtype(), c.k);
  int64_t r = 0;
  for (; r + 4 <= s.rows; r += 4) stream_rows<4>(c, w.dtype(), from, s.row + r, j, columns);
  const bool by_two = c.bytes || !format_of(w.dtype());
  for (; by_two && r + 2 <= s.rows; r += 2) stream_rows<2>(c, w.dtype(), from, s.row + r, j, columns);
  for (; r < s.rows; r++) stream_rows<1>(c, w.dtype(), from, s.row + r, j, columns);
}

// All streamed groups as one list of tasks.
void run_streams(const Call& c, const Stream* streams, int64_t count) {
  const int64_t bytes = row_bytes(c.a.w[0].dtype(), c.k);
  const int64_t columns = least(kThinColumns, most(1, kTaskBytes / most(1, bytes)));
  const int64_t tasks_piece = ceil_div(c.piece, columns), tasks_group = c.parts * tasks_piece;
  auto run = [&](int64_t task) {
    const Stream& s = streams[task / tasks_group];
    const int64_t part = task % tasks_group / tasks_piece, j = task % tasks_piece * columns;
    stream(c, s, part * c.piece + j, least(columns, c.piece - j));
  };
  const int64_t tasks = count * tasks_group;
  if (count * c.n * bytes > kInlineBytes) return cv::parallel(tasks, run);
  for (int64_t task = 0; task < tasks; task++) run(task);
}

// A group with many rows: one product a piece.
void add_products(List& list, const Call& c, int64_t group, int64_t row, int64_t rows) {
  for (int64_t part = 0; part < c.parts; part++) {
    const cv::Buf& w = c.a.w[group * c.parts + part];
    Product p{};
    p.a = {c.x + row * c.k, c.k, true, false, false, nullptr};
    p.b = {w.as<char>(), c.k, true, w.dtype() == cv::DType::bf16, false, format_of(w.dtype())};
    p.out = {(char*)(c.out + row * c.n + part * c.piece), c.n, false};
    p.m = rows, p.n = c.piece, p.k = c.k;
    list.add(p);
  }
}

}  // namespace linear_

void linear(const cv::LinearArgs& a) {
  using namespace linear_;
  const int64_t rows = a.rows, groups = a.groups, n = a.n, k = a.k, parts = a.w.size() / groups;
  const int32_t* offsets = a.offsets.i32();
  const int64_t used = offsets ? offsets[groups] : rows;
  Call call{a, a.x.f32(), a.out.f32(), n, k, parts, n / parts, nullptr};

  Stream* streams = (Stream*)cv::scratch(1, groups * (int64_t)sizeof(Stream));
  int64_t count = 0;
  List list(a.fast);
  for (int64_t g = 0; g < groups; g++) {
    const int64_t row = offsets ? offsets[g] : 0, end = offsets ? offsets[g + 1] : rows;
    if (row == end) continue;
    if (end - row > kFewRows) add_products(list, call, g, row, end - row);
    else streams[count++] = {g, row, end - row};
  }
  list.run();
  if (count > 0) {
    const bool in_bytes = a.fast && k % 32 == 0;
    Bytes8 bytes(in_bytes ? cv::scratch(2, Bytes8::bytes(rows, k)) : nullptr, rows, k);
    if (in_bytes) {
      call.bytes = &bytes;
      for (int64_t s = 0; s < count; s++)
        for (int64_t r = streams[s].row; r < streams[s].row + streams[s].rows; r++) round_row(call.x + r * k, bytes, r);
    }
    run_streams(call, streams, count);
  }
  memset(call.out + used * n, 0, (size_t)((rows - used) * n * sizeof(float)));
}

}  // namespace CV_ISA
