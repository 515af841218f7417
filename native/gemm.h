// Matrix products, the parts: operands as they lie in memory, and how they are packed into panels.
//
// A panel holds R rows or columns of an operand, k-major: packed[kk*R + i]. bf16 operands, transposed operands and rounding to bf16
// all end here: what comes after sees f32 only. (BLIS: Van Zee & van de Geijn 2015.)
#pragma once
#include "blocks.h"
#include "lanes.h"
#include "simd.h"

namespace CV_ISA {

// Lines of `ld` elements. Element (i, p), i along the product's rows or columns and p along k, is element p of line i when
// k_inner, else element i of line p.
struct Operand {
  const void* data;
  int64_t ld;
  bool k_inner, bf16, round;
  const BlockFormat* format;  // of weights that are decoded as they are packed (k inner); null: f32 or bf16

  template <class T>
  const T* line(int64_t l, int64_t from) const {
    return (const T*)data + l * ld + from;
  }
  // Rows of f32 that may be read as they are.
  bool is_ready() const { return k_inner && !bf16 && !round && !format; }
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

CV_INLINE void transpose(v4f (&v)[4]) { transpose4(v); }
CV_INLINE void transpose(v8f (&v)[8]) { transpose8(v); }

// What is transposed at once, in registers.
#if CV_WIDTH >= 8
typedef v8f Lane;
#else
typedef v4f Lane;
#endif
constexpr int kSquare = sizeof(Lane) / sizeof(float);

// k inner: lines i to i+R, those past i+rows zeros, transposed into R of a panel's kPanel places.
template <int R, int kPanel, class S>
[[gnu::noinline]] static void pack_lines(const Operand& x, int64_t i, int64_t rows, int64_t p0, int64_t depth, float* out) {
  static_assert(R % kSquare == 0);
  typedef typename S::T T;
  for (int64_t r = 0; r < R; r += kSquare, out += kSquare) {
    const T* from[kSquare];
    for (int l = 0; l < kSquare; l++) from[l] = r + l < rows ? x.line<T>(i + r + l, p0) : nullptr;
    int64_t p = 0;
    for (; p + W <= depth; p += W) {
      Lane squares[W / kSquare][kSquare];
      CV_UNROLL for (int l = 0; l < kSquare; l++) {
        const vf line = from[l] ? load_as<S::kRound>(from[l] + p) : vf{};
        CV_UNROLL for (int s = 0; s < W / kSquare; s++) memcpy(&squares[s][l], (const char*)&line + s * sizeof(Lane), sizeof(Lane));
      }
      CV_UNROLL for (int s = 0; s < W / kSquare; s++) {
        transpose(squares[s]);
        CV_UNROLL for (int q = 0; q < kSquare; q++) memcpy(out + (p + s * kSquare + q) * kPanel, &squares[s][q], sizeof(Lane));
      }
    }
    CV_SHORT for (; p < depth; p++)
      CV_SHORT for (int l = 0; l < kSquare; l++) out[p * kPanel + l] = from[l] ? scalar_as<S::kRound>(from[l][p]) : 0;
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
  const Operand decoded{values, kStep, true, false, false, nullptr};
  const int64_t line_bytes = x.ld / x.format->elements * x.format->bytes;
  for (int64_t q = 0; q < depth; q += kStep) {
    const int64_t some = least(kStep, depth - q);
    for (int64_t r = 0; r < rows; r++)
      x.format->decode((const uint8_t*)x.data + (i + r) * line_bytes, p + q, some, values + r * kStep);
    pack_lines<R, kPanel, Source<float, false>>(decoded, 0, rows, 0, some, out + q * kPanel);
  }
}

// Packs `rows` (at most R) of x from i on, k from p to p+depth, into R of a panel's kPanel places; the rest of R becomes zeros.
template <int R, int kPanel>
static void pack_block(const Operand& x, int64_t i, int64_t rows, int64_t p, int64_t depth, float* out) {
  if (x.format) return pack_decoded<R, kPanel>(x, i, rows, p, depth, out);
  with_source(x, [&](auto source) {
    typedef decltype(source) S;
    if (x.k_inner) pack_lines<R, kPanel, S>(x, i, rows, p, depth, out);
    else pack_columns<R, kPanel, S>(x, i, rows, p, depth, out);
  });
}

}  // namespace CV_ISA
