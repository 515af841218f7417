// Products with few rows (decoding, experts that few tokens chose): nothing is packed, b is read once, as it lies.
#pragma once
#include "gemm.h"

namespace CV_ISA {

constexpr int64_t kThinRows = 4;      // from 5 rows on, packing pays
constexpr int64_t kThinColumns = 256;  // columns a task

// sums [kM, kJ] = a [kM, k] x kJ rows of b, stored [columns, k]: dot products.
template <int kM, int kJ, class T, bool kRound>
static void thin_dots(const float* a, const T* b, int64_t ldb, int64_t k, float* sums) {
  vf acc[kM][kJ];
  for (int i = 0; i < kM; i++) for (int j = 0; j < kJ; j++) acc[i][j] = vf{};
  int64_t p = 0;
  for (; p + W <= k; p += W)
    for (int j = 0; j < kJ; j++) {
      vf y = load_as<kRound>(b + j * ldb + p);
      for (int i = 0; i < kM; i++) acc[i][j] = fma(load(a + i * k + p), y, acc[i][j]);
    }
  for (int i = 0; i < kM; i++)
    for (int j = 0; j < kJ; j++) {
      float sum = hsum(acc[i][j]);
      for (int64_t q = p; q < k; q++) sum += a[i * k + q] * scalar_as<kRound>(b[j * ldb + q]);
      sums[i * kThinColumns + j] = sum;
    }
}

template <int kM, class T, bool kRound>
static void thin_k_inner(const float* a, const T* b, int64_t ldb, int64_t k, int64_t columns, float* sums) {
  constexpr int kJ = kM <= 2 ? 4 : 2;
  int64_t j = 0;
  for (; j + kJ <= columns; j += kJ) thin_dots<kM, kJ, T, kRound>(a, b + j * ldb, ldb, k, sums + j);
  for (; j < columns; j++) thin_dots<kM, 1, T, kRound>(a, b + j * ldb, ldb, k, sums + j);
}

// sums [kM, columns] += a[:, 0..kP] x kP rows of b, stored [k, columns].
template <int kM, int kP, class T, bool kRound>
static void thin_rows(const float* a, int64_t k, const T* b, int64_t ldb, int64_t columns, float* sums) {
  int64_t j = 0;
  for (; j + W <= columns; j += W) {
    vf y[kP];
    for (int p = 0; p < kP; p++) y[p] = load_as<kRound>(b + p * ldb + j);
    for (int i = 0; i < kM; i++) {
      vf sum = load(sums + i * kThinColumns + j);
      for (int p = 0; p < kP; p++) sum = fma(splat(a[i * k + p]), y[p], sum);
      store(sums + i * kThinColumns + j, sum);
    }
  }
  for (; j < columns; j++)
    for (int i = 0; i < kM; i++)
      for (int p = 0; p < kP; p++) sums[i * kThinColumns + j] += a[i * k + p] * scalar_as<kRound>(b[p * ldb + j]);
}

template <int kM, class T, bool kRound>
static void thin_k_outer(const float* a, const T* b, int64_t ldb, int64_t k, int64_t columns, float* sums) {
  for (int i = 0; i < kM; i++) memset(sums + i * kThinColumns, 0, columns * 4);
  int64_t p = 0;
  for (; p + 4 <= k; p += 4) thin_rows<kM, 4, T, kRound>(a + p, k, b + p * ldb, ldb, columns, sums);
  for (; p < k; p++) thin_rows<kM, 1, T, kRound>(a + p, k, b + p * ldb, ldb, columns, sums);
}

template <int kM, class T, bool kRound>
CV_INLINE void thin_as(const float* a, const Operand& b, int64_t column, int64_t k, int64_t columns, float* sums) {
  const T* from = (const T*)b.at(column, 0);
  if (b.k_inner) thin_k_inner<kM, T, kRound>(a, from, b.ld, k, columns, sums);
  else thin_k_outer<kM, T, kRound>(a, from, b.ld, k, columns, sums);
}

template <int kM>
static void thin(const float* a, const Operand& b, int64_t column, int64_t k, int64_t columns, float* sums) {
  if (b.bf16) thin_as<kM, uint16_t, false>(a, b, column, k, columns, sums);
  else if (b.round) thin_as<kM, float, true>(a, b, column, k, columns, sums);
  else thin_as<kM, float, false>(a, b, column, k, columns, sums);
}

// sums [rows, columns], rows kThinColumns apart, = a [rows, k] x columns of b from `column` on.
static void multiply_thin(int64_t rows, const float* a, const Operand& b, int64_t column, int64_t k, int64_t columns,
                          float* sums) {
  switch (rows) {
    case 1: return thin<1>(a, b, column, k, columns, sums);
    case 2: return thin<2>(a, b, column, k, columns, sums);
    case 3: return thin<3>(a, b, column, k, columns, sums);
    case 4: return thin<4>(a, b, column, k, columns, sums);
  }
}

}  // namespace CV_ISA
