// Who goes where, and who finds no room.
#include "abi.h"
#include "radix.h"

namespace CV_ISA {
namespace {

constexpr int32_t absent = -0x7fffffff - 1;  // the key of -infinity, and of what was taken

// Whole numbers that rise with x: NaN above all, -0 level with 0.
CV_INLINE vi rising_key(vf x) {
  const vi bits = as_i(x + 0.0f);
  const vi key = select(x == x, bits ^ ((bits >> 31) & 0x7fffffff), splati(0x7fffffff));
  return select(x == -infinity, splati(absent), key);
}
inline int32_t rising_key(float x) { return rising_key(splat(x))[0]; }
inline float value_of(int32_t key) {
  const int32_t bits = key ^ ((key >> 31) & 0x7fffffff);
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

void rising_keys(const float* x, int32_t* keys, int64_t n) {
  each_vector(n, [=](int64_t i, auto lanes) { put((float*)keys + i, as_f(rising_key(get(x + i, lanes))), lanes); });
}

// The threshold that a row's scores add up to. What is exact on paper may fall this much short of it in f32.
struct Enough {
  bool never;
  double threshold;
  explicit Enough(double top_p) : never(top_p == (double)infinity), threshold(top_p - 0x1p-21) {}
};

// Places of a vector's lanes.
CV_INLINE vi lane_places() {
  vi places = {};
  for (int i = 0; i < W; i++) places[i] = i;
  return places;
}

// The k best of `count` vectors of keys, one after the other, in ids; keys are used up. V: how many there are, where that is known
// beforehand: then they are in registers.
template <int V>
CV_INLINE void pick_best(vi* keys, int64_t count, const float* x, int32_t* ids, int64_t k, Enough enough) {
  const vi places = lane_places();
  double sum = 0;
  int64_t rank = 0;
  while (rank < k) {
    vi best = keys[0];
    if (V) {
      CV_UNROLL for (int64_t v = 1; v < V; v++) best = vmax(best, keys[v]);
    } else {
      for (int64_t v = 1; v < count; v++) best = vmax(best, keys[v]);
    }
    const int32_t key = hmax(best);
    if (key == absent) break;
    int64_t id = 0;
    if (V) {
      uint64_t bits = 0;
      CV_UNROLL for (int64_t v = 0; v < V; v++) bits |= (uint64_t)lane_bits(keys[v] == key) << (v * W);
      id = __builtin_ctzll(bits);
      CV_UNROLL for (int64_t v = 0; v < V; v++) keys[v] = select(places == (int32_t)(id - v * W), splati(absent), keys[v]);
    } else {
      int64_t v = 0;
      uint32_t bits;
      while ((bits = lane_bits(keys[v] == key)) == 0) v++;
      const int32_t lane = __builtin_ctz(bits);
      id = v * W + lane;
      keys[v] = select(places == lane, splati(absent), keys[v]);
    }
    ids[rank++] = (int32_t)id;
    if (enough.never) continue;
    sum += x[id];
    if (sum >= enough.threshold) break;
  }
  for (; rank < k; rank++) ids[rank] = -1;
}

// `end`: where the rows end. What lies between this row and there can be loaded, which is faster than a part of a vector.
template <int V>
void pick_row(const float* x, const float* end, int32_t* ids, int64_t n, int64_t k, Enough enough) {
  const vi places = lane_places();
  vi keys[V];
  CV_UNROLL for (int64_t v = 0; v < V; v++) {
    const float* const from = x + v * W;
    const int32_t left = (int32_t)(n - v * W);
    if (end - from >= W) keys[v] = select(places < left, rising_key(load(from)), splati(absent));
    else if (left > 0) keys[v] = rising_key(get(from, Part{left}, -infinity));
    else keys[v] = splati(absent);
  }
  pick_best<V>(keys, V, x, ids, k, enough);
}

void pick_long_row(const float* x, int32_t* ids, int64_t n, int64_t k, Enough enough, vi* keys) {
  each_vector(n, [=](int64_t i, auto lanes) { keys[i / W] = rising_key(get(x + i, lanes, -infinity)); });
  pick_best<0>(keys, ceil_div(n, W), x, ids, k, enough);
}

// The k best by a sort of those that may be among them: all whose keys begin as the k-th largest's does, or above.
void sort_row(const float* x, int32_t* ids, int64_t n, int64_t k, Enough enough, uint64_t* items) {
  constexpr int shift = 21;
  int32_t counts[1 << (32 - shift)] = {};
  uint32_t* falling = (uint32_t*)(items + 2 * n);
  rising_keys(x, (int32_t*)falling, n);
  for (int64_t i = 0; i < n; i++) {
    falling[i] = 0x7fffffffu - falling[i];
    counts[falling[i] >> shift]++;
  }
  uint32_t last = 0;
  for (int64_t found = counts[0]; found < k;) found += counts[++last];
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    if (falling[i] >> shift <= last && falling[i] != 0xffffffffu) items[count++] = keyed(falling[i], i);
  const uint64_t* sorted = sort_by_key(items, items + n, count);
  double sum = 0;
  int64_t rank = 0;
  for (const int64_t end = least(k, count); rank < end;) {
    const int64_t id = number_of(sorted[rank]);
    ids[rank++] = (int32_t)id;
    if (enough.never) continue;
    sum += x[id];
    if (sum >= enough.threshold) break;
  }
  for (; rank < k; rank++) ids[rank] = -1;
}

// Whether a sort of n takes less time than k walks over n/W vectors, in nanoseconds of an AVX-512 machine.
bool worth_sorting(int64_t n, int64_t k) { return k * (2 * ceil_div(n, W) + 24) > 2048 + 5 * n; }

// body(memory, r) for every row, with `floats` floats of memory that no other row shares while it runs.
template <class F>
void rows_with_memory(int64_t rows, int64_t cost, int64_t floats, F body) {
  const int64_t piece = most(1, task_floats / most(1, cost));
  parallel_with_memory(0, ceil_div(rows, piece), floats, [=](float* memory, int64_t task) {
    for (int64_t r = task * piece, end = least(rows, r + piece); r < end; r++) body(memory, r);
  });
}

// Memory that keep_groups needs for a row.
struct GroupWork {
  int32_t *keys, *scores, *allowed, *order, *with_allowed, *taken;
  GroupWork(int32_t* memory, int64_t experts, int64_t groups)
      : keys(memory), scores(keys + experts), allowed(scores + groups), order(allowed + groups), with_allowed(order + groups),
        taken(with_allowed + experts / groups + 1) {}
  static int64_t floats(int64_t experts, int64_t groups) { return experts + 4 * groups + experts / groups + 1; }
};

// A group's score as a key and how many of its `size` experts are allowed.
void score_group(const int32_t* keys, int64_t size, bool top2, int32_t* score, int32_t* allowed) {
  int32_t best = absent, second = absent, count = 0;
  for (int64_t i = 0; i < size; i++) {
    const int32_t key = keys[i], lower = key < best ? key : best;
    best = key > best ? key : best;
    second = lower > second ? lower : second;
    count += key != absent;
  }
  *allowed = count;
  *score = top2 && second != absent ? rising_key(value_of(best) + value_of(second)) : best;
}

// The sum of the `n` largest of the allowed counts that `with_allowed` counts.
int64_t sum_of_largest(const int32_t* with_allowed, int64_t size, int64_t n) {
  int64_t sum = 0;
  for (int64_t count = size; count > 0 && n > 0; count--) {
    const int64_t groups = least(n, with_allowed[count]);
    sum += groups * count;
    n -= groups;
  }
  return sum;
}

// Sets work.taken: 1 for the groups that a row keeps.
void take_groups(const GroupWork& work, int64_t groups, int64_t size, int64_t keep, int64_t k) {
  for (int64_t g = 0; g < groups; g++) {  // an insertion sort, for there are few
    int64_t place = g;
    for (; place > 0 && work.scores[work.order[place - 1]] < work.scores[g]; place--) work.order[place] = work.order[place - 1];
    work.order[place] = (int32_t)g;
  }
  memset(work.taken, 0, groups * sizeof(int32_t));
  memset(work.with_allowed, 0, (size + 1) * sizeof(int32_t));
  for (int64_t g = 0; g < groups; g++) work.with_allowed[work.allowed[g]]++;
  const bool all_allowed = work.with_allowed[size] == groups;  // then none is ever skipped
  const int64_t target = all_allowed ? 0 : least(k, sum_of_largest(work.with_allowed, size, keep));
  int64_t allowed = 0, taken = 0;
  for (int64_t place = 0; place < groups && taken < keep; place++) {
    const int64_t g = work.order[place], own = work.allowed[g];
    work.with_allowed[own]--;
    if (!all_allowed && allowed + own + sum_of_largest(work.with_allowed, size, keep - taken - 1) < target) continue;
    work.taken[g] = 1;
    taken++;
    allowed += own;
  }
}

// The places that experts have left, and which of them have any, in order of index.
struct Rooms {
  int32_t *left, *open;
  int64_t open_count;

  Rooms(int32_t* memory, int64_t experts, int32_t capacity) : left(memory), open(memory + experts), open_count(capacity > 0 ? experts : 0) {
    for (int64_t e = 0; e < experts; e++) {
      left[e] = capacity;
      open[e] = (int32_t)e;
    }
  }
  bool has(int32_t expert) const { return expert >= 0 && left[expert] > 0; }
  void take(int32_t expert) {
    if (--left[expert] > 0) return;
    int64_t place = 0;
    while (open[place] != expert) place++;
    open_count--;
    memmove(open + place, open + place + 1, (open_count - place) * sizeof(int32_t));
  }
};

inline bool holds(const int32_t* held, int64_t count, int32_t expert) {
  for (int64_t i = 0; i < count; i++)
    if (held[i] == expert) return true;
  return false;
}

// `choice` if it has room and is not held; else the highest-scored expert of which both are true, NaN above all, or -1.
int32_t best_with_room(const Rooms& rooms, int32_t choice, const int32_t* held, int64_t count, const float* scores) {
  if (choice < 0 || (rooms.has(choice) && !holds(held, count, choice))) return choice;
  int32_t best = -1;
  float best_score = -infinity;
  for (int64_t i = 0; i < rooms.open_count; i++) {
    const int32_t e = rooms.open[i];
    const float score = scores[e];
    const bool better = score > best_score || (score != score && best_score == best_score);
    if (better && !holds(held, count, e)) {
      best = e;
      best_score = score;
    }
  }
  return best;
}

// A key for a sort from the largest down, NaN after all numbers.
inline uint32_t falling_key(float x) { return x != x ? 0xfffffffeu : 0x7fffffffu - (uint32_t)rising_key(x) - (x == -infinity ? 2u : 0u); }
constexpr uint32_t after_all = 0xffffffffu;

}  // namespace

void select_experts(const cv::SelectExpertsArgs& args) {
  const float* scores = args.scores.f32();
  int32_t* ids = args.ids.i32();
  const int64_t n = args.experts, k = args.k, tokens = args.tokens, vectors = ceil_div(n, W);
  const Enough enough(args.top_p);
  if (worth_sorting(n, k)) {
    rows_with_memory(tokens, 16 * n, 5 * n, [=](float* memory, int64_t t) {
      sort_row(scores + t * n, ids + t * k, n, k, enough, (uint64_t*)memory);
    });
    return;
  }
  const int64_t cost = k * (vectors + 32);
  const auto rows = [=](auto pick) {
    parallel_rows(tokens, cost, [=](int64_t t) { pick(scores + t * n, scores + tokens * n, ids + t * k, n, k, enough); });
  };
  if (vectors == 1) rows([](auto... row) { pick_row<1>(row...); });
  else if (vectors == 2) rows([](auto... row) { pick_row<2>(row...); });
  else if (vectors <= 4) rows([](auto... row) { pick_row<4>(row...); });
  else
    rows_with_memory(tokens, cost, vectors * W, [=](float* memory, int64_t t) {
      pick_long_row(scores + t * n, ids + t * k, n, k, enough, (vi*)memory);
    });
}

void rule_out(const cv::RuleOutArgs& args) {
  const float *scores = args.scores.f32(), *mask = args.mask.f32();
  float* out = args.out.f32();
  parallel_pieces(args.n, 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) out[i] = mask[i] == -infinity ? -infinity : scores[i];
  });
}

void keep_groups(const cv::KeepGroupsArgs& args) {
  const float* scores = args.scores.f32();
  float* out = args.out.f32();
  const int64_t experts = args.experts, groups = args.groups, keep = args.keep, k = args.k, size = experts / groups;
  const bool top2 = args.top2;
  rows_with_memory(args.tokens, 4 * experts, GroupWork::floats(experts, groups), [=](float* memory, int64_t t) {
    const GroupWork work((int32_t*)memory, experts, groups);
    const float* from = scores + t * experts;
    float* to = out + t * experts;
    rising_keys(from, work.keys, experts);
    for (int64_t g = 0; g < groups; g++) score_group(work.keys + g * size, size, top2, work.scores + g, work.allowed + g);
    take_groups(work, groups, size, keep, k);
    for (int64_t g = 0; g < groups; g++)
      for (int64_t e = g * size; e < (g + 1) * size; e++) to[e] = work.taken[g] ? from[e] : -infinity;
  });
}

// A group's places depend on those given before, one after the other; groups are apart.
void assign_capacity(const cv::AssignCapacityArgs& args) {
  const int32_t* ids = args.ids.i32();
  const float *scores = args.scores.f32(), *given = args.given.f32();
  int32_t* kept = args.kept.i32();
  const int64_t tokens = args.tokens, k = args.k, experts = args.experts, group = args.group;
  const int64_t capacity = args.capacity, last_capacity = args.last_capacity;
  const cv::AssignCapacityPriority priority = args.priority;
  const bool next_best = args.next_best, sorts = priority != cv::AssignCapacityPriority::position_;
  const int64_t longest = least(group, tokens), places = sorts ? 2 * longest : 0;
  parallel_with_memory(0, ceil_div(tokens, group), 2 * places + 2 * experts, [=](float* memory, int64_t task) {
    const int64_t first = task * group, end = least(tokens, first + group);
    uint64_t* items = (uint64_t*)memory;
    if (sorts) {
      for (int64_t t = first; t < end; t++) {
        const int32_t choice = ids[t * k];
        const uint32_t key = priority == cv::AssignCapacityPriority::given_ ? falling_key(given[t])
                             : choice < 0                                  ? after_all
                                                                           : falling_key(scores[t * experts + choice]);
        items[t - first] = keyed(key, t);
      }
      items = sort_by_key(items, items + longest, end - first);
    }
    Rooms rooms((int32_t*)(memory + 2 * places), experts, (int32_t)(end == tokens ? last_capacity : capacity));
    for (int64_t rank = 0; rank < k; rank++)
      for (int64_t i = 0; i < end - first; i++) {
        const int64_t t = sorts ? number_of(items[i]) : first + i;
        int32_t e = ids[t * k + rank];
        if (next_best) e = best_with_room(rooms, e, kept + t * k, rank, scores + t * experts);
        else if (!rooms.has(e)) e = -1;
        if (e >= 0) rooms.take(e);
        kept[t * k + rank] = e;
      }
  });
}

void invert_choice(const cv::InvertChoiceArgs& args) {
  const int32_t* chosen = args.chosen.i32();
  int32_t* row = args.row.i32();
  const int64_t tokens = args.tokens, experts = args.experts, capacity = args.capacity;
  for (int64_t i = 0; i < tokens * experts; i++) row[i] = -1;
  for (int64_t e = 0; e < experts; e++)
    for (int64_t r = e * capacity; r < (e + 1) * capacity; r++)
      if (chosen[r] >= 0) row[chosen[r] * experts + e] = (int32_t)r;
}

}  // namespace CV_ISA
