// Which instruction sets this machine, and its operating system, runs: asked by the add-on, and by the build (machine.cc).
#pragma once
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace cv {

#if defined(__x86_64__)
// CPUID 1; clang before 18 has no name for it.
inline bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 29);
}
// The compiler's support library also asks the operating system (xgetbv) whether it saves the wide registers.
inline bool runs_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}
inline bool runs_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && runs_avx2();
}
inline bool runs_avx512_bf16() { return runs_avx512() && __builtin_cpu_supports("avx512bf16"); }
inline bool runs_amx() {
#if defined(__linux__)
  // CPUID 7: AMX-BF16 and AMX-TILE; XCR0: the operating system saves tiles; and it must be asked for them, once a process (they make
  // every thread's saved state 8 KiB larger).
  constexpr unsigned kAmx = 1u << 22 | 1u << 24, kSaved = 3u << 17;
  constexpr long kRequestState = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0, low = 0, high = 0;
  if (!runs_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kAmx) != kAmx) return false;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));  // there, since AVX-512 runs
  static const bool granted = (low & kSaved) == kSaved && syscall(SYS_arch_prctl, kRequestState, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}
inline bool runs_amx_emulated() { return runs_avx2(); }
inline bool runs_bf16_emulated() { return runs_avx2(); }
inline bool runs_wide() { return runs_avx2(); }
inline bool runs_sse2() { return true; }

// Before any of the above is asked.
inline void ask_machine() { __builtin_cpu_init(); }
#else
inline void ask_machine() {}
inline bool runs_neon() { return true; }
#endif

}  // namespace cv
