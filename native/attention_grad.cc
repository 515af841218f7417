// The gradient of attention (Dao 2023, FlashAttention-2, algorithm 2). With p = exp(score - lse):
// dv = p^T dout, dscore = p (dout . v - dout . out), dq = scale dscore k, dk = scale dscore^T q.
//
// A task owns one kv head and every `segments`th block of its keys, and goes through the queries of all heads that share
// it: dk and dv are whole after one block, and the scores are computed once. dq is whole when there is one segment; with
// more (few heads, long keys), each leaves its part, and the parts are added in order.
#include "attention.h"

namespace CV_ISA {
namespace {

// What a task reads and writes beside its own memory.
struct GradBuffers {
  const float *q, *k, *v, *out, *lse, *dout;
  float *dq, *dk, *dv;
};

// A task's memory. H heads of the group, S all queries.
struct GradMemory {
  float *q_HSP, *dout_HSU, *dq_HSP, *delta_HS;  // all queries of the group
  float *k_DJ, *v_VJ, *k_JP, *dk_JP, *dv_JU;    // one block of keys
  float *p_QJ, *dscore_QJ;                      // one block of queries against it

  static int64_t floats(const AttentionShape& s) {
    return s.group * s.queries * (2 * s.padded + s.value_padded + 1) +
           key_block * (s.dim + s.value_dim + 2 * s.padded + s.value_padded) + 2 * query_block * key_block;
  }
  GradMemory(const AttentionShape& s, float* memory) {
    const auto next = [&memory](int64_t count) {
      float* at = memory;
      memory += count;
      return at;
    };
    const int64_t all = s.group * s.queries;
    q_HSP = next(all * s.padded), dout_HSU = next(all * s.value_padded), dq_HSP = next(all * s.padded);
    k_DJ = next(s.dim * key_block), v_VJ = next(s.value_dim * key_block), k_JP = next(key_block * s.padded);
    dk_JP = next(key_block * s.padded), dv_JU = next(key_block * s.value_padded);
    p_QJ = next(query_block * key_block), dscore_QJ = next(query_block * key_block);
    delta_HS = next(all);
  }
};

void load_queries(const AttentionShape& s, const GradBuffers& a, const GradMemory& m, int64_t b, int64_t g) {
  const int64_t V = s.value_dim, stride = s.heads * V;
  for (int64_t h = 0; h < s.group; h++) {
    const int64_t at = s.query(b, 0, g * s.group + h), row = h * s.queries;
    pad_rows(a.q + at * s.dim, s.heads * s.dim, m.q_HSP + row * s.padded, s.queries, s.dim, s.padded);
    pad_rows(a.dout + at * V, stride, m.dout_HSU + row * s.value_padded, s.queries, V, s.value_padded);
    for (int64_t i = 0; i < s.queries; i++)
      m.delta_HS[row + i] = dot(a.out + at * V + i * stride, a.dout + at * V + i * stride, V);
  }
  memset(m.dq_HSP, 0, s.group * s.queries * s.padded * sizeof(float));
}

// p = exp(scale * score - lse) over the scores, and dscore = scale p (dp - delta) over dp, one query.
void grad_scores(float* p_J, float* dscore_J, KeyRange range, int64_t first_key, float scale, float lse, float delta) {
  const float anchor = lse == -infinity ? 0 : lse;
  for (int64_t j = 0; j < key_block; j += W) {
    vf p = vexp_down(masked_score(p_J + j, range, first_key + j, scale) - anchor);
    store(dscore_J + j, p * (load(dscore_J + j) - delta) * scale);
    store(p_J + j, p);
  }
}

// One block of queries of one head against one block of keys.
void grad_tile(const AttentionShape& s, const GradMemory& m, const float* lse_S, int64_t h, int64_t first_query,
               int64_t first_key) {
  const int64_t count = least(query_block, s.queries - first_query), keys = least(key_block, s.keys - first_key);
  const int64_t row = h * s.queries + first_query, P = s.padded, U = s.value_padded;
  const float *q_QP = m.q_HSP + row * P, *dout_QU = m.dout_HSU + row * U;
  product<false>(q_QP, P, 1, m.k_DJ, key_block, m.p_QJ, key_block, count, key_block, s.dim);
  product<false>(dout_QU, U, 1, m.v_VJ, key_block, m.dscore_QJ, key_block, count, key_block, s.value_dim);
  for (int64_t i = 0; i < count; i++)
    grad_scores(m.p_QJ + i * key_block, m.dscore_QJ + i * key_block, s.visible(first_query + i), first_key, s.scale,
                lse_S[first_query + i], m.delta_HS[row + i]);
  product<true>(m.p_QJ, 1, key_block, dout_QU, U, m.dv_JU, U, keys, U, count);
  product<true>(m.dscore_QJ, 1, key_block, q_QP, P, m.dk_JP, P, keys, P, count);
  product<true>(m.dscore_QJ, key_block, 1, m.k_JP, P, m.dq_HSP + row * P, P, count, P, keys);
}

// One block of keys against all queries of the group: the whole of dk and dv there.
void grad_key_block(const AttentionShape& s, const GradBuffers& a, const GradMemory& m, int64_t b, int64_t g,
                    int64_t first_key) {
  const int64_t rows = least(key_block, s.keys - first_key), at = s.key(b, first_key, g);
  const int64_t D = s.dim, V = s.value_dim, P = s.padded, U = s.value_padded;
  const int64_t key_stride = s.kv_heads * D, value_stride = s.kv_heads * V;
  transpose_keys(a.k + at * D, key_stride, m.k_DJ, rows, D);
  transpose_keys(a.v + at * V, value_stride, m.v_VJ, rows, V);
  pad_rows(a.k + at * D, key_stride, m.k_JP, rows, D, P);
  memset(m.dk_JP, 0, key_block * P * sizeof(float));
  memset(m.dv_JU, 0, key_block * U * sizeof(float));
  for (int64_t h = 0; h < s.group; h++)
    for (int64_t i = 0; i < s.queries; i += query_block) {
      const KeyRange seen = s.visible(i, least(query_block, s.queries - i));
      if (seen.begin < first_key + rows && seen.end > first_key)
        grad_tile(s, m, a.lse + (b * s.heads + g * s.group + h) * s.queries, h, i, first_key);
    }
  for (int64_t j = 0; j < rows; j++) {
    memcpy(a.dk + at * D + j * key_stride, m.dk_JP + j * P, D * sizeof(float));
    memcpy(a.dv + at * V + j * value_stride, m.dv_JU + j * U, V * sizeof(float));
  }
}

}  // namespace

void attention_grad(const cv::AttentionGradArgs& args) {
  const AttentionShape s(args);
  const GradBuffers a = {args.q.f32(),    args.k.f32(),  args.v.f32(),  args.out.f32(), args.lse.f32(),
                         args.dout.f32(), args.dq.f32(), args.dk.f32(), args.dv.f32()};
  constexpr int64_t enough_tasks = 16;
  const int64_t blocks = ceil_div(s.keys, key_block), groups = s.batch * s.kv_heads;
  const int64_t segments = most(1, least(blocks, enough_tasks / most(1, groups)));
  const int64_t size = s.batch * s.queries * s.heads * s.dim;
  float* parts = segments == 1 ? a.dq : (float*)cv::scratch(0, most(1, segments * size) * sizeof(float));

  parallel_with_memory(1, groups * segments, GradMemory::floats(s), [&](float* memory, int64_t task) {
    const int64_t segment = task % segments, b = task / segments / s.kv_heads, g = task / segments % s.kv_heads;
    const GradMemory m(s, memory);
    load_queries(s, a, m, b, g);
    for (int64_t block = segment; block < blocks; block += segments)
      grad_key_block(s, a, m, b, g, block * key_block);
    for (int64_t h = 0; h < s.group; h++)
      for (int64_t i = 0; i < s.queries; i++)
        memcpy(parts + segment * size + s.query(b, i, g * s.group + h) * s.dim,
               m.dq_HSP + (h * s.queries + i) * s.padded, s.dim * sizeof(float));
  });
  if (segments == 1) return;
  parallel_pieces(size, segments, [=](int64_t begin, int64_t end) {
    each_vector(end - begin, [=](int64_t i, auto lanes) {
      vf sum = {};
      for (int64_t part = 0; part < segments; part++) sum += get(parts + part * size + begin + i, lanes);
      put(a.dq + begin + i, sum, lanes);
    });
  });
}

}  // namespace CV_ISA
