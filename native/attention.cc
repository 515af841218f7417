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

void scale_row(const float* from, float* to, float factor, int64_t n) {
  each_vector(n, [=](int64_t i, auto lanes) { put(to + i, get(from + i, lanes) * factor, lanes); });
}

// A softmax that has seen nothing but the head's sink, if there is one: a term e^(sink) without a value.
OnlineSoftmax start(const float* sinks_H, int64_t h) {
  return sinks_H ? OnlineSoftmax{sinks_H[h], 1} : OnlineSoftmax{-infinity, 0};
}

// Keys transposed and values padded, block by block, for every batch and kv head.
struct PackedKeys {
  float *keys, *values;
  int64_t blocks, dim, value_padded;

  PackedKeys(const AttentionShape& s, const float* k, const float* v)
      : blocks(ceil_div(s.keys, key_block)), dim(s.dim), value_padded(s.value_padded) {
    const int64_t all = s.batch * s.kv_heads * blocks;
    keys = (float*)cv::scratch(0, most(1, all * key_block * dim) * sizeof(float));
    values = (float*)cv::scratch(1, most(1, all * key_block * value_padded) * sizeof(float));
    parallel_rows(all, key_block * (dim + s.value_dim), [&](int64_t i) {
      const int64_t b = i / blocks / s.kv_heads, g = i / blocks % s.kv_heads, first = i % blocks * key_block;
      const int64_t rows = least(key_block, s.keys - first), at = s.key(b, first, g);
      transpose_keys(k + at * dim, s.kv_heads * dim, keys + i * key_block * dim, rows, dim);
      pad_rows(v + at * s.value_dim, s.kv_heads * s.value_dim, values + i * key_block * value_padded, rows, s.value_dim,
               value_padded);
    });
  }
  const float* keys_of(int64_t b, int64_t g, const AttentionShape& s, int64_t block) const {
    return keys + ((b * s.kv_heads + g) * blocks + block) * key_block * dim;
  }
  const float* values_of(int64_t b, int64_t g, const AttentionShape& s, int64_t block) const {
    return values + ((b * s.kv_heads + g) * blocks + block) * key_block * value_padded;
  }
};

// What a call reads and writes.
struct AttentionBuffers {
  const float *q, *k, *v, *sinks_H;
  float *out, *lse;
};

// One block of queries of one head against all the keys they may look at.
void attend_block(const AttentionShape& s, const PackedKeys& packed, const AttentionBuffers& a, float* memory, int64_t b,
                  int64_t h, int64_t first_query) {
  const int64_t count = least(query_block, s.queries - first_query), g = h / s.group;
  float *score_QJ = memory, *sum_QU = score_QJ + query_block * key_block;
  OnlineSoftmax state_Q[query_block];
  for (int64_t i = 0; i < count; i++) state_Q[i] = start(a.sinks_H, h);
  memset(sum_QU, 0, count * s.value_padded * sizeof(float));

  const KeyRange seen = s.visible(first_query, count);
  for (int64_t first = seen.begin / key_block * key_block; first < seen.end; first += key_block) {
    const int64_t block = first / key_block;
    product<false>(a.q + s.query(b, first_query, h) * s.dim, s.heads * s.dim, 1, packed.keys_of(b, g, s, block), key_block,
                   score_QJ, key_block, count, key_block, s.dim);
    for (int64_t i = 0; i < count; i++) {
      const KeyRange visible = s.visible(first_query + i);
      const float shrink = state_Q[i].take(score_QJ + i * key_block, key_block, visible, first, s.scale);
      if (shrink != 1) scale_row(sum_QU + i * s.value_padded, sum_QU + i * s.value_padded, shrink, s.value_padded);
    }
    product<true>(score_QJ, key_block, 1, packed.values_of(b, g, s, block), s.value_padded, sum_QU, s.value_padded, count,
                  s.value_padded, least(key_block, seen.end - first));
  }
  for (int64_t i = 0; i < count; i++) {
    scale_row(sum_QU + i * s.value_padded, a.out + s.query(b, first_query + i, h) * s.value_dim, state_Q[i].inverse_sum(),
              s.value_dim);
    a.lse[(b * s.heads + h) * s.queries + first_query + i] = state_Q[i].log_sum_exp();
  }
}

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

// Few queries (decoding): all the time goes into reading keys and values. They are read where they lie and in that order,
// a stretch of keys a task with all heads together; each stretch leaves its sums, which are then joined.
struct Decoding {
  static constexpr int64_t stretch = 128, chunk = 16;  // keys a task, and keys that stay in cache for all heads

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
    for (int64_t first = seen.begin; first < seen.end; first += chunk)
      for (int64_t h = 0; h < s.heads; h++) {
        const int64_t count = least(chunk, seen.end - first), key = s.key(b, first, h / s.group);
        float score_J[chunk] = {};
        score_keys(a.q + s.query(b, i, h) * s.dim, a.k + key * s.dim, s.kv_heads * s.dim, score_J, count, s.dim);
        const float shrink = state_BQNH[at + h].take(score_J, chunk, seen, first, s.scale);
        add_values(score_J, a.v + key * s.value_dim, s.kv_heads * s.value_dim, sum_BQNHV + (at + h) * s.value_dim, shrink,
                   count, s.value_dim);
      }
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
  const PackedKeys packed(s, a.k, a.v);
  const int64_t blocks = ceil_div(s.queries, query_block);
  parallel_with_memory(2, s.batch * s.heads * blocks, query_block * (key_block + s.value_padded),
                       [&](float* memory, int64_t task) {
                         const int64_t block = blocks - 1 - task % blocks;  // causal: the longest first
                         attend_block(s, packed, a, memory, task / blocks / s.heads, task / blocks % s.heads,
                                      block * query_block);
                       });
}

}  // namespace CV_ISA
