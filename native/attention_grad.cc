// The gradient of attention (Dao 2023, FlashAttention-2, algorithm 2). With p = exp(score - lse):
// dv = p^T dout, dscore = p (dout . v - dout . out), dq = scale dscore k, dk = scale dscore^T q.
//
// A task owns one kv head and every `segments`th block of its keys, and goes through the queries of all heads that share
// it: dk and dv are whole after one block, and the scores are computed once. dq is whole when there is one segment; with
// more (few heads, long keys), each leaves its part, and the parts are added in order.
#include "attention.h"

namespace CV_ISA {
namespace {

constexpr int64_t grad_queries = 48;  // a block of them: its scores, keys and values stay in L2 up to D = 128

// What a task reads and writes beside its own memory.
struct GradBuffers {
  const float *q, *k, *v, *out, *lse, *dout;
  float *dq, *dk, *dv;
};

// A task's memory. H heads of the group, S all queries; dscore and dq lack their factor `scale`, q_QP has it.
struct GradMemory {
  float *dq_HSP, *delta_HS;                   // all queries of the group
  float *k_DJ, *v_VJ, *k_JP, *dk_JP, *dv_JU;  // one block of keys
  float *q_QP, *dout_QU, *p_QJ, *dscore_QJ;   // one block of queries against it

  static int64_t floats(const AttentionShape& s) {
    return s.group * s.queries * (s.padded + 1) + key_block * (s.dim + s.value_dim + 2 * s.padded + s.value_padded) +
           grad_queries * (s.padded + s.value_padded + 2 * key_block);
  }
  GradMemory(const AttentionShape& s, float* memory) {
    const auto next = [&memory](int64_t count) {
      float* at = memory;
      memory += count;
      return at;
    };
    const int64_t all = s.group * s.queries;
    dq_HSP = next(all * s.padded), k_DJ = next(s.dim * key_block), v_VJ = next(s.value_dim * key_block);
    k_JP = next(key_block * s.padded), dk_JP = next(key_block * s.padded), dv_JU = next(key_block * s.value_padded);
    q_QP = next(grad_queries * s.padded), dout_QU = next(grad_queries * s.value_padded);
    p_QJ = next(grad_queries * key_block), dscore_QJ = next(grad_queries * key_block);
    delta_HS = next(all);
  }
};

// Products of a matrix's rows, a strip of registers at a time, each over the part of the sum that is not zero.
template <class F>
void each_strip(int64_t rows, F body) {
  for (int64_t i = 0; i < rows; i += tile_rows) body(i, least(tile_rows, rows - i));
}

// One block of queries of one head against one block of keys.
struct GradTile {
  const AttentionShape& s;
  const GradMemory& m;
  int64_t first_query, first_key, count, keys;
  KeyRange seen_Q[grad_queries];  // the keys of the block that each query may look at

  GradTile(const AttentionShape& shape, const GradMemory& memory, int64_t query, int64_t key)
      : s(shape), m(memory), first_query(query), first_key(key), count(least(grad_queries, s.queries - query)),
        keys(least(key_block, s.keys - key)) {
    const auto in_block = [=](int64_t at) { return least(keys, most(0, at - first_key)); };
    for (int64_t i = 0; i < count; i++) {
      const KeyRange range = s.visible(first_query + i);
      seen_Q[i] = {in_block(range.begin), in_block(range.end)};
    }
  }
  bool is_seen() const { return seen_Q[count - 1].end > 0 && seen_Q[0].begin < keys; }

  void load(const GradBuffers& a, int64_t b, int64_t h) const {
    const int64_t at = s.query(b, first_query, h);
    pad_rows(a.q + at * s.dim, s.heads * s.dim, m.q_QP, count, s.dim, s.padded, s.scale);
    pad_rows(a.dout + at * s.value_dim, s.heads * s.value_dim, m.dout_QU, count, s.value_dim, s.value_padded);
  }

  // to [Q, J] = a [Q, depth] b [depth, J] where some query of a strip sees some key of a vector.
  void multiply(const float* a, int64_t a_row, const float* b_J, float* to_QJ, int64_t depth) const {
    each_strip(count, [&](int64_t i, int64_t rows) {
      const int64_t begin = seen_Q[i].begin / W * W, end = ceil_div(seen_Q[i + rows - 1].end, W) * W;
      product_strip<tile_rows, false>(rows, a + i * a_row, a_row, 1, b_J + begin, key_block, to_QJ + i * key_block + begin,
                                      key_block, end - begin, depth);
    });
  }

  // p = exp(score - lse) over the scores, and dscore = p (dp - delta) over dp, one query; zeros where it does not look.
  void soften(int64_t i, float lse, float delta) const {
    float *p_J = m.p_QJ + i * key_block, *dscore_J = m.dscore_QJ + i * key_block;
    const KeyRange seen = seen_Q[i];
    const float anchor = lse == -infinity ? 0 : lse;
    for (int64_t j = 0; j < key_block; j += W) {
      vf p = {}, dscore = {};
      if (j < seen.end && j + W > seen.begin) {
        p = vexp_down(masked_score(p_J + j, seen, j, 1) - anchor);
        dscore = p * (CV_ISA::load(dscore_J + j) - delta);
      }
      store(p_J + j, p);
      store(dscore_J + j, dscore);
    }
  }

  // dv += p^T dout and dk += dscore^T q, each key by the queries that see it; dq += dscore k, each query by the keys it sees.
  void add_gradients(float* dq_QP) const {
    const int64_t P = s.padded, U = s.value_padded;
    int64_t from = 0, to = 0;  // both ends only move forward
    each_strip(keys, [&](int64_t j, int64_t rows) {
      while (from < count && seen_Q[from].end <= j) from++;
      while (to < count && seen_Q[to].begin < j + rows) to++;
      const int64_t at = from * key_block + j;
      product_strip<tile_rows, true>(rows, m.p_QJ + at, 1, key_block, m.dout_QU + from * U, U, m.dv_JU + j * U, U, U, to - from);
      product_strip<tile_rows, true>(rows, m.dscore_QJ + at, 1, key_block, m.q_QP + from * P, P, m.dk_JP + j * P, P, P, to - from);
    });
    each_strip(count, [&](int64_t i, int64_t rows) {
      const int64_t begin = seen_Q[i].begin, end = seen_Q[i + rows - 1].end;
      product_strip<tile_rows, true>(rows, m.dscore_QJ + i * key_block + begin, key_block, 1, m.k_JP + begin * P, P, dq_QP + i * P, P,
                                     P, end - begin);
    });
  }
};

// What one query of the group's head h makes of one key that it sees.
struct GradPair {
  float p, dscore;

  GradPair(const AttentionShape& s, const GradBuffers& a, const GradMemory& m, int64_t b, int64_t g, int64_t h, int64_t i, int64_t j) {
    const int64_t head = g * s.group + h, query = s.query(b, i, head), key = s.key(b, j, g);
    const float score = s.scale * dot(a.q + query * s.dim, a.k + key * s.dim, s.dim);
    const float dp = dot(a.dout + query * s.value_dim, a.v + key * s.value_dim, s.value_dim);
    p = first(vexp_down(splat(score - a.lse[(b * s.heads + head) * s.queries + i])));
    dscore = p * (dp - m.delta_HS[h * s.queries + i]);
  }
};

// dk and dv of one key by itself, by no query but those that see it.
[[gnu::noinline]] void grad_key_alone(const AttentionShape& s, const GradBuffers& a, const GradMemory& m, int64_t b, int64_t g,
                                      int64_t j) {
  float *dk = a.dk + s.key(b, j, g) * s.dim, *dv = a.dv + s.key(b, j, g) * s.value_dim;
  memset(dk, 0, s.dim * sizeof(float));
  memset(dv, 0, s.value_dim * sizeof(float));
  for (int64_t i = 0; i < s.queries; i++) {
    const KeyRange seen = s.visible(i);
    if (j < seen.begin || j >= seen.end) continue;
    for (int64_t h = 0; h < s.group; h++) {
      const GradPair pair(s, a, m, b, g, h, i, j);
      const int64_t query = s.query(b, i, g * s.group + h);
      add_row(a.dout + query * s.value_dim, dv, pair.p, s.value_dim);
      add_row(a.q + query * s.dim, dk, s.scale * pair.dscore, s.dim);
    }
  }
}

// to [D] = dq of one query by itself, from the keys it sees in every `segments`th block from `first_block` on.
[[gnu::noinline]] void grad_query_alone(const AttentionShape& s, const GradBuffers& a, const GradMemory& m, int64_t b, int64_t g, int64_t h,
                                        int64_t i, int64_t first_block, int64_t segments, float* to) {
  const KeyRange seen = s.visible(i);
  memset(to, 0, s.dim * sizeof(float));
  for (int64_t first = first_block * key_block; first < seen.end; first += segments * key_block)
    for (int64_t j = most(seen.begin, first); j < least(seen.end, first + key_block); j++)
      add_row(a.k + s.key(b, j, g) * s.dim, to, s.scale * GradPair(s, a, m, b, g, h, i, j).dscore, s.dim);
}

// One block of keys against all queries of the group: the whole of dk and dv there.
void grad_key_block(const AttentionShape& s, const GradBuffers& a, const GradMemory& m, int64_t b, int64_t g, int64_t first_key) {
  const int64_t rows = least(key_block, s.keys - first_key), at = s.key(b, first_key, g);
  const int64_t D = s.dim, V = s.value_dim, P = s.padded, U = s.value_padded;
  const int64_t key_stride = s.kv_heads * D, value_stride = s.kv_heads * V;
  transpose_rows<key_block>(a.k + at * D, key_stride, rows, D, m.k_DJ);
  transpose_rows<key_block>(a.v + at * V, value_stride, rows, V, m.v_VJ);
  pad_rows(a.k + at * D, key_stride, m.k_JP, rows, D, P);
  memset(m.dk_JP, 0, key_block * P * sizeof(float));
  memset(m.dv_JU, 0, key_block * U * sizeof(float));
  for (int64_t i = 0; i < s.queries; i += grad_queries) {
    const GradTile tile(s, m, i, first_key);
    if (!tile.is_seen()) continue;
    for (int64_t h = 0; h < s.group; h++) {
      const int64_t row = h * s.queries + i, head = g * s.group + h;
      const float* lse_Q = a.lse + (b * s.heads + head) * s.queries + i;
      tile.load(a, b, head);
      tile.multiply(m.q_QP, P, m.k_DJ, m.p_QJ, D);
      tile.multiply(m.dout_QU, U, m.v_VJ, m.dscore_QJ, V);
      for (int64_t r = 0; r < tile.count; r++) tile.soften(r, lse_Q[r], m.delta_HS[row + r]);
      tile.add_gradients(m.dq_HSP + row * P);
    }
  }
  for (int64_t j = 0; j < rows; j++) {
    memcpy(a.dk + at * D + j * key_stride, m.dk_JP + j * P, D * sizeof(float));
    memcpy(a.dv + at * V + j * value_stride, m.dv_JU + j * U, V * sizeof(float));
  }
  if (is_finite(m.dk_JP, rows * P) && is_finite(m.dv_JU, rows * U)) return;
  for (int64_t j = 0; j < rows; j++)
    if (!is_finite(m.dk_JP + j * P, P) || !is_finite(m.dv_JU + j * U, U)) grad_key_alone(s, a, m, b, g, first_key + j);
}

// delta = dout . out of all queries of the group, and zeros in dq.
void start_queries(const AttentionShape& s, const GradBuffers& a, const GradMemory& m, int64_t b, int64_t g) {
  for (int64_t h = 0; h < s.group; h++)
    for (int64_t i = 0; i < s.queries; i++) {
      const int64_t at = s.query(b, i, g * s.group + h) * s.value_dim;
      m.delta_HS[h * s.queries + i] = dot(a.out + at, a.dout + at, s.value_dim);
    }
  memset(m.dq_HSP, 0, s.group * s.queries * s.padded * sizeof(float));
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
    start_queries(s, a, m, b, g);
    for (int64_t block = segment; block < blocks; block += segments)
      grad_key_block(s, a, m, b, g, block * key_block);
    const bool finite = is_finite(m.dq_HSP, s.group * s.queries * s.padded);
    for (int64_t h = 0; h < s.group; h++)
      for (int64_t i = 0; i < s.queries; i++) {
        float *dq_P = m.dq_HSP + (h * s.queries + i) * s.padded, *to = parts + segment * size + s.query(b, i, g * s.group + h) * s.dim;
        scale_row(dq_P, to, s.scale, s.dim);
        if (!finite && !is_finite(dq_P, s.padded)) grad_query_alone(s, a, m, b, g, h, i, segment, segments, to);
      }
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
