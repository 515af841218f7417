// Matrix products, the parts: operands as they lie in memory, and how they are packed into panels.
//
// A panel holds R rows or columns of an operand, k-major: packed[kk*R + i]. bf16 operands, transposed operands, picked rows and
// rounding to bf16 all end here: what comes after sees f32 only. (BLIS: Van Zee & van de Geijn 2015.)
#pragma once
#include "blocks.h"
#include "lanes.h"
#include "simd.h"

namespace CV_ISA {

// Lines of `ld` elements, line l being ids[l] where ids are given. Element (i, p), i along the product's rows or columns and
// p along k, is element p of line i when k_inner, else element i of line p.
struct Operand {
  const void* data;
  int64_t ld;
  const int32_t* ids;
  bool k_inner, bf16, round;
  const BlockFormat* format;  // of weights that are decoded as they are packed (k inner, no ids); null: f32 or bf16

  template <class T>
  const T* line(int64_t l, int64_t from) const {
    return (const T*)data + (ids ? (int64_t)ids[l] : l) * ld + from;
  }
  // Rows of f32 that may be read as they are.
  bool is_ready() const { return k_inner && !bf16 && !round && !ids && !format; }
};

template <bool kRound>
CV_INLINE vf load_as(const float* p) { return kRound ? round_bf16(load(p)) : load(p); }
template <bool kRound>
CV_INLINE vf load_as(const uint16_t* p) { return load_bf16(p); }
template <bool kRound>
CV_INLINE vf load_as(const f16* p) { return load_f16(p); }
template <bool kRound>
CV_INLINE float scalar_as(f16 x) { return f16_to_f32(x.bits); }
template <bool kRound>
CV_INLINE float scalar_as(float x) { return kRound ? bf16_to_f32(f32_to_bf16(x)) : x; }
template <bool kRound>
CV_INLINE float scalar_as(uint16_t x) { return bf16_to_f32(x); }

// How an operand's elements become f32: body(Source<element type, rounded>{}).
template <class Element, bool kIsRounded>
struct Source {
  typedef Element T;
  static constexpr bool kRound = kIsRounded;
};
template <class F>
CV_INLINE void with_source(const Operand& x, F body) {
  if (x.bf16) body(Source<uint16_t, false>{});
  else if (x.round) body(Source<float, true>{});
  else body(Source<float, false>{});
}

// n elements of a line, as f32.
template <class S>
CV_INLINE void copy_line(const typename S::T* from, int64_t n, float* to) {
  int64_t p = 0;
  for (; p + W <= n; p += W) store(to + p, load_as<S::kRound>(from + p));
  CV_SHORT for (; p < n; p++) to[p] = scalar_as<S::kRound>(from[p]);
}

typedef float v4f __attribute__((vector_size(16)));

// Four vectors of four, rows become columns.
CV_INLINE void transpose4(v4f& a, v4f& b, v4f& c, v4f& d) {
  v4f ab_lo = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_hi = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  v4f cd_lo = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_hi = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_lo, cd_lo, 0, 1, 4, 5), b = __builtin_shufflevector(ab_lo, cd_lo, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_hi, cd_hi, 0, 1, 4, 5), d = __builtin_shufflevector(ab_hi, cd_hi, 2, 3, 6, 7);
}

// k inner: lines i to i+R, those past i+rows zeros, transposed into R of a panel's kPanel places.
template <int R, int kPanel, class S>
[[gnu::noinline]] static void pack_lines(const Operand& x, int64_t i, int64_t rows, int64_t p0, int64_t depth, float* out) {
  typedef typename S::T T;
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const T *x0 = x.line<T>(i + r, p0), *x1 = x.line<T>(i + r + 1, p0);
    const T *x2 = x.line<T>(i + r + 2, p0), *x3 = x.line<T>(i + r + 3, p0);
    int64_t p = 0;
    for (; p + W <= depth; p += W) {
      float block[4][W];
      store(block[0], load_as<S::kRound>(x0 + p)), store(block[1], load_as<S::kRound>(x1 + p));
      store(block[2], load_as<S::kRound>(x2 + p)), store(block[3], load_as<S::kRound>(x3 + p));
      CV_UNROLL for (int q = 0; q < W; q += 4) {
        v4f a, b, c, d;
        memcpy(&a, block[0] + q, 16), memcpy(&b, block[1] + q, 16), memcpy(&c, block[2] + q, 16), memcpy(&d, block[3] + q, 16);
        transpose4(a, b, c, d);
        float* o = out + (p + q) * kPanel + r;
        memcpy(o, &a, 16), memcpy(o + kPanel, &b, 16), memcpy(o + 2 * kPanel, &c, 16), memcpy(o + 3 * kPanel, &d, 16);
      }
    }
    CV_SHORT for (; p < depth; p++) {
      float* o = out + p * kPanel + r;
      o[0] = scalar_as<S::kRound>(x0[p]), o[1] = scalar_as<S::kRound>(x1[p]);
      o[2] = scalar_as<S::kRound>(x2[p]), o[3] = scalar_as<S::kRound>(x3[p]);
    }
  }
  CV_SHORT for (; r < R; r++) {
    const T* from = r < rows ? x.line<T>(i + r, p0) : nullptr;
    CV_SHORT for (int64_t p = 0; p < depth; p++) out[p * kPanel + r] = from ? scalar_as<S::kRound>(from[p]) : 0;
  }
}

// k outer: R neighbours, those past `rows` zeros, of each of `depth` lines.
template <int R, int kPanel, class S>
[[gnu::noinline]] static void pack_columns(const Operand& x, int64_t i, int64_t rows, int64_t p0, int64_t depth, float* out) {
  typedef typename S::T T;
  constexpr int kRest = R % W;
  for (int64_t p = p0; p < p0 + depth; p++, out += kPanel) {
    const T* from = x.line<T>(p, i);
    if (rows < R) {
      CV_SHORT for (int r = 0; r < R; r++) out[r] = r < rows ? scalar_as<S::kRound>(from[r]) : 0;
    } else if (sizeof(T) == 4 && !S::kRound) {
      memcpy(out, from, R * sizeof(float));
    } else {
      CV_UNROLL for (int r = 0; r + W <= R; r += W) store(out + r, load_as<S::kRound>(from + r));
      if (kRest > 0) {
        T rest[W] = {};
        memcpy(rest, from + R - kRest, kRest * sizeof(T));
        vf v = load_as<S::kRound>(rest);
        memcpy(out + R - kRest, &v, kRest * 4);
      }
    }
  }
}

// Lines in blocks: decoded 32 elements at a time, then transposed.
template <int R, int kPanel>
[[gnu::noinline]] static void pack_decoded(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, float* out) {
  constexpr int64_t kStep = 32;
  float values[R * kStep];
  const Operand decoded{values, kStep, nullptr, true, false, false, nullptr};
  const int64_t line_bytes = x.ld / x.format->elements * x.format->bytes;
  for (int64_t q = 0; q < depth; q += kStep) {
    const int64_t some = least(kStep, depth - q);
    for (int64_t r = 0; r < rows; r++)
      x.format->decode((const uint8_t*)x.data + (i + r) * line_bytes, p + q, some, values + r * kStep);
    pack_lines<R, kPanel, Source<float, false>>(decoded, 0, rows, 0, some, out + q * kPanel);
  }
}

// Packs `rows` (at most R) of x from i on, k from p to p+depth, into R of a panel's kPanel places; the rest of R becomes zeros.
template <int R, int kPanel = R>
static void pack_block(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, float* out) {
  if (x.format) return pack_decoded<R, kPanel>(x, i, rows, p, depth, out);
  with_source(x, [&](auto source) {
    typedef decltype(source) S;
    if (x.k_inner) pack_lines<R, kPanel, S>(x, i, rows, p, depth, out);
    else pack_columns<R, kPanel, S>(x, i, rows, p, depth, out);
  });
}

}  // namespace CV_ISA
