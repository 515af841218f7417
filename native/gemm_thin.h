// Products with few rows (decoding, experts that few tokens chose): nothing is packed, b is read once, as it lies.
#pragma once
#include "gemm.h"

namespace CV_ISA {

constexpr int64_t kThinRows = 8;          // with more, packing pays; where b's lines lie across k, with half of them (Zen 3)
constexpr int64_t kThinColumns = 256;     // columns a task at most
constexpr int64_t kThinBytes = 32 << 10;  // of b's lines a task, so that rows after the first four find them near

// sums [kM, columns] = a [kM, k] x columns (at most kJ) rows of b, stored [columns, k]: dot products.
template <int kM, int kJ, class T, bool kRound>
static void thin_dots(const float* a, const T* b, int64_t ldb, int64_t k, int64_t columns, float* sums) {
  const T* row[kJ];  // past the last: the last again, its sum is not kept
  CV_UNROLL for (int j = 0; j < kJ; j++) row[j] = b + (j < columns ? j : columns - 1) * ldb;
  vf acc[kM * kJ];
  CV_UNROLL for (int i = 0; i < kM * kJ; i++) acc[i] = vf{};
  int64_t p = 0;
  for (; p + W <= k; p += W) {
    if (p * sizeof(T) % 64 == 0)  // the rows after these, early: they are too short for the machine to foresee
      CV_UNROLL for (int j = 0; j < kJ; j++) __builtin_prefetch(row[j] + kJ * ldb + p);
    vf y[kJ];
    CV_UNROLL for (int j = 0; j < kJ; j++) y[j] = load_as<kRound>(row[j] + p);
    CV_UNROLL for (int i = 0; i < kM; i++) {
      vf x = load(a + i * k + p);
      CV_UNROLL for (int j = 0; j < kJ; j++) acc[i * kJ + j] = fma(x, y[j], acc[i * kJ + j]);
    }
  }
  float lanes[kM * kJ][W];
  CV_UNROLL for (int i = 0; i < kM * kJ; i++) store(lanes[i], acc[i]);
  CV_SHORT for (int i = 0; i < kM; i++)
    CV_SHORT for (int j = 0; j < columns; j++) {
      float sum = hsum(load(lanes[i * kJ + j]));
      CV_SHORT for (int64_t q = p; q < k; q++) sum += a[i * k + q] * scalar_as<kRound>(row[j][q]);
      sums[i * kThinColumns + j] = sum;
    }
}

template <int kM, class T, bool kRound>
[[gnu::noinline]] static void thin_k_inner(const float* a, const T* b, int64_t ldb, int64_t k, int64_t columns, float* sums) {
  constexpr int kJ = kM <= 2 ? 4 : 2;
  for (int64_t j = 0; j < columns; j += kJ)
    thin_dots<kM, kJ, T, kRound>(a, b + j * ldb, ldb, k, columns - j < kJ ? columns - j : kJ, sums + j);
}

// sums [kM, columns] += a[:, 0..kP] x kP rows of b, stored [k, columns].
template <int kM, int kP, class T, bool kRound>
static void thin_rows(const float* a, int64_t k, const T* b, int64_t ldb, int64_t columns, float* sums) {
  int64_t j = 0;
  for (; j + W <= columns; j += W) {
    vf y[kP];
    CV_UNROLL for (int p = 0; p < kP; p++) y[p] = load_as<kRound>(b + p * ldb + j);
    CV_UNROLL for (int i = 0; i < kM; i++) {
      vf sum = load(sums + i * kThinColumns + j);
      CV_UNROLL for (int p = 0; p < kP; p++) sum = fma(splat(a[i * k + p]), y[p], sum);
      store(sums + i * kThinColumns + j, sum);
    }
  }
  CV_SHORT for (; j < columns; j++)
    CV_SHORT for (int i = 0; i < kM; i++)
      CV_SHORT for (int p = 0; p < kP; p++) sums[i * kThinColumns + j] += a[i * k + p] * scalar_as<kRound>(b[p * ldb + j]);
}

template <int kM, class T, bool kRound>
[[gnu::noinline]] static void thin_k_outer(const float* a, const T* b, int64_t ldb, int64_t k, int64_t columns, float* sums) {
  for (int i = 0; i < kM; i++) memset(sums + i * kThinColumns, 0, columns * 4);
  int64_t p = 0;
  for (; p + 4 <= k; p += 4) thin_rows<kM, 4, T, kRound>(a + p, k, b + p * ldb, ldb, columns, sums);
  for (; p < k; p++) thin_rows<kM, 1, T, kRound>(a + p, k, b + p * ldb, ldb, columns, sums);
}

template <int kM, class T, bool kRound>
CV_INLINE void thin_as(const float* a, const Operand& b, int64_t column, int64_t k, int64_t columns, float* sums) {
  const T* from = b.k_inner ? b.line<T>(column, 0) : b.line<T>(0, column);
  if (b.k_inner) thin_k_inner<kM, T, kRound>(a, from, b.ld, k, columns, sums);
  else thin_k_outer<kM, T, kRound>(a, from, b.ld, k, columns, sums);
}

template <int kM>
static void thin(const float* a, const Operand& b, int64_t column, int64_t k, int64_t columns, float* sums) {
  if (b.bf16) thin_as<kM, uint16_t, false>(a, b, column, k, columns, sums);
  else if (b.round) thin_as<kM, float, true>(a, b, column, k, columns, sums);
  else thin_as<kM, float, false>(a, b, column, k, columns, sums);
}

// The rows a product of m rows is computed with: 1, 2 or whole fours, the missing ones zeros.
CV_INLINE int64_t thin_rows_of(int64_t m) { return m <= 2 ? m : ceil_div(m, 4) * 4; }

// Columns of a task.
CV_INLINE int64_t thin_columns_of(const Operand& b, int64_t k) {
  if (!b.k_inner) return kThinColumns;
  const int64_t near = kThinBytes / most(1, k * (b.bf16 ? 2 : 4)) / 8 * 8;
  return least(kThinColumns, most(8, near));
}

// a [rows, k] of f32 from m rows of x, missing ones zeros.
static void pack_thin(const Operand& x, int64_t m, int64_t k, float* a) {
  with_source(x, [&](auto source) {
    typedef decltype(source) S;
    for (int64_t i = 0; i < thin_rows_of(m); i++)
      if (i >= m) memset(a + i * k, 0, k * sizeof(float));
      else if (x.k_inner) copy_line<S>(x.line<typename S::T>(i, 0), k, a + i * k);
      else CV_SHORT for (int64_t p = 0; p < k; p++) a[i * k + p] = scalar_as<S::kRound>(*x.line<typename S::T>(p, i));
  });
}

// sums [rows, columns], rows kThinColumns apart, = a [rows, k] x columns of b from `column` on.
static void multiply_thin(int64_t rows, const float* a, const Operand& b, int64_t column, int64_t k, int64_t columns,
                          float* sums) {
  if (rows == 1) return thin<1>(a, b, column, k, columns, sums);
  if (rows == 2) return thin<2>(a, b, column, k, columns, sums);
  for (int64_t i = 0; i < rows; i += 4) thin<4>(a + i * k, b, column, k, columns, sums + i * kThinColumns);
}

}  // namespace CV_ISA
