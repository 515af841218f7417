// linear: rows sorted by group, times each group's weights of any dtype.
//
// Groups with few rows (decoding) are bound by memory: their weights are streamed once, as they lie. Groups with many rows (reading a
// prompt) are products in whole numbers where weights lie in blocks and rounding is allowed, in one list of tasks with the streams;
// others go to the machine of gemm.cc, which decodes weights as it packs them.
#include "abi.h"
#include "block_dot.h"
#include "block_list.h"
#include "gemm_list.h"
#include "lanes.h"
#include "runtime.h"

namespace CV_ISA {
namespace linear_ {

constexpr int64_t kFewRows = kMostRows;     // of a group, streamed
constexpr int64_t kTaskBytes = 32 << 10;    // of weights: a few microseconds
constexpr int64_t kInlineBytes = 32 << 10;  // of a whole call: less is not worth a second thread

int64_t row_bytes(cv::DType dtype, int64_t k) {
  const BlockFormat* format = format_of(dtype);
  if (format) return k / format->elements * format->bytes;
  return k * (dtype == cv::DType::bf16 ? 2 : 4);
}

bool is_blocks(cv::DType dtype) {
  const BlockFormat* format = format_of(dtype);
  return format && format->elements > 1;
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
  const Rows8* bytes;         // the streamed rows of x in 8 bits; null in exact mode

  // Whether products with w are in whole numbers.
  bool in_integers(const cv::Buf& w) const { return a.fast && k > 0 && BlockList::kWorks && is_blocks(w.dtype()); }
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
  if constexpr (kM != 2)  // two rows are taken one by one: a variant less to compile for each format
    with_format(dtype, [&](auto f) { each([&](const uint8_t* at, float* sums) { dot_blocks<decltype(f), kM>(at, x, c.k, sums); }); });
}

// The same for any rows in 8 bits. What is left of eight columns is taken one by one: the lanes of each are then all the same.
void stream_bytes(const Call& c, cv::DType dtype, const uint8_t* w, const uint8_t* next, const Stream& s, int64_t j, int64_t columns) {
  const int64_t bytes = row_bytes(dtype, c.k);
  const Rows8 rows = c.bytes->at(s.row);
  float* out = c.out + s.row * c.n + j;
  with_format(dtype, [&](auto f) {
    typedef decltype(f) F;
    constexpr int kTwo = F::kElements == 32 || F::kScales == 8 ? 2 : 0;  // of other large blocks a variant less to compile
    auto* const dot = s.rows == 1 ? dot_columns<F, 1> : s.rows == 2 ? dot_columns<F, kTwo> : dot_columns<F, 0>;
    int64_t i = 0;
    for (; i + kColumnLanes <= columns; i += kColumnLanes) {
      const uint8_t* after = i + 2 * kColumnLanes <= columns ? w + (i + kColumnLanes) * bytes : next;
      dot(w + i * bytes, bytes, after, rows, (int)s.rows, out + i, c.n, kColumnLanes);
    }
    for (; i < columns; i++) dot(w + i * bytes, 0, w + i * bytes, rows, (int)s.rows, out + i, c.n, 1);
  });
}

// A task: columns j to j + columns of a streamed group, all of one piece.
struct Span {
  const Stream* of;
  int64_t j, columns;
};

const cv::Buf& weights_of(const Call& c, const Span& span) { return c.a.w[span.of->group * c.parts + span.j / c.piece]; }
const uint8_t* start_of(const Call& c, const Span& span) {
  const cv::Buf& w = weights_of(c, span);
  return w.as<uint8_t>() + span.j % c.piece * row_bytes(w.dtype(), c.k);
}

// The weights at `next` are asked for while the last of the span's are at work: where one task ends and another begins nothing waits.
void stream(const Call& c, const Span& span, const uint8_t* next) {
  const Stream& s = *span.of;
  const int64_t j = span.j, columns = span.columns;
  const cv::Buf& w = weights_of(c, span);
  const uint8_t* from = start_of(c, span);
  if (c.bytes && is_blocks(w.dtype())) return stream_bytes(c, w.dtype(), from, next, s, j, columns);
  int64_t r = 0;
  for (; r + 4 <= s.rows; r += 4) stream_rows<4>(c, w.dtype(), from, s.row + r, j, columns);
  for (; !format_of(w.dtype()) && r + 2 <= s.rows; r += 2) stream_rows<2>(c, w.dtype(), from, s.row + r, j, columns);
  for (; r < s.rows; r++) stream_rows<1>(c, w.dtype(), from, s.row + r, j, columns);
}

// A group with many rows: one product a piece.
void add_products(List& list, BlockList& blocks, const Call& c, int64_t group, int64_t row, int64_t rows) {
  for (int64_t part = 0; part < c.parts; part++) {
    const cv::Buf& w = c.a.w[group * c.parts + part];
    float* out = c.out + row * c.n + part * c.piece;
    if (c.in_integers(w)) {
      blocks.add({w.as<uint8_t>(), w.dtype(), row, rows, out});
      continue;
    }
    Product p{};
    p.a = {c.x + row * c.k, c.k, true, false, false, nullptr};
    p.b = {w.as<char>(), c.k, true, w.dtype() == cv::DType::bf16, false, format_of(w.dtype())};
    p.out = {(char*)out, c.n, false};
    p.m = rows, p.n = c.piece, p.k = c.k;
    list.add(p);
  }
}

// Products in blocks and streamed groups, as one list of tasks.
struct Work {
  Call& call;
  BlockList& blocks;
  const Stream* streams;
  int64_t count;

  // Rounds the `rows` rows that have a group, as the tasks want them, and runs these.
  void run(int64_t rows) const {
    const int64_t k = call.k;
    bool streams8 = false;
    if (call.a.fast && k % 32 == 0)
      for (int64_t s = 0; s < count; s++)
        for (int64_t part = 0; part < call.parts; part++)
          streams8 |= is_blocks(call.a.w[streams[s].group * call.parts + part].dtype());
    const bool wants8 = streams8 || blocks.wants8(), wants16 = blocks.wants16();
    const int64_t padded = rows + MR;  // a strip's missing rows are read, for nothing
    Rows8 bytes(wants8 ? cv::scratch(2, Rows8::bytes(padded, k)) : nullptr, padded, k);
    Rows16 words(wants16 ? cv::scratch(3, Rows16::bytes(padded, k)) : nullptr, padded, k);
    if (wants8 || wants16)
      parallel_rows(rows, k, [&](int64_t r) {
        if (wants8) round_row(call.x + r * k, bytes, r);
        if (wants16) round_row(call.x + r * k, words, r);
      });
    call.bytes = streams8 ? &bytes : nullptr;

    const int64_t row_size = row_bytes(call.a.w[0].dtype(), k);
    const int64_t each = least(ceil_div(count * call.n, kTasksAThread * cv::threads()), kTaskBytes / most(1, row_size));
    const int64_t columns = least(kThinColumns, most(1, ceil_div(each, kColumnLanes)) * kColumnLanes);
    const int64_t tasks_piece = ceil_div(call.piece, columns), tasks_group = call.parts * tasks_piece;
    const int64_t products = blocks.cut(), tasks = products + count * tasks_group, threads = cv::threads();
    auto span = [&](int64_t t) -> Span {
      const int64_t part = t % tasks_group / tasks_piece, j = t % tasks_piece * columns;
      return {streams + t / tasks_group, part * call.piece + j, least(columns, call.piece - j)};
    };
    auto task = [&](float* memory, int64_t t) {
      if (t < products) return blocks.run(bytes, words, t, memory);
      const Span own = span(t - products);
      // What this thread most likely takes next; others take as many meanwhile.
      stream(call, own, start_of(call, t + threads < tasks ? span(t + threads - products) : own));
    };
    if (products > 0 || count * call.n * row_size > kInlineBytes) return parallel_with_memory(0, tasks, blocks.floats(), task);
    for (int64_t t = 0; t < tasks; t++) task(nullptr, t);
  }
};

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
  BlockList blocks((BlockProduct*)cv::scratch(4, groups * parts * (int64_t)sizeof(BlockProduct)), n / parts, k, n);
  for (int64_t g = 0; g < groups; g++) {
    const int64_t row = offsets ? offsets[g] : 0, end = offsets ? offsets[g + 1] : rows;
    if (row == end) continue;
    if (end - row > kFewRows) add_products(list, blocks, call, g, row, end - row);
    else streams[count++] = {g, row, end - row};
  }
  list.run();
  Work{call, blocks, streams, count}.run(used);
  memset(call.out + used * n, 0, (size_t)((rows - used) * n * sizeof(float)));
}

}  // namespace CV_ISA
