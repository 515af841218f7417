// How row kernels walk memory: whole vectors, then one part-vector that never touches what lies past the end; and how
// they share work: pieces whose size follows from the shape alone, so that the bits do not depend on the number of
// threads.
#pragma once
#include "runtime.h"
#include "vmath.h"

namespace CV_ISA {

// All W lanes, or the first n of them. A loop body written over either compiles to both.
struct Whole {};
struct Part { int64_t n; };

CV_INLINE vf get(const float* p, Whole, float = 0) { return load(p); }
CV_INLINE vf get(const float* p, Part part, float rest = 0) {  // lanes past the end hold `rest`
  vf v = splat(rest);
  memcpy(&v, p, part.n * sizeof(float));
  return v;
}
CV_INLINE void put(float* p, vf v, Whole) { store(p, v); }
CV_INLINE void put(float* p, vf v, Part part) { store_n(p, v, part.n); }

// body(i, lanes) for i = 0, W, 2W ... below n.
template <class F>
CV_INLINE void each_vector(int64_t n, F body) {
  int64_t i = 0;
  for (; i + W <= n; i += W) body(i, Whole{});
  if (i < n) body(i, Part{n - i});
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Floats a task should touch: enough that handing it out (about a microsecond) does not show.
constexpr int64_t task_floats = 16384;

// body(begin, end) over pieces of [0, n), each item touching about `floats` floats.
template <class F>
void parallel_pieces(int64_t n, int64_t floats, F body) {
  int64_t piece = most(1, task_floats / most(1, floats));
  cv::parallel(ceil_div(n, piece), [&](int64_t task) { body(task * piece, least(n, (task + 1) * piece)); });
}

// body(r) for every row, each touching about `floats` floats.
template <class F>
void parallel_rows(int64_t rows, int64_t floats, F body) {
  parallel_pieces(rows, floats, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) body(r);
  });
}

// Runs body(memory, task) for every task, each with `floats` floats that no other running task shares. Threads take tasks
// as they come; a task's result depends on nothing but its number.
template <class F>
void parallel_with_memory(int slot, int64_t tasks, int64_t floats, F body) {
  const int64_t workers = least(cv::threads(), tasks);
  floats = ceil_div(floats, 16) * 16;
  float* memory = (float*)cv::scratch(slot, most(1, workers * floats) * sizeof(float));
  int64_t next = 0;
  cv::parallel(workers, [&](int64_t worker) {
    for (int64_t task; (task = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < tasks;)
      body(memory + worker * floats, task);
  });
}

CV_INLINE float first(vf v) { return v[0]; }

inline float dot(const float* a, const float* b, int64_t n) {
  vf sum = {};
  each_vector(n, [&](int64_t i, auto lanes) { sum = fma(get(a + i, lanes), get(b + i, lanes), sum); });
  return hsum(sum);
}

// Whether no number is NaN or infinite: all bits of their exponents are set.
inline bool is_finite(const float* x, int64_t n) {
  const vi exponent = splati(0x7f800000);
  vi found = {};
  each_vector(n, [&](int64_t i, auto lanes) { found |= (as_i(get(x + i, lanes)) & exponent) == exponent; });
  return hsum(select(found, splat(1), vf{})) == 0;
}

}  // namespace CV_ISA
