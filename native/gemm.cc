// gemm, groupedGemm, groupedGemmOuter and the products of SwiGLU experts: all are lists of products.
#include "abi.h"
#include "gemm_list.h"

namespace CV_ISA {
namespace {

Operand operand(const cv::Buf& x, int64_t skip, int64_t ld, bool k_inner, bool round) {
  const bool bf16 = x.dtype() == cv::DType::bf16;
  return {x.as<const char>() + skip * (bf16 ? 2 : 4), ld, k_inner, bf16, round, nullptr};
}

Output output(const cv::Buf& out, int64_t skip, int64_t ld) {
  if (!out) return {};
  const bool bf16 = out.dtype() == cv::DType::bf16;
  return {out.as<char>() + skip * (bf16 ? 2 : 4), ld, bf16};
}

// Rows of n from row `used` on: no expert owns them.
void clear_rows(const cv::Buf& out, int64_t used, int64_t rows, int64_t n) {
  if (!out) return;
  const int64_t bytes = n * (out.dtype() == cv::DType::bf16 ? 2 : 4);
  memset(out.as<char>() + used * bytes, 0, (size_t)((rows - used) * bytes));
}

}  // namespace

void gemm(const cv::GemmArgs& g) {
  const int64_t m = g.m, n = g.n, k = g.k;
  List list(g.bf16);
  for (int64_t i = 0; i < g.batch; i++) {
    Product p{};
    p.a = operand(g.a, i * m * k, g.trans_a ? m : k, !g.trans_a, g.bf16);
    p.b = operand(g.b, i * k * n, g.trans_b ? k : n, g.trans_b, g.bf16);
    p.out = output(g.out, i * m * n, n);
    p.accumulate = g.accumulate;
    p.m = m, p.n = n, p.k = k;
    list.add(p);
  }
  list.run();
}

void grouped_gemm(const cv::GroupedGemmArgs& g) {
  const int64_t n = g.n, k = g.k, experts = g.experts;
  const int32_t* offsets = g.offsets.i32();
  List list(g.bf16);
  for (int64_t e = 0; e < experts; e++) {
    Product p{};
    p.a = operand(g.x, offsets[e] * k, k, true, g.bf16);
    p.b = operand(g.w, e * n * k, g.trans_w ? k : n, g.trans_w, g.bf16);
    p.out = output(g.out, offsets[e] * n, n);
    p.m = offsets[e + 1] - offsets[e], p.n = n, p.k = k;
    list.add(p);
  }
  list.run();
  clear_rows(g.out, offsets[experts], g.rows, n);
}

void grouped_swiglu(const cv::GroupedSwigluArgs& g) {
  const int64_t n = g.n, k = g.k, experts = g.experts;
  const int32_t* offsets = g.offsets.i32();
  List list(g.bf16);
  for (int64_t e = 0; e < experts; e++) {
    Product p{};
    p.a = operand(g.x, offsets[e] * k, k, true, g.bf16);
    p.b = operand(g.w, e * 2 * n * k, k, true, g.bf16);
    p.finish = Finish::swiglu;
    p.out = output(g.out, offsets[e] * n, n);
    p.saved = output(g.gate_up, offsets[e] * 2 * n, 2 * n);
    p.m = offsets[e + 1] - offsets[e], p.n = n, p.k = k;
    list.add(p);
  }
  list.run();
  clear_rows(g.out, offsets[experts], g.rows, n);
  clear_rows(g.gate_up, offsets[experts], g.rows, 2 * n);
}

void grouped_swiglu_grad(const cv::GroupedSwigluGradArgs& g) {
  const int64_t n = g.n, k = g.k, experts = g.experts;
  const int32_t* offsets = g.offsets.i32();
  List list(g.bf16);
  for (int64_t e = 0; e < experts; e++) {
    Product p{};
    p.a = operand(g.dy, offsets[e] * k, k, true, g.bf16);
    p.b = operand(g.w, e * n * k, n, false, g.bf16);
    p.finish = Finish::swiglu_grad;
    p.out = output(g.out, offsets[e] * 2 * n, 2 * n);
    p.saved = output(g.gate_up, offsets[e] * 2 * n, 2 * n);
    p.m = offsets[e + 1] - offsets[e], p.n = n, p.k = k;
    list.add(p);
  }
  list.run();
  clear_rows(g.out, offsets[experts], g.rows, 2 * n);
}

void grouped_gemm_outer(const cv::GroupedGemmOuterArgs& g) {
  const int64_t m = g.m, n = g.n;
  const int32_t* offsets = g.offsets.i32();
  List list(g.bf16);
  for (int64_t e = 0; e < g.experts; e++) {
    Product p{};
    p.a = operand(g.a, offsets[e] * m, m, false, g.bf16);
    p.b = operand(g.b, offsets[e] * n, n, false, g.bf16);
    p.out = output(g.out, e * m * n, n);
    p.m = m, p.n = n, p.k = offsets[e + 1] - offsets[e];
    list.add(p);
  }
  list.run();
}

}  // namespace CV_ISA
