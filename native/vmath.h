// Elementary functions over vectors of f32, within 2 units in the last place (the normal distribution function: 4), with
// the IEEE answers at infinities and NaN. No library calls: wasm has none, and a call a lane would cost more than the
// function. Polynomials were fitted for least relative error over the reduced range; the reductions are the usual ones
// (Cody & Waite 1980).
#pragma once
#include "simd.h"

namespace CV_ISA {

typedef double vd __attribute__((vector_size(CV_WIDTH * 8)));

constexpr float infinity = __builtin_inff();
constexpr float not_a_number = __builtin_nanf("");

// c[0] + c[1] x + c[2] x^2 ...
template <int N>
CV_INLINE vf polynomial(vf x, const float (&c)[N]) {
  vf y = splat(c[N - 1]);
  for (int i = N - 2; i >= 0; i--) y = fma(y, x, splat(c[i]));
  return y;
}

CV_INLINE vf vsqrt(vf x) {
#if CV_WIDTH == 16 && defined(__AVX512F__)
  return (vf)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)x);  // the plain form trips a warning in GCC 12's header
#elif CV_WIDTH == 8 && defined(__AVX__)
  return (vf)_mm256_sqrt_ps((__m256)x);
#elif CV_WIDTH == 4 && defined(__SSE2__)
  return (vf)_mm_sqrt_ps((__m128)x);
#elif CV_WIDTH == 4 && defined(__wasm_simd128__)
  return (vf)wasm_f32x4_sqrt((v128_t)x);
#elif CV_WIDTH == 4 && defined(__aarch64__)
  return (vf)vsqrtq_f32((float32x4_t)x);
#else
  for (int i = 0; i < W; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

// Larger and smaller of two; NaN if either is.
CV_INLINE vf vmax_nan(vf a, vf b) { return select((a > b) | (a != a), a, b); }
CV_INLINE vf vmin_nan(vf a, vf b) { return select((a < b) | (a != a), a, b); }

// y in about [0.7, 1.5] and k with y * 2^k = e^x, or e^(x + tail), for |x| below 2^21. `tail` is what x lost to rounding.
CV_INLINE vf reduce_exp(vf x, vi* k, const vf* tail = nullptr) {
  static constexpr float p[] = {5.000000214e-01f, 1.666641312e-01f, 4.166587626e-02f, 8.379908086e-03f, 1.396957891e-03f};
  const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  vf shifted = fma(x, splat(1.44269504f), splat(round));
  vf n = shifted - round;
  vf r = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), x));
  if (tail) r += *tail;
  *k = as_i(shifted) - as_i(splat(round));
  return fma(r * r, polynomial(r, p), r) + 1.0f;
}
CV_INLINE vf power_of_2(vi k) { return (vf)((vu)(k + 127) << 23); }

CV_INLINE vf vexp(vf x) {
  vi k;
  vf y = reduce_exp(vmin(splat(89.0f), vmax(splat(-104.0f), x)), &k);  // past these: infinity and 0; NaN stays
  vi half = k >> 1;  // 2^k in two factors, so that results below 2^-126 lose bits gradually
  return y * power_of_2(half) * power_of_2(k - half);
}

// e^x, or e^(x + tail), for x below 88, half the work of vexp: 0 where the result is below 2^-126.
CV_INLINE vf vexp_down(vf x, const vf* tail = nullptr) {
  vi k;
  vf y = reduce_exp(x, &k, tail);
  return select(x < -87.33f, vf{}, y * power_of_2(k));
}

CV_INLINE vf vlog(vf x) {
  static constexpr float p[] = {6.666666565e-01f, 4.000033519e-01f, 2.853730837e-01f, 2.358215419e-01f};
  vi tiny = x < 1.17549435e-38f;
  vu bits = (vu)select(tiny, x * 8388608.0f, x);
  vi e = (vi)(bits - 0x3f3504f3u) >> 23;  // the mantissa lands in [sqrt(1/2), sqrt(2))
  vf f = (vf)(bits - ((vu)e << 23)) - 1.0f;
  vf n = __builtin_convertvector(e, vf) - select(tiny, splat(23.0f), vf{});
  vf s = f / (f + 2.0f), z = s * s, half = 0.5f * f * f;
  vf rest = fma(n, splat(-2.12194440e-4f), s * fma(z, polynomial(z, p), half));
  vf y = fma(n, splat(0.693359375f), f - (half - rest));
  y = select(x < infinity, y, x);
  y = select(x == 0.0f, splat(-infinity), y);
  return select(x < 0.0f, splat(not_a_number), y);
}

CV_INLINE vf vtanh(vf x) {
  static constexpr float p[] = {-3.333328392e-01f, 1.333149125e-01f, -5.374349526e-02f, 2.065057900e-02f,
                                -5.717036562e-03f};
  vf a = vabs(x), z = x * x;
  vf near = fma(x * z, polynomial(z, p), x);
  vf e = vexp_down(-2.0f * a), far = (1.0f - e) / (1.0f + e);
  return select(a < 0.625f, near, select(x < 0.0f, -far, far));
}

CV_INLINE vf vsigmoid(vf x) {
  vf e = vexp_down(-vabs(x));  // never above 1: both ends are exact, down to 2^-126
  return select(x < 0.0f, e, splat(1.0f)) / (1.0f + e);
}

// log(1 + e^x)
CV_INLINE vf vsoftplus(vf x) {
  vf u = vexp_down(-vabs(x)), w = 1.0f + u;
  vf log1p = vlog(w) + (u - (w - 1.0f)) / w;  // the second term gives back what rounding 1 + u lost
  return vmax(vf{}, x) + log1p;
}

// e^(-x^2/2). The square is taken in two parts: rounding it would cost 20 units in the last place where it is large.
CV_INLINE vf vgauss(vf x) {
  vf a = vmin(splat(15.0f), vabs(x));  // 0 from there on
  vf head = as_f(as_i(a) & splati((int32_t)0xfffff000));
  vf tail = -0.5f * (a - head) * (a + head);
  return vexp_down(-0.5f * head * head, &tail);
}

constexpr float inverse_sqrt_2pi = 0.398942280f;

// The normal density and distribution function. The tail is erfc(t)/2 with t = |x|/sqrt(2), and e^(t^2) erfc(t) is u
// times a polynomial in u = 1/(1 + t/2).
CV_INLINE vf vnormal_pdf(vf x) { return inverse_sqrt_2pi * vgauss(x); }
CV_INLINE vf vnormal_cdf(vf x) {
  static constexpr float p[] = {2.820665477e-01f,  2.828139113e-01f, 2.390287525e-01f,  2.236409904e-01f,
                                -9.253389234e-02f, 4.100250211e-01f, -6.559919379e-01f, 4.180733796e-01f,
                                -1.185133922e-01f, 1.139059879e-02f};
  vf u = 1.0f / fma(vabs(x), splat(0.353553391f), splat(1.0f));
  vf tail = 0.5f * vgauss(x) * u * polynomial(u, p);
  return select(x > 0.0f, 1.0f - tail, tail);
}

// Sine and cosine of r + quadrant * pi/2, for |r| up to pi/4.
CV_INLINE void vsincos_reduced(vf r, vi quadrant, vf* sine, vf* cosine) {
  static constexpr float ps[] = {-1.666666664e-01f, 8.333329267e-03f, -1.983929612e-04f, 2.717939823e-06f};
  static constexpr float pc[] = {4.166664627e-02f, -1.388733706e-03f, 2.443484418e-05f};
  vf z = r * r;
  vf s = fma(r * z, polynomial(z, ps), r);
  vf c = fma(z * z, polynomial(z, pc), fma(z, splat(-0.5f), splat(1.0f)));
  vi odd = (quadrant & 1) != 0;
  vf s1 = select(odd, c, s), c1 = select(odd, s, c);
  *sine = select((quadrant & 2) != 0, -s1, s1);
  *cosine = select(((quadrant + 1) & 2) != 0, -c1, c1);
}

// Sine and cosine, to full accuracy for |x| up to 2^31; beyond, floats are further apart than a turn.
CV_INLINE void vsincos(vf x, vf* sine, vf* cosine) {
  typedef int64_t vl __attribute__((vector_size(CV_WIDTH * 8)));
  const double round = 6755399441055744.0;  // 1.5 * 2^52
  vd a = __builtin_convertvector(vmin(splat(2147483648.0f), vmax(splat(-2147483648.0f), x)), vd);
  vd shifted = a * 0.63661977236758134 + round;
  vd n = shifted - round;
  // pi/2 in three parts; n times each of the first two is exact
  a = a - n * 1.570796012878418 - n * 3.139164164167596e-07 - n * 6.223372171896613e-14;
  vi quadrant = __builtin_convertvector((vl)shifted & 3, vi);
  vf r = __builtin_convertvector(a, vf) + (x - x);  // the last term makes infinity NaN
  vsincos_reduced(r, quadrant, sine, cosine);
}

CV_INLINE vf vsin(vf x) { vf s, c; vsincos(x, &s, &c); return s; }
CV_INLINE vf vcos(vf x) { vf s, c; vsincos(x, &s, &c); return c; }

}  // namespace CV_ISA
