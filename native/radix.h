// A stable sort of numbered keys: linear, and the same steps whatever the values.
#pragma once
#include "lanes.h"

namespace CV_ISA {

// A key in the upper half and a number in the lower.
CV_INLINE uint64_t keyed(uint32_t key, int64_t number) { return (uint64_t)key << 32 | (uint32_t)number; }
CV_INLINE int64_t number_of(uint64_t item) { return (uint32_t)item; }

// Sorts `items` by rising key, equal keys as they stand; `other` is room for as many. Returns where they are in the end: one of the two.
inline uint64_t* sort_by_key(uint64_t* items, uint64_t* other, int64_t n) {
  for (int shift = 32; shift < 64; shift += 8) {
    int64_t start[257] = {};
    for (int64_t i = 0; i < n; i++) start[(items[i] >> shift & 255) + 1]++;
    if (n > 0 && start[(items[0] >> shift & 255) + 1] == n) continue;  // all alike here
    for (int digit = 0; digit < 256; digit++) start[digit + 1] += start[digit];
    for (int64_t i = 0; i < n; i++) other[start[items[i] >> shift & 255]++] = items[i];
    uint64_t* const sorted = other;
    other = items;
    items = sorted;
  }
  return items;
}

}  // namespace CV_ISA
