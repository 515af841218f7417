// Attention over a paged cache (Kwon et al. 2023): keys and values are read where they lie in their pages, never packed. What is
// packed are the queries of a block (all that share a key/value head: several rows, or the heads of one), transposed, so that
// scores come out as [key, query] and the online softmax (Dao 2023) runs along lanes of queries. One way serves a long prompt
// (48 queries of many rows) and decoding (the heads of one row), whose time goes into reading keys and values once.
//
// Legend: D key width, C value width, P = C padded to whole vectors, I queries of a block padded to whole vectors.
#include "attention.h"

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

// Queries that share a key/value head: `count` of a run of rows at consecutive positions of one sequence, from the run's
// query `first` on (row first / group, head first % group).
struct QueryBlock {
  int64_t row, sequence, position, first, count;
  int64_t first_task, stretches;  // its tasks: kv heads x stretches of keys
  KeyRange seen;                  // by some query
};

struct PagedAttention {
  static constexpr int64_t least_block = 64;      // keys whose scores are taken together, in whole pages
  static constexpr int64_t least_stretch = 256;   // keys of a task; their sums are joined after
  static constexpr int64_t enough_tasks = 256;    // stretches grow where there are more

  const Pages pages;
  const float *q, *k, *v, *sinks;
  float* out;
  const int32_t *sequence, *position;
  int64_t rows, heads, kv_heads, group, dim, value_dim, padded, head_values, key_row, value_row, block_keys, window, chunk;
  float scale;

  QueryBlock* blocks;
  int64_t block_count = 0, tasks = 0, stretch = 0;
  float *max_Bi, *sum_Bi, *sum_BiP;  // a task's partial results: [task, query_block] and [task, query_block, P]

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
    max_Bi = (float*)cv::scratch(1, most(1, 2 * tasks * query_block) * sizeof(float));
    sum_Bi = max_Bi + tasks * query_block;
    sum_BiP = (float*)cv::scratch(2, most(1, tasks * query_block * padded) * sizeof(float));
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
        QueryBlock b = {row, sequence[row], position[row], first, least(query_block, queries - first), 0, 1, {}};
        b.seen = {visible(query_position(b, 0)).begin, visible(query_position(b, b.count - 1)).end};
        blocks[block_count++] = b;
      }
    }
  }

  void layTasks() {
    int64_t longest = 1;
    for (int64_t b = 0; b < block_count; b++) longest = most(longest, blocks[b].seen.end - blocks[b].seen.begin);
    const int64_t wished = most(least_stretch, ceil_div(longest * block_count * kv_heads, enough_tasks));
    stretch = ceil_div(wished, block_keys) * block_keys;
    for (int64_t b = 0; b < block_count; b++) {
      blocks[b].first_task = tasks;
      blocks[b].stretches = ceil_div(blocks[b].seen.end, stretch) - blocks[b].seen.begin / stretch;
      tasks += kv_heads * blocks[b].stretches;
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
  int64_t memory_floats() const { return query_block * dim + block_keys * query_block + block_keys * padded; }

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

  // Scores [J, I] of the keys from `at` on become e^(score - max); max and sum are brought up to date. Gives the factor by
  // which older sums shrink, in shrink.
  void soften(const QueryBlock& b, float* score_JI, int64_t at, int64_t keys, float* max_I, float* sum_I, float* shrink_I) const {
    const int64_t lanes = lanes_of(b);
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
  }

  void attend(float* memory, int64_t task) const {
    const QueryBlock& b = block_of(task);
    const int64_t part = task - b.first_task, g = part / b.stretches, lanes = lanes_of(b);
    const int64_t own = (b.seen.begin / stretch + part % b.stretches) * stretch;
    const int64_t begin = most(b.seen.begin, own) / pages.size * pages.size, end = least(b.seen.end, own + stretch);
    float *query_DI = memory, *score_JI = query_DI + query_block * dim, *value_JP = score_JI + block_keys * query_block;
    alignas(64) float shrink_I[query_block];
    float *max_I = max_Bi + task * query_block, *sum_I = sum_Bi + task * query_block;
    float* sum_IP = sum_BiP + task * query_block * padded;
    pack_queries(b, g, query_DI);
    for (int64_t i = 0; i < lanes; i++) max_I[i] = -infinity, sum_I[i] = 0;
    memset(sum_IP, 0, b.count * padded * sizeof(float));

    for (int64_t at = begin; at < end; at += block_keys) {
      const int64_t keys = least(block_keys, end - at);
      each_page(b, at, at + keys, [&](int64_t place, int64_t j, int64_t n) {
        product<false>(k + place * key_row + g * dim, key_row, 1, query_DI, lanes, score_JI + j * lanes, lanes, n, lanes, dim);
      });
      soften(b, score_JI, at, keys, max_I, sum_I, shrink_I);
      for (int64_t i = 0; i < b.count; i++)
        if (shrink_I[i] != 1) multiply(sum_IP + i * padded, shrink_I[i], padded);
      each_page(b, at, at + keys, [&](int64_t place, int64_t j, int64_t n) {
        const float* values = v + place * value_row + g * head_values;
        int64_t stride = value_row;
        if (padded != value_dim) {
          pad_rows(values, value_row, value_JP, n, value_dim, padded);
          values = value_JP, stride = padded;
        }
        product<true>(score_JI + j * lanes, 1, lanes, values, stride, sum_IP, padded, b.count, padded, n);
      });
    }
  }

  // The sums of a query's stretches, joined.
  void join(const QueryBlock& b, int64_t g, int64_t i) const {
    const int64_t first = b.first_task + g * b.stretches, at = query_at(b, g, i);
    float max = sinks ? sinks[at % heads] : -infinity, sum = 0;
    for (int64_t n = 0; n < b.stretches; n++) {
      const float part = max_Bi[(first + n) * query_block + i];
      max = part > max ? part : max;
    }
    if (sinks) sum = CV_ISA::first(vexp_down(splat(sinks[at % heads] - max)));
    float* to = out + at * value_dim;
    for (int64_t n = 0; n < b.stretches; n++) {
      const int64_t place = (first + n) * query_block + i;
      const float factor = CV_ISA::first(vexp_down(splat(max_Bi[place] - max)));
      const float* from = sum_BiP + place * padded;
      sum += sum_Bi[place] * factor;
      each_vector(value_dim, [=](int64_t d, auto lanes) {
        const vf term = get(from + d, lanes) * factor;
        put(to + d, n == 0 ? term : get(to + d, lanes) + term, lanes);
      });
    }
    multiply(to, 1 / sum, value_dim);
  }
};

}  // namespace

void paged_attention(const cv::PagedAttentionArgs& args) {
  const PagedAttention a(args);
  // Short contexts: several tasks together, so that handing them out does not show. The longest come first.
  const int64_t floats = least(a.stretch, a.block_count ? a.blocks[a.block_count - 1].seen.end : 0) * (a.dim + a.value_dim);
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
