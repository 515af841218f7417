// Causal and windowed attention with grouped key and value heads, softmax taken online over blocks of keys (Dao 2023,
// FlashAttention-2, algorithm 1).
#include "attention.h"

namespace CV_ISA {
namespace {

// A query's softmax so far: the largest score and the sum of e^(score - largest).
struct OnlineSoftmax {
  float max, sum;

  // Turns `keys` raw scores (whole vectors) into e^(score - max) and gives the factor that older terms shrink by.
  float take(float* score_J, int64_t keys, KeyRange range, int64_t first_key, float scale) {
    vf maxima = splat(-infinity);
    for (int64_t j = 0; j < keys; j += W) {
      vf s = masked_score(score_J + j, range, first_key + j, scale);
      store(score_J + j, s);
      maxima = vmax(maxima, s);
    }
    const float block_max = hmax(maxima), next = block_max > max ? block_max : max;
    const float anchor = next == -infinity ? 0 : next;  // of a query that sees nothing yet, all terms are 0
    const float shrink = max == anchor ? 1 : first(vexp_down(splat(max - anchor)));
    vf sums = {};
    for (int64_t j = 0; j < keys; j += W) {
      vf p = vexp_down(load(score_J + j) - anchor);
      store(score_J + j, p);
      sums += p;
    }
    max = next;
    sum = sum * shrink + hsum(sums);
    return shrink;
  }
  float log_sum_exp() const { return max + first(vlog(splat(sum))); }
  float inverse_sum() const { return sum == 0 ? 0 : 1 / sum; }
};

// A softmax that has seen nothing but the head's sink, if there is one: a term e^(sink) without a value.
OnlineSoftmax start(const float* sinks_H, int64_t h) {
  return sinks_H ? OnlineSoftmax{sinks_H[h], 1} : OnlineSoftmax{-infinity, 0};
}

// What a call reads and writes.
struct AttentionBuffers {
  const float *q, *k, *v, *sinks_H;
  float *out, *lse;
};

// score[j] = q . k[j], keys `stride` apart.
void score_keys(const float* q, const float* k, int64_t stride, float* score_J, int64_t count, int64_t dim) {
  int64_t j = 0;
  for (; j + 4 <= count; j += 4, k += 4 * stride) {
    vf a = {}, b = {}, c = {}, d = {};
    each_vector(dim, [&](int64_t i, auto lanes) {
      vf x = get(q + i, lanes);
      a = fma(x, get(k + i, lanes), a);
      b = fma(x, get(k + stride + i, lanes), b);
      c = fma(x, get(k + 2 * stride + i, lanes), c);
      d = fma(x, get(k + 3 * stride + i, lanes), d);
    });
    score_J[j] = hsum(a), score_J[j + 1] = hsum(b), score_J[j + 2] = hsum(c), score_J[j + 3] = hsum(d);
  }
  for (; j < count; j++, k += stride) {
    vf a = {};
    each_vector(dim, [&](int64_t i, auto lanes) { a = fma(get(q + i, lanes), get(k + i, lanes), a); });
    score_J[j] = hsum(a);
  }
}

// sum = shrink * sum + sum_j p[j] v[j], values `stride` apart.
void add_values(const float* p_J, const float* v, int64_t stride, float* sum_D, float shrink, int64_t count,
                int64_t dim) {
  each_vector(dim, [=](int64_t i, auto lanes) {
    vf even = get(sum_D + i, lanes) * shrink, odd = {};
    int64_t j = 0;
    for (; j + 2 <= count; j += 2) {
      even = fma(splat(p_J[j]), get(v + j * stride + i, lanes), even);
      odd = fma(splat(p_J[j + 1]), get(v + (j + 1) * stride + i, lanes), odd);
    }
    if (j < count) even = fma(splat(p_J[j]), get(v + j * stride + i, lanes), even);
    put(sum_D + i, even + odd, lanes);
  });
}

constexpr int64_t key_chunk = 16;  // keys of a query taken at once: they stay in cache for all heads

// Up to key_chunk of the keys that query i sees, from `first` on, into its softmax and its sum of values.
CV_INLINE void take_keys(const AttentionShape& s, const AttentionBuffers& a, int64_t b, int64_t i, int64_t h, KeyRange seen, int64_t first,
                         OnlineSoftmax& softmax, float* sum_V) {
  const int64_t count = least(key_chunk, seen.end - first), key = s.key(b, first, h / s.group);
  float score_J[key_chunk] = {};
  score_keys(a.q + s.query(b, i, h) * s.dim, a.k + key * s.dim, s.kv_heads * s.dim, score_J, count, s.dim);
  const float shrink = softmax.take(score_J, key_chunk, seen, first, s.scale);
  add_values(score_J, a.v + key * s.value_dim, s.kv_heads * s.value_dim, sum_V, shrink, count, s.value_dim);
}

// One query by itself, over no key but those it sees.
[[gnu::noinline]] void attend_alone(const AttentionShape& s, const AttentionBuffers& a, int64_t b, int64_t i, int64_t h) {
  float* out = a.out + s.query(b, i, h) * s.value_dim;
  OnlineSoftmax softmax = start(a.sinks_H, h);
  const KeyRange seen = s.visible(i);
  memset(out, 0, s.value_dim * sizeof(float));
  for (int64_t first = seen.begin; first < seen.end; first += key_chunk) take_keys(s, a, b, i, h, seen, first, softmax, out);
  scale_row(out, out, softmax.inverse_sum(), s.value_dim);
}

constexpr int64_t query_lanes = tile_vectors * W;  // queries that go together, one a lane
constexpr int64_t key_stretch = 256;               // keys whose scores are held at once
constexpr int64_t task_multiplies = 1 << 20;       // what a task should have to do: some 20 microseconds

// The softmax of neighbouring queries of one head: nothing in it goes across lanes.
struct SoftmaxLanes {
  vf max[tile_vectors], sum[tile_vectors];
  vi begin[tile_vectors], end[tile_vectors];  // the keys a lane may look at
  KeyRange clear;                             // those that all may

  // Lanes past the last query do as it does.
  SoftmaxLanes(const AttentionShape& s, OnlineSoftmax start, int64_t first_query, int64_t count)
      : clear{s.visible(first_query + count - 1).begin, s.visible(first_query).end} {
    for (int64_t i = 0; i < query_lanes; i++) {
      const KeyRange range = s.visible(first_query + least(i, count - 1));
      begin[i / W][i % W] = (int32_t)range.begin, end[i / W][i % W] = (int32_t)range.end;
    }
    for (int i = 0; i < tile_vectors; i++) max[i] = splat(start.max), sum[i] = splat(start.sum);
  }

  // Turns the scores of `keys` keys from `at` on into e^(score - max) and gives the factor that older terms shrink by.
  void take(float* score_JI, int64_t at, int64_t keys, float* shrink_I) {
    vf largest[tile_vectors], anchor[tile_vectors], total[tile_vectors];
    CV_UNROLL for (int i = 0; i < tile_vectors; i++) largest[i] = max[i];
    for (int64_t j = 0; j < keys; j++) {
      float* row = score_JI + j * query_lanes;
      if (at + j < clear.begin || at + j >= clear.end) mask(row, (int32_t)(at + j));
      CV_UNROLL for (int i = 0; i < tile_vectors; i++) largest[i] = vmax(largest[i], load(row + i * W));
    }
    CV_UNROLL for (int i = 0; i < tile_vectors; i++) {
      anchor[i] = select(largest[i] == -infinity, vf{}, largest[i]);  // of a query that sees nothing yet, all terms are 0
      const vf shrink = vexp_down(max[i] - anchor[i]);
      store(shrink_I + i * W, shrink);
      total[i] = sum[i] * shrink, max[i] = largest[i];
    }
    for (int64_t j = 0; j < keys; j++) {
      float* row = score_JI + j * query_lanes;
      CV_UNROLL for (int i = 0; i < tile_vectors; i++) {
        const vf p = vexp_down(load(row + i * W) - anchor[i]);
        store(row + i * W, p);
        total[i] += p;
      }
    }
    CV_UNROLL for (int i = 0; i < tile_vectors; i++) sum[i] = total[i];
  }

 private:
  void mask(float* row, int32_t key) const {
    for (int i = 0; i < tile_vectors; i++)
      store(row + i * W, select((begin[i] <= key) & (end[i] > key), load(row + i * W), splat(-infinity)));
  }
};

// A block of neighbouring queries of one head against all the keys they may look at.
struct AttentionBlock {
  const AttentionShape& s;
  const AttentionBuffers& a;
  float *q_DI, *score_JI, *sum_IU, *value_JU;

  static int64_t floats(const AttentionShape& s) {
    const int64_t values = s.value_padded == s.value_dim ? 0 : key_stretch * s.value_padded;
    return query_lanes * (s.dim + key_stretch + s.value_padded) + values;
  }
  AttentionBlock(const AttentionShape& shape, const AttentionBuffers& buffers, float* memory)
      : s(shape), a(buffers), q_DI(memory), score_JI(q_DI + s.dim * query_lanes), sum_IU(score_JI + key_stretch * query_lanes),
        value_JU(sum_IU + query_lanes * s.value_padded) {}

  void attend(int64_t b, int64_t h, int64_t first_query) const {
    const int64_t count = least(query_lanes, s.queries - first_query), g = h / s.group, key_row = s.kv_heads * s.dim;
    transpose_rows<query_lanes>(a.q + s.query(b, first_query, h) * s.dim, s.heads * s.dim, count, s.dim, q_DI);
    each_vector(s.dim * query_lanes, [&](int64_t i, auto lanes) { put(q_DI + i, get(q_DI + i, lanes) * s.scale, lanes); });
    SoftmaxLanes softmax(s, start(a.sinks_H, h), first_query, count);
    float shrink_I[query_lanes];
    const KeyRange seen = s.visible(first_query, count);
    int64_t at = seen.begin;
    do {  // once at least: queries that see nothing give zeros
      const int64_t keys = least(key_stretch, seen.end - at), key = s.key(b, at, g);
      product<false>(a.k + key * s.dim, key_row, 1, q_DI, query_lanes, score_JI, query_lanes, keys, query_lanes, s.dim);
      softmax.take(score_JI, at, keys, shrink_I);
      if (at > seen.begin)
        for (int64_t i = 0; i < count; i++)
          if (shrink_I[i] != 1) scale_row(sum_IU + i * s.value_padded, sum_IU + i * s.value_padded, shrink_I[i], s.value_padded);
      add_values(a.v + key * s.value_dim, first_query, count, at, keys, at > seen.begin);
      at += key_stretch;
    } while (at < seen.end);
    finish(softmax, b, h, first_query, count);
  }

 private:
  // sum = or += p v, for each few queries only the keys that they may look at.
  void add_values(const float* v, int64_t first_query, int64_t count, int64_t at, int64_t keys, bool add) const {
    int64_t stride = s.kv_heads * s.value_dim;
    if (s.value_padded != s.value_dim) {
      pad_rows(v, stride, value_JU, keys, s.value_dim, s.value_padded);
      v = value_JU, stride = s.value_padded;
    }
    for (int64_t i = 0; i < count; i += tile_rows) {
      const int64_t rows = least(tile_rows, count - i), U = s.value_padded;
      const KeyRange seen = s.visible(first_query + i, rows);
      const int64_t begin = most(0, seen.begin - at), depth = least(keys, seen.end - at) - begin;
      const auto strip = add ? product_strip<tile_rows, true> : product_strip<tile_rows, false>;
      strip(rows, score_JI + begin * query_lanes + i, 1, query_lanes, v + begin * stride, stride, sum_IU + i * U, U, U, depth);
    }
  }

  void finish(const SoftmaxLanes& softmax, int64_t b, int64_t h, int64_t first_query, int64_t count) const {
    float inverse_I[query_lanes];
    for (int i = 0; i < tile_vectors; i++) {
      const vf sum = softmax.sum[i];
      store(inverse_I + i * W, select(sum == 0.0f, vf{}, 1.0f / sum));
      const int64_t own = least(W, count - i * W);
      if (own > 0) put(a.lse + (b * s.heads + h) * s.queries + first_query + i * W, softmax.max[i] + vlog(sum), Part{own});
    }
    for (int64_t i = 0; i < count; i++)
      scale_row(sum_IU + i * s.value_padded, a.out + s.query(b, first_query + i, h) * s.value_dim, inverse_I[i], s.value_dim);
    if (is_finite(sum_IU, count * s.value_padded)) return;
    for (int64_t i = 0; i < count; i++)
      if (!is_finite(sum_IU + i * s.value_padded, s.value_padded)) attend_alone(s, a, b, first_query + i, h);
  }
};

// Few queries (decoding): all the time goes into reading keys and values. They are read where they lie and in that order,
// a stretch of keys a task with all heads together; each stretch leaves its sums, which are then joined.
struct Decoding {
  static constexpr int64_t stretch = 128;  // keys a task

  const AttentionShape& s;
  const AttentionBuffers& a;
  int64_t stretches;
  float* sum_BQNHV;           // N stretches
  OnlineSoftmax* state_BQNH;

  Decoding(const AttentionShape& shape, const AttentionBuffers& buffers)
      : s(shape), a(buffers), stretches(most(1, ceil_div(shape.keys, stretch))) {
    const int64_t all = most(1, s.batch * s.queries * stretches * s.heads);
    sum_BQNHV = (float*)cv::scratch(0, all * s.value_dim * sizeof(float));
    state_BQNH = (OnlineSoftmax*)cv::scratch(1, all * sizeof(OnlineSoftmax));
  }

  void attend_stretch(int64_t b, int64_t i, int64_t n) const {
    const int64_t at = ((b * s.queries + i) * stretches + n) * s.heads;
    memset(sum_BQNHV + at * s.value_dim, 0, s.heads * s.value_dim * sizeof(float));
    for (int64_t h = 0; h < s.heads; h++) state_BQNH[at + h] = {-infinity, 0};
    const KeyRange all = s.visible(i);
    const KeyRange seen = {most(all.begin, n * stretch), least(all.end, (n + 1) * stretch)};
    for (int64_t first = seen.begin; first < seen.end; first += key_chunk)
      for (int64_t h = 0; h < s.heads; h++)
        take_keys(s, a, b, i, h, seen, first, state_BQNH[at + h], sum_BQNHV + (at + h) * s.value_dim);
  }

  void join(int64_t b, int64_t i, int64_t h) const {
    const int64_t at = (b * s.queries + i) * stretches * s.heads + h;
    const OnlineSoftmax sink = start(a.sinks_H, h);
    OnlineSoftmax whole = {sink.max, 0};
    for (int64_t n = 0; n < stretches; n++) {
      const OnlineSoftmax part = state_BQNH[at + n * s.heads];
      if (part.max > whole.max) whole.max = part.max;
    }
    if (sink.sum != 0) whole.sum = first(vexp_down(splat(sink.max - whole.max)));
    float* out = a.out + s.query(b, i, h) * s.value_dim;
    memset(out, 0, s.value_dim * sizeof(float));
    for (int64_t n = 0; n < stretches; n++) {
      const OnlineSoftmax part = state_BQNH[at + n * s.heads];
      if (part.sum == 0) continue;  // saw nothing
      const float factor = first(vexp_down(splat(part.max - whole.max)));
      whole.sum += part.sum * factor;
      add_values(&factor, sum_BQNHV + (at + n * s.heads) * s.value_dim, 0, out, 1, 1, s.value_dim);
    }
    scale_row(out, out, whole.inverse_sum(), s.value_dim);
    a.lse[(b * s.heads + h) * s.queries + i] = whole.log_sum_exp();
  }
};

}  // namespace

void attention(const cv::AttentionArgs& args) {
  const AttentionShape s(args);
  const AttentionBuffers a = {args.q.f32(),   args.k.f32(),   args.v.f32(),
                              args.sinks.f32(), args.out.f32(), args.lse.f32()};

  if (s.queries <= 4) {  // too few to pay for packing the keys
    const Decoding decoding(s, a);
    cv::parallel(s.batch * s.queries * decoding.stretches, [&](int64_t task) {
      const int64_t query = task / decoding.stretches;
      decoding.attend_stretch(query / s.queries, query % s.queries, task % decoding.stretches);
    });
    parallel_rows(s.batch * s.queries * s.heads, decoding.stretches * s.value_dim, [&](int64_t task) {
      const int64_t h = task % s.heads, query = task / s.heads;
      decoding.join(query / s.queries, query % s.queries, h);
    });
    return;
  }
  // Tasks of a fair size: some blocks of one head's queries.
  const int64_t blocks = ceil_div(s.queries, query_lanes), work = query_lanes * s.keys * (s.dim + s.value_dim);
  const int64_t piece = least(blocks, most(1, task_multiplies / most(1, work))), pieces = ceil_div(blocks, piece);
  parallel_with_memory(0, s.batch * s.heads * pieces, AttentionBlock::floats(s), [&](float* memory, int64_t task) {
    const AttentionBlock block(s, a, memory);
    const int64_t first = (pieces - 1 - task % pieces) * piece, head = task / pieces;  // causal: the longest first
    for (int64_t i = first; i < least(blocks, first + piece); i++) block.attend(head / s.heads, head % s.heads, i * query_lanes);
  });
}

}  // namespace CV_ISA
