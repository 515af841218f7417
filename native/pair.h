// Dot products of bf16 pairs in vector registers (AVX512_BF16): for 16 sums at once, what the matrix unit does for 256. The instruction,
// and the same in plain C++, so that a machine without it runs the products written for it. (Intel SDM volume 2: VDPBF16PS.)
#pragma once
#include "simd.h"

namespace CV_ISA {

#if defined(__AVX512BF16__)

CV_INLINE vf dot_pairs(vf sum, vi a, vi b) { return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b); }

#else

// Subnormal numbers count as zero of their sign, whatever the thread's own mode.
CV_INLINE vf flushed(vf x) { return select(vabs(x) < splat(0x1p-126f), as_f(as_i(x) & splati(INT32_MIN)), x); }
CV_INLINE vf add_product(vf sum, vi a, vi b) { return flushed(fma(flushed(as_f(a)), flushed(as_f(b)), flushed(sum))); }

// The upper products are added first.
CV_INLINE vf dot_pairs(vf sum, vi a, vi b) {
  const vi upper = splati(-0x10000);
  return add_product(add_product(sum, a & upper, b & upper), a << 16, b << 16);
}

#endif

}  // namespace CV_ISA
