// Attention over a paged cache (Kwon et al. 2023): keys and values are read where they lie in their pages, never packed. What is
// packed are the queries of a block (all that share a key/value head: several rows, or the heads of one), transposed, so that
// scores come out as [key, query] and the online softmax (Dao 2023) runs along lanes of queries. One way serves a long prompt
// (48 queries of many rows) and decoding (the heads of one row), whose time goes into reading keys and values once. Where the queries
// would not fill half a vector, one task takes all heads, so that keys and values are read as one stream, and scores are dot products.
//
// Legend: D key width, C value width, P = C padded to whole vectors, I queries of a block padded to whole vectors.
#include "attention.h"
#include "blocks.h"

namespace CV_ISA {
namespace {

void multiply(float* x, float factor, int64_t n) {
  each_vector(n, [=](int64_t i, auto lanes) { put(x + i, get(x + i, lanes) * factor, lanes); });
}

// Where positions of sequences stand in a pool.
struct Pages {
  const int32_t* table;
  int64_t size, most;

  template <class Args>
  explicit Pages(const Args& a) : table(a.pages.i32()), size(a.page_size), most(a.max_pages) {}
  int64_t place(int64_t sequence, int64_t position) const {
    return table[sequence * most + position / size] * size + position % size;
  }
};

constexpr int64_t few_queries = W / 2;  // fewer than half of the lanes: see above

// Queries that share a key/value head: `count` of a run of rows at consecutive positions of one sequence, from the run's
// query `first` on (row first / group, head first % group).
struct QueryBlock {
  int64_t row, sequence, position, first, count;
  KeyRange seen;                  // by some query
  int64_t stretch, stretches;     // keys of a task, and how many times that
  int64_t first_task, first_sum;  // its tasks: stretches, for each kv head unless few; its partial sums: kv heads x stretches
  bool few() const { return W >= 8 && count <= few_queries; }
};

struct PagedAttention {
  static constexpr int64_t least_block = 64;      // keys whose scores are taken together, in whole pages
  static constexpr int64_t least_stretch = 256;   // keys of a task; their sums are joined after
  static constexpr int64_t few_stretch = 64;      // the same of a task for all heads
  static constexpr int64_t enough_tasks = 256;    // stretches grow where there are more
  static constexpr int64_t few_keys = 32, value_rows = 8;  // keys scored together, and values summed together: 8 KB of four heads of 64

  const Pages pages;
  const float *q, *k, *v, *sinks;
  float* out;
  const int32_t *sequence, *position;
  int64_t rows, heads, kv_heads, group, dim, value_dim, padded, head_values, key_row, value_row, block_keys, window, chunk;
  float scale;

  QueryBlock* blocks;
  int64_t block_count = 0, tasks = 0, sums = 0, widest = 0;
  float *max_Bi, *sum_Bi, *sum_BiP;  // partial results: [sums, widest] and [sums, widest, P]

  explicit PagedAttention(const cv::PagedAttentionArgs& a)
      : pages(a), q(a.q.f32()), k(a.k.f32()), v(a.v ? a.v.f32() : a.k.f32()), sinks(a.sinks ? a.sinks.f32() : nullptr),
        out(a.out.f32()), sequence(a.sequence.i32()), position(a.position.i32()), rows(a.rows), heads(a.heads),
        kv_heads(a.kv_heads), group(heads / kv_heads), dim(a.dim), value_dim(a.value_dim),
        padded(ceil_div(value_dim, W) * W), head_values(a.v ? value_dim : dim), key_row(kv_heads * dim),
        value_row(kv_heads * head_values),
        block_keys(most(1, least_block / pages.size) * pages.size), window(a.window), chunk(a.chunk),
        scale((float)a.scale) {
    layBlocks();
    layTasks();
    max_Bi = (float*)cv::scratch(1, most(1, 2 * sums * widest) * sizeof(float));
    sum_Bi = max_Bi + sums * widest;
    sum_BiP = (float*)cv::scratch(2, most(1, sums * widest * padded) * sizeof(float));
  }

  KeyRange visible(int64_t at) const {
    const int64_t by_window = window > 0 ? at - window + 1 : 0, by_chunk = chunk > 0 ? at / chunk * chunk : 0;
    return {most(0, most(by_window, by_chunk)), at + 1};
  }
  int64_t query_position(const QueryBlock& b, int64_t i) const { return b.position + (b.first + i) / group; }
  int64_t query_at(const QueryBlock& b, int64_t g, int64_t i) const {  // in heads: of q and of out
    return (b.row + (b.first + i) / group) * heads + g * group + (b.first + i) % group;
  }

  void layBlocks() {
    blocks = (QueryBlock*)cv::scratch(0, most(1, rows * ceil_div(group, query_block)) * sizeof(QueryBlock));
    for (int64_t row = 0, end; row < rows; row = end) {
      for (end = row + 1; end < rows && sequence[end] == sequence[row] && position[end] == position[end - 1] + 1;) end++;
      const int64_t queries = (end - row) * group;
      for (int64_t first = 0; first < queries; first += query_block) {
        QueryBlock b = {row, sequence[row], position[row], first, least(query_block, queries - first), {}, 0, 1, 0, 0};
        b.seen = {visible(query_position(b, 0)).begin, visible(query_position(b, b.count - 1)).end};
        widest = most(widest, lanes_of(b));
        blocks[block_count++] = b;
      }
    }
  }

  void layTasks() {
    int64_t longest = 1;
    for (int64_t b = 0; b < block_count; b++) longest = most(longest, blocks[b].seen.end - blocks[b].seen.begin);
    for (int64_t i = 0; i < block_count; i++) {
      QueryBlock& b = blocks[i];
      const int64_t heads_apart = b.few() ? 1 : kv_heads;
      const int64_t wished = most(b.few() ? few_stretch : least_stretch, ceil_div(longest * block_count * heads_apart, enough_tasks));
      b.stretch = ceil_div(wished, block_keys) * block_keys;
      b.stretches = ceil_div(b.seen.end, b.stretch) - b.seen.begin / b.stretch;
      b.first_task = tasks, b.first_sum = sums;
      tasks += heads_apart * b.stretches, sums += kv_heads * b.stretches;
    }
  }

  const QueryBlock& block_of(int64_t task) const {
    int64_t low = 0, high = block_count;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (blocks[middle].first_task <= task ? low : high) = middle;
    }
    return blocks[low];
  }

  int64_t lanes_of(const QueryBlock& b) const { return ceil_div(b.count, W) * W; }
  int64_t memory_floats() const {
    const int64_t for_few = kv_heads * (few_queries * dim + few_keys * W) + value_rows * padded;
    return most(for_few, query_block * dim + block_keys * query_block + block_keys * padded);
  }

  // Of keys and values that a task reads.
  int64_t floats_of(const QueryBlock& b) const {
    return least(b.stretch, b.seen.end - b.seen.begin) * (dim + value_dim) * (b.few() ? kv_heads : 1);
  }

  // The keys of a block's stretch, from the beginning of a page on.
  KeyRange keys_of(const QueryBlock& b, int64_t part) const {
    const int64_t own = (b.seen.begin / b.stretch + part) * b.stretch;
    return {most(b.seen.begin, own) / pages.size * pages.size, least(b.seen.end, own + b.stretch)};
  }

  // What a block's queries have summed up so far over a stretch of keys, with one kv head.
  struct Sums {
    float *max_I, *sum_I, *sum_IP;
  };
  Sums sums_of(const QueryBlock& b, int64_t g, int64_t part) const {
    const int64_t at = (b.first_sum + g * b.stretches + part) * widest;
    return {max_Bi + at, sum_Bi + at, sum_BiP + at * padded};
  }
  Sums no_sums(const QueryBlock& b, int64_t g, int64_t part) const {
    const Sums to = sums_of(b, g, part);
    for (int64_t i = 0; i < lanes_of(b); i++) to.max_I[i] = -infinity, to.sum_I[i] = 0;
    memset(to.sum_IP, 0, b.count * padded * sizeof(float));
    return to;
  }

  // to [D, I] = the block's queries transposed and scaled, zeros past the last.
  void pack_queries(const QueryBlock& b, int64_t g, float* to) const {
    const int64_t lanes = lanes_of(b);
    for (int64_t i = 0; i < lanes; i++) {
      const float* from = i < b.count ? q + query_at(b, g, i) * dim : nullptr;
      for (int64_t d = 0; d < dim; d++) to[d * lanes + i] = from ? from[d] * scale : 0;
    }
  }

  // body(place of the first, key of the block, count) for each page's share of the keys [begin, end).
  template <class F>
  void each_page(const QueryBlock& b, int64_t begin, int64_t end, F body) const {
    for (int64_t at = begin, next; at < end; at = next) {
      next = least(end, (at / pages.size + 1) * pages.size);
      body(pages.place(b.sequence, at), at - begin, next - at);
    }
  }

  // Scores [J, I] of the keys from `at` on become e^(score - max); max and sums are brought up to date.
  void soften(const QueryBlock& b, float* score_JI, int64_t at, int64_t keys, const Sums& sums) const {
    const int64_t lanes = lanes_of(b);
    alignas(64) float shrink_I[query_block];
    float *max_I = sums.max_I, *sum_I = sums.sum_I;
    const bool masked = visible(query_position(b, b.count - 1)).begin > at || visible(query_position(b, 0)).end < at + keys;
    for (int64_t i = 0; i < lanes; i += W) {
      vi begin = {}, end = {};
      for (int64_t l = 0; l < W && i + l < b.count; l++) {
        const KeyRange range = visible(query_position(b, i + l));
        begin[l] = (int32_t)range.begin, end[l] = (int32_t)range.end;
      }
      const vf before = load(max_I + i);
      vf max = before;
      for (int64_t j = 0; j < keys; j++) {
        vf s = load(score_JI + j * lanes + i);
        if (masked) {
          const vi key = splati((int32_t)(at + j));
          s = select((key >= begin) & (key < end), s, splat(-infinity));
          store(score_JI + j * lanes + i, s);
        }
        max = vmax(max, s);
      }
      const vf anchor = select(max == -infinity, vf{}, max);  // of a query that sees nothing yet, all terms are 0
      const vf shrink = vexp_down(before - anchor);
      vf sum = load(sum_I + i) * shrink;
      for (int64_t j = 0; j < keys; j++) {
        const vf p = vexp_down(load(score_JI + j * lanes + i) - anchor);
        store(score_JI + j * lanes + i, p);
        sum += p;
      }
      store(max_I + i, max), store(sum_I + i, sum), store(shrink_I + i, select(before == anchor, splat(1.0f), shrink));
    }
    for (int64_t i = 0; i < b.count; i++)
      if (shrink_I[i] != 1) multiply(sums.sum_IP + i * padded, shrink_I[i], padded);
  }

  // to [I, P] += scores [J, I] x n values.
  void add_values(const QueryBlock& b, const float* score_JI, const float* values, int64_t n, float* value_JP, float* to) const {
    const int64_t lanes = lanes_of(b);
    int64_t stride = value_row;
    if (padded != value_dim) {
      pad_rows(values, value_row, value_JP, n, value_dim, padded);
      values = value_JP, stride = padded;
    }
    product<true>(score_JI, 1, lanes, values, stride, to, padded, b.count, padded, n);
  }

  void attend(float* memory, int64_t task) const {
    const QueryBlock& b = block_of(task);
    const int64_t number = task - b.first_task;
    if (b.few()) attend_few(memory, b, number);
    else attend_head(memory, b, number / b.stretches, number % b.stretches);
  }

  // A stretch of keys of one kv head.
  void attend_head(float* memory, const QueryBlock& b, int64_t g, int64_t part) const {
    const int64_t lanes = lanes_of(b);
    const KeyRange range = keys_of(b, part);
    float *query_DI = memory, *score_JI = query_DI + query_block * dim, *value_JP = score_JI + block_keys * query_block;
    const Sums sums = no_sums(b, g, part);
    pack_queries(b, g, query_DI);
    for (int64_t at = range.begin; at < range.end; at += block_keys) {
      const int64_t keys = least(block_keys, range.end - at);
      each_page(b, at, at + keys, [&](int64_t place, int64_t j, int64_t n) {
        product<false>(k + place * key_row + g * dim, key_row, 1, query_DI, lanes, score_JI + j * lanes, lanes, n, lanes, dim);
      });
      soften(b, score_JI, at, keys, sums);
      each_page(b, at, at + keys, [&](int64_t place, int64_t j, int64_t n) {
        add_values(b, score_JI + j * lanes, v + place * value_row + g * head_values, n, value_JP, sums.sum_IP);
      });
    }
  }

  // A stretch of keys of all kv heads, for queries that fit one vector.
  void attend_few(float* memory, const QueryBlock& b, int64_t part) const {
    const KeyRange range = keys_of(b, part);
    float *query_GID = memory, *score_GJI = query_GID + kv_heads * few_queries * dim, *value_JP = score_GJI + kv_heads * few_keys * W;
    memset(score_GJI, 0, kv_heads * few_keys * W * sizeof(float));  // of lanes without a query
    for (int64_t g = 0; g < kv_heads; g++) {
      no_sums(b, g, part);
      for (int64_t i = 0; i < b.count; i++) {
        float* to = query_GID + (g * b.count + i) * dim;
        memcpy(to, q + query_at(b, g, i) * dim, dim * sizeof(float));
        multiply(to, scale, dim);
      }
    }
    for (int64_t at = range.begin; at < range.end; at += few_keys) {
      const int64_t keys = least(few_keys, range.end - at);
      each_page(b, at, at + keys, [&](int64_t place, int64_t j, int64_t n) {
        score_heads(b.count, k + place * key_row, v + place * value_row, n, query_GID, score_GJI + j * W);
      });
      for (int64_t g = 0; g < kv_heads; g++) soften(b, score_GJI + g * few_keys * W, at, keys, sums_of(b, g, part));
      const int64_t next = at + few_keys;
      const float* next_keys = next < b.seen.end ? k + pages.place(b.sequence, next) * key_row : k;
      each_page(b, at, at + keys, [&](int64_t place, int64_t j, int64_t n) {
        for (int64_t from = 0; from < n; from += value_rows)
          for (int64_t g = 0; g < kv_heads; g++) {
            ask(next_keys + (j + from) * key_row + g * dim, key_row, value_rows, dim);
            add_values(b, score_GJI + (g * few_keys + j + from) * W, v + (place + from) * value_row + g * head_values,
                       least(value_rows, n - from), value_JP, sums_of(b, g, part).sum_IP);
          }
      });
    }
  }

  // Asks for rows that will be read soon. Left alone, the machine has half as many reads under way.
  CV_MEMBER static void ask(const float* from, int64_t stride, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++, from += stride)
      for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(from + i);
  }

  // score_GJI [G, few_keys, W] of n keys. Their values are asked for meanwhile.
  void score_heads(int64_t count, const float* keys, const float* values, int64_t n, const float* query_GID, float* score_GJI) const {
    for (int64_t i = 0, taken; i < count; i += taken) {
      taken = count - i >= 4 ? 4 : count - i >= 2 ? 2 : 1;
      const float *query = query_GID + i * dim, *wanted = i == 0 ? values : nullptr;
      if (taken == 4) score_few<4>(keys, wanted, n, query, count * dim, score_GJI + i);
      else if (taken == 2) score_few<2>(keys, wanted, n, query, count * dim, score_GJI + i);
      else score_few<1>(keys, wanted, n, query, count * dim, score_GJI + i);
    }
  }

  // kQueries queries of each head with 8 / kQueries keys at a time.
  template <int kQueries>
  [[gnu::noinline]] void score_few(const float* keys, const float* values, int64_t n, const float* query_GID, int64_t head_queries,
                                   float* score_GJI) const {
    constexpr int kKeys = 8 / kQueries;
    const int64_t whole = dim / 8 * 8;
    for (int64_t j = 0; j < n; j += kKeys)
      for (int64_t g = 0; g < kv_heads; g++) {
        if (values) ask(values + j * value_row + g * head_values, value_row, kKeys, head_values);
        const float *query = query_GID + g * head_queries, *key[kKeys];  // past the last key: the last again
        CV_UNROLL for (int e = 0; e < kKeys; e++) key[e] = keys + least(j + e, n - 1) * key_row + g * dim;
        f32x8 sum[8] = {};
        for (int64_t d = 0; d < whole; d += 8) {
          f32x8 x[kKeys];
          CV_UNROLL for (int e = 0; e < kKeys; e++) x[e] = load_bytes<f32x8>(key[e] + d);
          CV_UNROLL for (int i = 0; i < kQueries; i++) {
            const f32x8 y = load_bytes<f32x8>(query + i * dim + d);
            CV_UNROLL for (int e = 0; e < kKeys; e++) sum[e * kQueries + i] = fma8(x[e], y, sum[e * kQueries + i]);
          }
        }
        transpose8(sum);
        const f32x8 scores = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
        float* to = score_GJI + (g * few_keys + j) * W;
        CV_UNROLL for (int e = 0; e < kKeys; e++)
          if (j + e < n) memcpy(to + e * W, (const float*)&scores + e * kQueries, kQueries * sizeof(float));
        for (int64_t d = whole; d < dim; d++)
          for (int64_t e = 0; e < least(kKeys, n - j); e++)
            CV_SHORT for (int i = 0; i < kQueries; i++) to[e * W + i] += key[e][d] * query[i * dim + d];
      }
  }

  // The sums of a query's stretches, joined.
  void join(const QueryBlock& b, int64_t g, int64_t i) const {
    const int64_t at = query_at(b, g, i);
    float max = sinks ? sinks[at % heads] : -infinity, sum = 0;
    for (int64_t n = 0; n < b.stretches; n++) {
      const float part = sums_of(b, g, n).max_I[i];
      max = part > max ? part : max;
    }
    if (sinks) sum = CV_ISA::first(vexp_down(splat(sinks[at % heads] - max)));
    float* to = out + at * value_dim;
    for (int64_t n = 0; n < b.stretches; n++) {
      const Sums part = sums_of(b, g, n);
      const float factor = CV_ISA::first(vexp_down(splat(part.max_I[i] - max)));
      const float* from = part.sum_IP + i * padded;
      sum += part.sum_I[i] * factor;
      each_vector(value_dim, [=](int64_t d, auto lanes) {
        const vf term = get(from + d, lanes) * factor;
        put(to + d, n == 0 ? term : get(to + d, lanes) + term, lanes);
      });
    }
    multiply(to, 1 / sum, value_dim);
    if (!is_finite(to, value_dim)) attend_alone(b, g, i);
  }

  // One query by itself, over no key but those it sees.
  [[gnu::noinline]] void attend_alone(const QueryBlock& b, int64_t g, int64_t i) const {
    const int64_t at = query_at(b, g, i);
    const KeyRange seen = visible(query_position(b, i));
    const auto score = [&](int64_t j) {
      return scale * dot(q + at * dim, k + pages.place(b.sequence, j) * key_row + g * dim, dim);
    };
    float max = sinks ? sinks[at % heads] : -infinity, *to = out + at * value_dim;
    for (int64_t j = seen.begin; j < seen.end; j++) {
      const float s = score(j);
      max = s > max ? s : max;
    }
    float sum = sinks ? CV_ISA::first(vexp_down(splat(sinks[at % heads] - max))) : 0;
    memset(to, 0, value_dim * sizeof(float));
    for (int64_t j = seen.begin; j < seen.end; j++) {
      const float p = CV_ISA::first(vexp_down(splat(score(j) - max)));
      sum += p;
      add_row(v + pages.place(b.sequence, j) * value_row + g * head_values, to, p, value_dim);
    }
    multiply(to, 1 / sum, value_dim);
  }
};

}  // namespace

void paged_attention(const cv::PagedAttentionArgs& args) {
  const PagedAttention a(args);
  // Short contexts: several tasks together, so that handing them out does not show. The longest come first.
  int64_t floats = 0;
  for (int64_t b = 0; b < a.block_count; b++) floats = most(floats, a.floats_of(a.blocks[b]));
  const int64_t piece = most(1, task_floats / most(1, floats)), pieces = ceil_div(a.tasks, piece);
  parallel_with_memory(3, pieces, a.memory_floats(), [&](float* memory, int64_t at) {
    const int64_t first = (pieces - 1 - at) * piece;
    for (int64_t task = first; task < least(a.tasks, first + piece); task++) a.attend(memory, task);
  });
  parallel_rows(a.block_count * a.kv_heads, query_block * 2 * a.value_dim, [&](int64_t item) {
    const QueryBlock& b = a.blocks[item / a.kv_heads];
    for (int64_t i = 0; i < b.count; i++) a.join(b, item % a.kv_heads, i);
  });
}

void append_pages(const cv::AppendPagesArgs& args) {
  const Pages pages(args);
  const float* x = args.x.f32();
  float* pool = args.pool.f32();
  const int32_t *sequence = args.sequence.i32(), *position = args.position.i32();
  const int64_t n = args.n;
  parallel_rows(args.rows, 2 * n, [=](int64_t t) {
    memcpy(pool + pages.place(sequence[t], position[t]) * n, x + t * n, n * sizeof(float));
  });
}

}  // namespace CV_ISA
