// One value in, one value out: binary with broadcasting, unary, and unary's gradient.
#include "abi.h"
#include "lanes.h"

namespace CV_ISA {
namespace {

template <cv::BinaryOp op>
CV_INLINE vf apply_binary(vf a, vf b) {
  using Op = cv::BinaryOp;
  if constexpr (op == Op::add_) return a + b;
  else if constexpr (op == Op::sub_) return a - b;
  else if constexpr (op == Op::mul_) return a * b;
  else if constexpr (op == Op::div_) return a / b;
  else if constexpr (op == Op::max_) return vmax_nan(a, b);
  else if constexpr (op == Op::min_) return vmin_nan(a, b);
  else if constexpr (op == Op::less_) return select(a < b, splat(1), vf{});
  else return select(a == b, splat(1), vf{});
}

// The shape of a binary operation with neighbouring axes merged where both operands allow it.
struct Broadcast {
  int64_t size[4], a_stride[4], b_stride[4];
  int rank = 0;

  explicit Broadcast(const cv::BinaryArgs& args) {
    for (int i = 0; i < 4; i++) {
      int64_t n = args.dims[i], a = args.a_strides[i], b = args.b_strides[i];
      if (n == 1) continue;
      if (rank > 0 && a_stride[rank - 1] == a * n && b_stride[rank - 1] == b * n) {
        size[rank - 1] *= n;
        a_stride[rank - 1] = a;
        b_stride[rank - 1] = b;
      } else {
        size[rank] = n;
        a_stride[rank] = a;
        b_stride[rank++] = b;
      }
    }
    if (rank == 0) size[0] = a_stride[0] = b_stride[0] = rank = 1;
  }
  int64_t total() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= size[i];
    return n;
  }
};

// Lanes of an operand from its element i on.
struct Contiguous {
  template <class L> CV_INLINE vf at(const float* p, int64_t, int64_t i, L lanes) { return get(p + i, lanes); }
};
struct Repeated {
  template <class L> CV_INLINE vf at(const float* p, int64_t, int64_t, L) { return splat(*p); }
};
struct Strided {
  CV_INLINE vf at(const float* p, int64_t stride, int64_t i, Part part) {
    float lanes[W] = {};
    for (int64_t j = 0; j < part.n; j++) lanes[j] = p[(i + j) * stride];
    return load(lanes);
  }
  CV_INLINE vf at(const float* p, int64_t stride, int64_t i, Whole) { return at(p, stride, i, Part{W}); }
};

template <cv::BinaryOp op, class A, class B>
void binary_run(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* out, int64_t n) {
  each_vector(n, [&](int64_t i, auto lanes) {
    put(out + i, apply_binary<op>(A::at(a, a_stride, i, lanes), B::at(b, b_stride, i, lanes)), lanes);
  });
}

typedef void (*BinaryRun)(const float*, int64_t, const float*, int64_t, float*, int64_t);

template <cv::BinaryOp op>
BinaryRun choose_strides(int64_t a_stride, int64_t b_stride) {
  if (a_stride == 1 && b_stride == 1) return binary_run<op, Contiguous, Contiguous>;
  if (a_stride == 1 && b_stride == 0) return binary_run<op, Contiguous, Repeated>;
  if (a_stride == 0 && b_stride == 1) return binary_run<op, Repeated, Contiguous>;
  return binary_run<op, Strided, Strided>;
}

// The loop for an operation known only at run time.
template <int op = 0>
BinaryRun choose_run(cv::BinaryOp wanted, int64_t a_stride, int64_t b_stride) {
  if constexpr (op < (int)cv::BinaryOp::equal_)
    if ((int)wanted != op) return choose_run<op + 1>(wanted, a_stride, b_stride);
  return choose_strides<(cv::BinaryOp)op>(a_stride, b_stride);
}

// Runs `out[begin, end)` in row-major order over the merged shape, one run of the last axis at a time.
void binary_range(const Broadcast& shape, BinaryRun run, const float* a, const float* b, float* out, int64_t begin,
                  int64_t end) {
  const int last = shape.rank - 1;
  int64_t index[4], a_at = 0, b_at = 0;
  for (int64_t axis = last, rest = begin; axis >= 0; rest /= shape.size[axis--]) {
    index[axis] = rest % shape.size[axis];
    a_at += index[axis] * shape.a_stride[axis];
    b_at += index[axis] * shape.b_stride[axis];
  }
  while (begin < end) {
    int64_t count = least(shape.size[last] - index[last], end - begin);
    run(a + a_at, shape.a_stride[last], b + b_at, shape.b_stride[last], out + begin, count);
    begin += count;
    for (int axis = last, step = 0; axis >= 0; axis--, step = 1) {
      int64_t moved = step ? 1 : count;
      index[axis] += moved;
      a_at += moved * shape.a_stride[axis];
      b_at += moved * shape.b_stride[axis];
      if (index[axis] < shape.size[axis]) break;
      index[axis] = 0;
      a_at -= shape.size[axis] * shape.a_stride[axis];
      b_at -= shape.size[axis] * shape.b_stride[axis];
    }
  }
}

// GELU's tanh form as x sigmoid(2u), 2u = sqrt(8/pi) (x + 0.044715 x^3) (Hendrycks & Gimpel 2016).
constexpr float gelu_linear = 1.59576912f, gelu_cubic = 1.59576912f * 0.044715f;
CV_INLINE vf gelu_inner(vf x) { return x * fma(x * x, splat(gelu_cubic), splat(gelu_linear)); }
CV_INLINE vf gelu_inner_slope(vf x) { return fma(x * x, splat(3 * gelu_cubic), splat(gelu_linear)); }

// op(x)
template <cv::UnaryOp op>
CV_INLINE vf apply_unary(vf x, float alpha, float beta) {
  using Op = cv::UnaryOp;
  if constexpr (op == Op::neg_) return -x;
  else if constexpr (op == Op::abs_) return vabs(x);
  else if constexpr (op == Op::exp_) return vexp(x);
  else if constexpr (op == Op::log_) return vlog(x);
  else if constexpr (op == Op::sqrt_) return vsqrt(x);
  else if constexpr (op == Op::rsqrt_) return 1.0f / vsqrt(x);
  else if constexpr (op == Op::square_) return x * x;
  else if constexpr (op == Op::reciprocal_) return 1.0f / x;
  else if constexpr (op == Op::sigmoid_) return vsigmoid(x);
  else if constexpr (op == Op::tanh_) return vtanh(x);
  else if constexpr (op == Op::softplus_) return vsoftplus(x);
  else if constexpr (op == Op::relu_) return select(x < 0.0f, vf{}, x);
  else if constexpr (op == Op::gelu_) return x * vnormal_cdf(x);
  else if constexpr (op == Op::geluTanh_) return x * vsigmoid(gelu_inner(x));
  else if constexpr (op == Op::silu_) return x * vsigmoid(x);
  else if constexpr (op == Op::normalCdf_) return vnormal_cdf(x);
  else if constexpr (op == Op::affine_) return fma(x, splat(alpha), splat(beta));
  else if constexpr (op == Op::clamp_) return vmin(splat(beta), vmax(splat(alpha), x));
  else if constexpr (op == Op::sin_) return vsin(x);
  else return vcos(x);
}

// op'(x), y = op(x).
template <cv::UnaryOp op>
CV_INLINE vf unary_slope(vf x, vf y, float alpha, float beta) {
  using Op = cv::UnaryOp;
  if constexpr (op == Op::neg_) return splat(-1);
  else if constexpr (op == Op::abs_) return select(x > 0.0f, splat(1), select(x < 0.0f, splat(-1), x));
  else if constexpr (op == Op::exp_) return y;
  else if constexpr (op == Op::log_) return 1.0f / x;
  else if constexpr (op == Op::sqrt_) return 0.5f / y;
  else if constexpr (op == Op::rsqrt_) return -0.5f * y / x;
  else if constexpr (op == Op::square_) return 2.0f * x;
  else if constexpr (op == Op::reciprocal_) return -y * y;
  else if constexpr (op == Op::sigmoid_) return y * (1.0f - y);
  else if constexpr (op == Op::tanh_) return 1.0f - y * y;
  else if constexpr (op == Op::softplus_) return vsigmoid(x);
  else if constexpr (op == Op::relu_) return select(x > 0.0f, splat(1), vf{});
  else if constexpr (op == Op::gelu_) return fma(x, vnormal_pdf(x), vnormal_cdf(x));
  else if constexpr (op == Op::geluTanh_) {
    vf s = vsigmoid(gelu_inner(x));
    return fma(y * (1.0f - s), gelu_inner_slope(x), s);
  } else if constexpr (op == Op::silu_) {
    vf s = vsigmoid(x);
    return fma(y, 1.0f - s, s);
  } else if constexpr (op == Op::normalCdf_) return vnormal_pdf(x);
  else if constexpr (op == Op::affine_) return splat(alpha);
  else if constexpr (op == Op::clamp_) return select((x >= alpha) & (x <= beta), splat(1), vf{});
  else if constexpr (op == Op::sin_) return vcos(x);
  else return -vsin(x);
}

template <cv::UnaryOp op>
void unary_run(const cv::UnaryArgs& args) {
  const float* x = args.x.f32();
  float *out = args.out.f32(), alpha = (float)args.alpha, beta = (float)args.beta;
  parallel_pieces(args.n, 1, [=](int64_t begin, int64_t end) {
    each_vector(end - begin, [=](int64_t i, auto lanes) {
      put(out + begin + i, apply_unary<op>(get(x + begin + i, lanes), alpha, beta), lanes);
    });
  });
}

template <cv::UnaryOp op>
void unary_grad_run(const cv::UnaryGradArgs& args) {
  const float *x = args.x.f32(), *y = args.y.f32(), *dy = args.dy.f32();
  float *dx = args.dx.f32(), alpha = (float)args.alpha, beta = (float)args.beta;
  parallel_pieces(args.n, 1, [=](int64_t begin, int64_t end) {
    each_vector(end - begin, [=](int64_t i, auto lanes) {
      const int64_t at = begin + i;
      vf slope = unary_slope<op>(get(x + at, lanes), get(y + at, lanes), alpha, beta);
      put(dx + at, get(dy + at, lanes) * slope, lanes);
    });
  });
}

// The run of an operation known only at run time.
template <int op = 0>
auto choose_unary(cv::UnaryOp wanted) -> void (*)(const cv::UnaryArgs&) {
  if constexpr (op < (int)cv::UnaryOp::cos_)
    if ((int)wanted != op) return choose_unary<op + 1>(wanted);
  return unary_run<(cv::UnaryOp)op>;
}
template <int op = 0>
auto choose_unary_grad(cv::UnaryGradOp wanted) -> void (*)(const cv::UnaryGradArgs&) {
  if constexpr (op < (int)cv::UnaryGradOp::cos_)
    if ((int)wanted != op) return choose_unary_grad<op + 1>(wanted);
  return unary_grad_run<(cv::UnaryOp)op>;
}
static_assert((int)cv::UnaryOp::cos_ == (int)cv::UnaryGradOp::cos_, "the two lists are one");

}  // namespace

void binary(const cv::BinaryArgs& args) {
  const Broadcast shape(args);
  const int last = shape.rank - 1;
  const BinaryRun run = choose_run(args.op, shape.a_stride[last], shape.b_stride[last]);
  const float *a = args.a.f32(), *b = args.b.f32();
  float* out = args.out.f32();
  parallel_pieces(shape.total(), 1,
                  [&](int64_t begin, int64_t end) { binary_range(shape, run, a, b, out, begin, end); });
}

void unary(const cv::UnaryArgs& args) { choose_unary(args.op)(args); }

void unary_grad(const cv::UnaryGradArgs& args) { choose_unary_grad(args.op)(args); }

// Chains that run side by side: two units of latency 4 need 8 under way, and 12 fit the 16 registers of AVX2.
constexpr int chains = 12;

void fma_chain(const cv::FmaChainArgs& args) {
  const float* x = args.x.f32();
  float* out = args.out.f32();
  const int64_t n = args.n, rounds = args.rounds, block = chains * W;
  const vf a = splat((float)args.a), b = splat((float)args.b);
  cv::parallel(ceil_div(n, block), [=](int64_t task) {
    const int64_t first = task * block, count = least(block, n - first);
    vf v[chains];
    CV_UNROLL for (int c = 0; c < chains; c++) v[c] = load_n(x + first + c * W, most(0, least(W, count - c * W)));
    for (int64_t round = 0; round < rounds; round++) {
      CV_UNROLL for (int c = 0; c < chains; c++) v[c] = fma(v[c], a, b);
    }
    CV_UNROLL for (int c = 0; c < chains; c++) store_n(out + first + c * W, v[c], most(0, least(W, count - c * W)));
  });
}

}  // namespace CV_ISA
