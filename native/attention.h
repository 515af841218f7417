// What attention and its gradient share. Keys and queries are worked through in blocks, so that no [queries, keys] array
// ever exists (Dao 2023, FlashAttention-2); all products run over one register tile.
//
// A tile multiplies what a mask hides by 0, which hides nothing that is not finite. Rows that come out so are therefore made again, each by
// itself and over what it may look at.
//
// Legend: D head width, P = D padded to whole vectors, V value width, U = V padded, Q queries of a block, J keys of a block.
#pragma once
#include "abi.h"
#include "gemm.h"
#include "lanes.h"

namespace CV_ISA {

constexpr int64_t query_block = 48, key_block = 64;

// c [rows x V*W] = or += a [rows, depth] b [depth, V*W]; a's element (i, p) stands at i * a_row + p * a_column.
template <int rows, int V, bool add>
CV_INLINE void product_tile(const float* a, int64_t a_row, int64_t a_column, const float* b, int64_t b_row, float* c,
                            int64_t c_row, int64_t depth) {
  vf sum[rows][V];
  CV_UNROLL for (int i = 0; i < rows; i++)
    CV_UNROLL for (int j = 0; j < V; j++) sum[i][j] = add ? load(c + i * c_row + j * W) : vf{};
  for (int64_t p = 0; p < depth; p++, a += a_column, b += b_row) {
    vf b_V[V];
    CV_UNROLL for (int j = 0; j < V; j++) b_V[j] = load(b + j * W);
    CV_UNROLL for (int i = 0; i < rows; i++) {
      const vf a_i = splat(a[i * a_row]);
      CV_UNROLL for (int j = 0; j < V; j++) sum[i][j] = fma(a_i, b_V[j], sum[i][j]);
    }
  }
  CV_UNROLL for (int i = 0; i < rows; i++)
    CV_UNROLL for (int j = 0; j < V; j++) store(c + i * c_row + j * W, sum[i][j]);
}

// Rows and vectors of the tile: as many sums as the registers hold beside one row of b and one broadcast.
#if defined(__AVX512F__)
constexpr int tile_rows = 12, tile_vectors = 2;
#elif CV_WIDTH == 16
constexpr int tile_rows = 6, tile_vectors = 1;  // a vector is two registers
#else
constexpr int tile_rows = 6, tile_vectors = 2;
#endif

// A product of `rows` (<= tile_rows) rows.
template <int rows, bool add>
void product_strip(int64_t m, const float* a, int64_t a_row, int64_t a_column, const float* b, int64_t b_row, float* c,
                   int64_t c_row, int64_t n, int64_t depth) {
  if constexpr (rows > 1)
    if (m < rows) return product_strip<rows - 1, add>(m, a, a_row, a_column, b, b_row, c, c_row, n, depth);
  int64_t j = 0;
  for (; j + tile_vectors * W <= n; j += tile_vectors * W)
    product_tile<rows, tile_vectors, add>(a, a_row, a_column, b + j, b_row, c + j, c_row, depth);
  for (; j < n; j += W) product_tile<rows, 1, add>(a, a_row, a_column, b + j, b_row, c + j, c_row, depth);
}

// c [m, n] = or += a [m, depth] b [depth, n], n in whole vectors.
template <bool add>
void product(const float* a, int64_t a_row, int64_t a_column, const float* b, int64_t b_row, float* c, int64_t c_row,
             int64_t m, int64_t n, int64_t depth) {
  for (int64_t i = 0; i < m; i += tile_rows)
    product_strip<tile_rows, add>(least(m - i, tile_rows), a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row,
                                  n, depth);
}

struct KeyRange { int64_t begin, end; };

// The sizes both directions share. Keys and queries are `dim` wide, values and outputs `value_dim`; both padded to whole
// vectors as well.
struct AttentionShape {
  int64_t batch, queries, keys, heads, kv_heads, dim, value_dim, padded, value_padded, group, query_start, window, chunk;
  float scale;
  bool causal;

  template <class Args>
  explicit AttentionShape(const Args& a)
      : batch(a.batch), queries(a.queries), keys(a.keys), heads(a.heads), kv_heads(a.kv_heads), dim(a.dim),
        value_dim(a.value_dim), padded(ceil_div(dim, W) * W), value_padded(ceil_div(value_dim, W) * W),
        group(heads / kv_heads), query_start(a.query_start), window(a.window), chunk(a.chunk), scale((float)a.scale),
        causal(a.causal) {}

  // The number of a query's or a key's vector: times its width, where it begins.
  int64_t query(int64_t b, int64_t i, int64_t h) const { return (b * queries + i) * heads + h; }
  int64_t key(int64_t b, int64_t j, int64_t g) const { return (b * keys + j) * kv_heads + g; }

  // The keys query i may look at.
  KeyRange visible(int64_t i) const {
    const int64_t position = query_start + i;
    int64_t begin = window > 0 ? most(0, position - window + 1) : 0;
    if (chunk > 0) begin = most(begin, position - position % chunk);
    const int64_t end = causal ? most(0, least(keys, position + 1)) : keys;
    return {least(begin, end), end};
  }
  // The keys some query of [i, i + count) may look at: both ends only move forward with i.
  KeyRange visible(int64_t i, int64_t count) const { return {visible(i).begin, visible(i + count - 1).end}; }
};

inline void scale_row(const float* from, float* to, float factor, int64_t n) {
  each_vector(n, [=](int64_t i, auto lanes) { put(to + i, get(from + i, lanes) * factor, lanes); });
}

inline void add_row(const float* from, float* to, float factor, int64_t n) {
  each_vector(n, [=](int64_t i, auto lanes) { put(to + i, fma(get(from + i, lanes), splat(factor), get(to + i, lanes)), lanes); });
}

// to [rows, padded] = factor * from, zeros past D.
inline void pad_rows(const float* from, int64_t stride, float* to, int64_t rows, int64_t dim, int64_t padded, float factor = 1) {
  for (int64_t r = 0; r < rows; r++, from += stride, to += padded) {
    scale_row(from, to, factor, dim);
    for (int64_t i = dim; i < padded; i++) to[i] = 0;
  }
}

// to [D, R] = from [rows, D] transposed, zeros past the last row.
template <int64_t R>
void transpose_rows(const float* from, int64_t stride, int64_t rows, int64_t dim, float* to) {
  pack_lines<R, R, Source<float, false>>(Operand{from, stride, true, false, false, nullptr}, 0, rows, 0, dim, to);
}

// scale * score in the lanes whose key (the first is key `at`) is in range, -infinity in the others.
CV_INLINE vf masked_score(const float* score, KeyRange range, int64_t at, float scale) {
  vf s = load(score) * scale;
  if (at >= range.begin && at + W <= range.end) return s;
  vi lane;
  for (int i = 0; i < W; i++) lane[i] = i;
  const int32_t begin = (int32_t)most(0, least(W, range.begin - at)), end = (int32_t)most(0, least(W, range.end - at));
  return select((lane >= begin) & (lane < end), s, splat(-infinity));
}

}  // namespace CV_ISA
