// Matrix products, the parts: panels and the register-tiled microkernel.
//
// An operand is copied ("packed") into panels of R rows, each panel k-major, so that the microkernel reads both operands in
// order: panel p of A holds rows p*MR.. as packed[kk*MR + i], panel p of B columns p*NR.. as packed[kk*NR + j].
// Missing rows of a last panel are zeros. bf16 operands, transposed operands and rounding to bf16 all end here: what comes
// after sees f32 panels only. (BLIS: Van Zee & van de Geijn 2015.)
#pragma once
#include "abi.h"
#include "blocks.h"
#include "runtime.h"
#include "simd.h"

namespace CV_ISA {

// Rows of a register tile: NR = 2 vectors wide, as tall as the registers allow.
#if CV_WIDTH == 16
constexpr int MR = 12;
#elif CV_WIDTH == 8
constexpr int MR = 6;
#elif defined(__aarch64__)
constexpr int MR = 8;
#else
constexpr int MR = 4;
#endif
constexpr int NR = 2 * W;

// One operand as it lies in memory. Element (i, p), i along the product's rows or columns and p along k, is
// data[i*ld + p] when k_inner, else data[p*ld + i].
struct Operand {
  const void* data;
  int64_t ld;
  bool k_inner, bf16, round;
  const BlockFormat* format;  // of weights that are decoded as they are packed (k inner); null: f32 or bf16

  const char* at(int64_t i, int64_t p) const {
    if (format) return (const char*)data + (i * ld + p) / format->elements * format->bytes;
    return (const char*)data + (k_inner ? i * ld + p : p * ld + i) * (bf16 ? 2 : 4);
  }
};

template <bool kRound>
CV_INLINE vf load_as(const float* p) { return kRound ? round_bf16(load(p)) : load(p); }
template <bool kRound>
CV_INLINE vf load_as(const uint16_t* p) { return load_bf16(p); }
template <bool kRound>
CV_INLINE float scalar_as(float x) { return kRound ? bf16_to_f32(f32_to_bf16(x)) : x; }
template <bool kRound>
CV_INLINE float scalar_as(uint16_t x) { return bf16_to_f32(x); }

typedef float v4f __attribute__((vector_size(16)));

// Four vectors of four, rows become columns.
CV_INLINE void transpose4(v4f& a, v4f& b, v4f& c, v4f& d) {
  v4f ab_lo = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_hi = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  v4f cd_lo = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_hi = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_lo, cd_lo, 0, 1, 4, 5), b = __builtin_shufflevector(ab_lo, cd_lo, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_hi, cd_hi, 0, 1, 4, 5), d = __builtin_shufflevector(ab_hi, cd_hi, 2, 3, 6, 7);
}

// k inner: R rows of k, transposed into the panel.
template <int R, class T, bool kRound>
[[gnu::noinline]] static void pack_rows(const T* x, int64_t ld, int64_t rows, int64_t k, float* out) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const T *x0 = x + i * ld, *x1 = x0 + ld, *x2 = x1 + ld, *x3 = x2 + ld;
    int64_t p = 0;
    for (; p + W <= k; p += W) {
      float block[4][W];
      store(block[0], load_as<kRound>(x0 + p)), store(block[1], load_as<kRound>(x1 + p));
      store(block[2], load_as<kRound>(x2 + p)), store(block[3], load_as<kRound>(x3 + p));
      CV_UNROLL for (int q = 0; q < W; q += 4) {
        v4f a, b, c, d;
        memcpy(&a, block[0] + q, 16), memcpy(&b, block[1] + q, 16), memcpy(&c, block[2] + q, 16), memcpy(&d, block[3] + q, 16);
        transpose4(a, b, c, d);
        float* o = out + (p + q) * R + i;
        memcpy(o, &a, 16), memcpy(o + R, &b, 16), memcpy(o + 2 * R, &c, 16), memcpy(o + 3 * R, &d, 16);
      }
    }
    CV_SHORT for (; p < k; p++)
      CV_SHORT for (int64_t j = 0; j < 4; j++) out[p * R + i + j] = scalar_as<kRound>(x[(i + j) * ld + p]);
  }
  CV_SHORT for (; i < rows; i++)
    CV_SHORT for (int64_t p = 0; p < k; p++) out[p * R + i] = scalar_as<kRound>(x[i * ld + p]);
  CV_SHORT for (; i < R; i++)
    CV_SHORT for (int64_t p = 0; p < k; p++) out[p * R + i] = 0;
}

// k outer: k rows of R neighbours, copied.
template <int R, class T, bool kRound>
[[gnu::noinline]] static void pack_columns(const T* x, int64_t ld, int64_t rows, int64_t k, float* out) {
  constexpr int kRest = R % W;
  for (int64_t p = 0; p < k; p++, x += ld, out += R) {
    if (rows < R) {
      CV_SHORT for (int i = 0; i < R; i++) out[i] = i < rows ? scalar_as<kRound>(x[i]) : 0;
      continue;
    }
    CV_UNROLL for (int i = 0; i + W <= R; i += W) store(out + i, load_as<kRound>(x + i));
    if (kRest > 0) {
      T rest[W] = {};
      memcpy(rest, x + R - kRest, kRest * sizeof(T));
      vf v = load_as<kRound>(rest);
      memcpy(out + R - kRest, &v, kRest * 4);
    }
  }
}

template <int R, class T, bool kRound>
CV_INLINE void pack_as(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, float* out) {
  const T* from = (const T*)x.at(i, p);
  if (x.k_inner) pack_rows<R, T, kRound>(from, x.ld, rows, depth, out);
  else pack_columns<R, T, kRound>(from, x.ld, rows, depth, out);
}

// Rows in blocks: decoded 32 elements at a time, then transposed.
template <int R>
[[gnu::noinline]] static void pack_decoded(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, float* out) {
  constexpr int64_t kStep = 32;
  float values[R * kStep];
  for (int64_t q = 0; q < depth; q += kStep) {
    const int64_t n = depth - q < kStep ? depth - q : kStep;
    for (int64_t r = 0; r < rows; r++) x.format->decode((const uint8_t*)x.at(i + r, 0), p + q, n, values + r * kStep);
    pack_rows<R, float, false>(values, kStep, rows, n, out + q * R);
  }
}

// Packs rows i to i+rows (at most R) of x, k from p to p+depth, into the place of p in a panel.
template <int R>
static void pack_block(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, float* out) {
  if (x.format) pack_decoded<R>(x, i, rows, p, depth, out);
  else if (x.bf16) pack_as<R, uint16_t, false>(x, i, rows, p, depth, out);
  else if (x.round) pack_as<R, float, true>(x, i, rows, p, depth, out);
  else pack_as<R, float, false>(x, i, rows, p, depth, out);
}

// c [rows, NR] (+)= a panel x b panel over k. Every element is summed in the order of k, whatever the tile it falls in.
template <int kRows>
static void multiply(int64_t k, const float* a, const float* b, float* c, int64_t ldc, bool add) {
  vf lo[kRows], hi[kRows];
  CV_UNROLL for (int i = 0; i < kRows; i++) lo[i] = hi[i] = vf{};
  for (; k > 0; k--, a += MR, b += NR) {
    vf b0 = load(b), b1 = load(b + W);
    CV_UNROLL for (int i = 0; i < kRows; i++) {
      vf x = splat(a[i]);
      lo[i] = fma(x, b0, lo[i]);
      hi[i] = fma(x, b1, hi[i]);
    }
  }
  CV_UNROLL for (int i = 0; i < kRows; i++, c += ldc) {
    store(c, add ? load(c) + lo[i] : lo[i]);
    store(c + W, add ? load(c + W) + hi[i] : hi[i]);
  }
}

typedef void (*Multiply)(int64_t k, const float* a, const float* b, float* c, int64_t ldc, bool add);

// multiply<rows> for rows 1 to MR, so that a last panel with few rows costs no more than it holds.
template <int... kRows>
struct MultiplyTable {
  static constexpr Multiply of[sizeof...(kRows) + 1] = {nullptr, multiply<kRows>...};
};
#if CV_WIDTH == 16
typedef MultiplyTable<1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12> MultiplyRows;
#elif CV_WIDTH == 8
typedef MultiplyTable<1, 2, 3, 4, 5, 6> MultiplyRows;
#elif defined(__aarch64__)
typedef MultiplyTable<1, 2, 3, 4, 5, 6, 7, 8> MultiplyRows;
#else
typedef MultiplyTable<1, 2, 3, 4> MultiplyRows;
#endif

}  // namespace CV_ISA
