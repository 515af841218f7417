// Rows sorted by expert. A few passes over tokens * k integers: not worth more than one thread.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

void add_counts(const int32_t* ids, int64_t n, int32_t* counts) {
  for (int64_t i = 0; i < n; i++)
    if (ids[i] >= 0) counts[ids[i]]++;
}

}  // namespace

void plan_rows(const cv::PlanRowsArgs& args) {
  const int32_t* ids = args.ids.i32();
  int32_t *offsets = args.offsets.i32(), *token = args.token.i32(), *row = args.row.i32();
  const int64_t tokens = args.tokens, k = args.k, experts = args.experts, places = tokens * k;

  int32_t* next = (int32_t*)cv::scratch(0, (experts + 1) * sizeof(int32_t));  // the next free row of each expert
  memset(next, 0, (experts + 1) * sizeof(int32_t));
  add_counts(ids, places, next + 1);
  for (int64_t e = 0; e < experts; e++) next[e + 1] += next[e];
  memcpy(offsets, next, (experts + 1) * sizeof(int32_t));

  for (int64_t t = 0; t < tokens; t++)
    for (int64_t place = t * k; place < (t + 1) * k; place++) {
      const int32_t r = ids[place] < 0 ? -1 : next[ids[place]]++;
      row[place] = r;
      if (r >= 0) token[r] = (int32_t)t;
    }
  for (int64_t r = offsets[experts]; r < places; r++) token[r] = -1;
}

void count_ids(const cv::CountIdsArgs& args) {
  int32_t* counts = args.counts.i32();
  memset(counts, 0, args.experts * sizeof(int32_t));
  add_counts(args.ids.i32(), args.n, counts);
}

}  // namespace CV_ISA
