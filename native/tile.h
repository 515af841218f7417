// The matrix unit (AMX): eight tiles of 16 rows by 64 bytes, and a product of bf16 pairs summed in f32. Everything that touches it stands
// here, twice: its instructions (CV_TILES 1), and the same in plain C++ (CV_TILES 2), so that a machine without the unit runs
// the kernels written for it. (Intel SDM volume 2: TDPBF16PS.)
#pragma once
#include "simd.h"

namespace CV_ISA {

constexpr int kTileLines = 16;
constexpr int kTileBytes = 64;  // a line: 16 f32, or 16 pairs of bf16

#if CV_TILES == 1

// Inline assembly, since the compilers' intrinsics take the tile's number as a literal only.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t lines[16] = {};
};

// Before the first use of tiles by a thread, and after the last: the operating system need not save them then.
CV_INLINE void tile_begin() {
  TileConfig config;
  for (int t = 0; t < 8; t++) config.bytes[t] = kTileBytes, config.lines[t] = kTileLines;
  asm volatile("ldtilecfg %0" ::"m"(config));
}
CV_INLINE void tile_end() { asm volatile("tilerelease" ::: "memory"); }

template <int kTile>
CV_INLINE void tile_zero() { asm volatile("tilezero %%tmm%c0" ::"i"(kTile)); }

// Lines are `stride` bytes apart.
template <int kTile>
CV_INLINE void tile_load(const void* from, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(from), "r"(stride) : "memory");
}
template <int kTile>
CV_INLINE void tile_store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(to), "r"(stride) : "memory");
}

// c[i][j] += sum over pairs p of a[i][p] . b[p][j]
template <int kC, int kA, int kB>
CV_INLINE void tile_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}

#elif CV_TILES == 2

struct Tile { float line[kTileLines][16]; };
static thread_local Tile emulated_tiles[8];
static thread_local bool tiles_are_configured = false;

CV_INLINE void tile_begin() {
  tiles_are_configured = true;
  memset(emulated_tiles, 0, sizeof emulated_tiles);
}
CV_INLINE void tile_end() { tiles_are_configured = false; }

// As the machine does: a tile that was not configured traps.
CV_INLINE Tile& tile_at(int t) {
  if (!tiles_are_configured) __builtin_trap();
  return emulated_tiles[t];
}

template <int kTile>
CV_INLINE void tile_zero() { memset(&tile_at(kTile), 0, sizeof(Tile)); }
template <int kTile>
CV_INLINE void tile_load(const void* from, int64_t stride) {
  for (int i = 0; i < kTileLines; i++) memcpy(tile_at(kTile).line[i], (const char*)from + i * stride, kTileBytes);
}
template <int kTile>
CV_INLINE void tile_store(void* to, int64_t stride) {
  for (int i = 0; i < kTileLines; i++) memcpy((char*)to + i * stride, tile_at(kTile).line[i], kTileBytes);
}

// Subnormal numbers count as zero of their sign, whatever the thread's own mode.
CV_INLINE float flushed(float x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x; }

template <int kC, int kA, int kB>
static void tile_multiply() {
  uint16_t a[kTileLines][32], b[kTileLines][32];
  memcpy(a, &tile_at(kA), sizeof a), memcpy(b, &tile_at(kB), sizeof b);
  for (int i = 0; i < kTileLines; i++) {
    float even[16] = {}, odd[16] = {};
    for (int p = 0; p < kTileLines; p++)
      for (int j = 0; j < 16; j++) {
        even[j] = flushed(__builtin_fmaf(flushed(bf16_to_f32(a[i][2 * p])), flushed(bf16_to_f32(b[p][2 * j])), even[j]));
        odd[j] = flushed(__builtin_fmaf(flushed(bf16_to_f32(a[i][2 * p + 1])), flushed(bf16_to_f32(b[p][2 * j + 1])), odd[j]));
      }
    for (int j = 0; j < 16; j++) {
      float& c = tile_at(kC).line[i][j];
      c = flushed(flushed(c) + flushed(even[j] + odd[j]));
    }
  }
}

#endif

}  // namespace CV_ISA
