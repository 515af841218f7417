import type { BinaryOp, UnaryOp } from "../../kernels/abi.ts";
import { apply } from "../apply.ts";
import {
  check,
  checkDtype,
  type DifferentiableOp,
  f32,
  type InputGrads,
  type Op,
  type Reads,
  type VjpContext,
} from "../op.ts";
import { empty, full, Tensor } from "../tensor.ts";
import { broadcastShape, fourAxes, stridesIn, sumTo } from "./broadcast.ts";

// ---- two operands, broadcast (NumPy) ----------------------------------------------------------------------

function binaryOp(name: BinaryOp): Op<null> & { readonly vjp: "none" } {
  return {
    name,
    shape(inputs) {
      const [a, b] = inputs;
      checkDtype(name, "a", a, ["f32"]);
      checkDtype(name, "b", b, ["f32"]);
      return [f32(broadcastShape(name, a.shape, b.shape))];
    },
    forward(run, [a, b], [out]) {
      const operands = [stridesIn(out.shape, a.shape), stridesIn(out.shape, b.shape)];
      const { dims, strides } = fourAxes(name, out.shape, operands);
      run.binary({
        op: name,
        a: a.buf,
        b: b.buf,
        out: out.buf,
        dims,
        aStrides: strides[0],
        bStrides: strides[1],
      });
    },
    vjp: "none",
  };
}

function differentiable(name: BinaryOp, reads: Reads, vjp: DifferentiableOp<null>["vjp"]): Op<null> {
  return { ...binaryOp(name), reads, vjp };
}

/** The gradients of two broadcast operands, from those of the operands as the kernel read them; makes only what is wanted. */
function broadcastGrads({ inputs, wanted }: VjpContext<null>, grads: readonly (() => Tensor)[]): InputGrads {
  return grads.map((grad, i) => (wanted[i] ? sumTo(grad(), inputs[i].shape) : null));
}

/** For a choice of one operand: each gets the gradient where it is the one chosen, and half of it where they tie. */
function choiceGrads(context: VjpContext<null>, chosen: (mine: Tensor, other: Tensor) => Tensor): InputGrads {
  const [a, b] = context.inputs;
  const share = (mine: Tensor, other: Tensor): Tensor =>
    mul(context.grad, add(chosen(mine, other), affine(equal(mine, other), 0.5, 0)));
  return broadcastGrads(context, [() => share(a, b), () => share(b, a)]);
}

const nothing: Reads = { inputs: [], outputs: [] };
const operands: Reads = { inputs: "all", outputs: [] };

const binaryOps = {
  add: differentiable("add", nothing, (context) =>
    broadcastGrads(context, [() => context.grad, () => context.grad]),
  ),
  sub: differentiable("sub", nothing, (context) =>
    broadcastGrads(context, [() => context.grad, () => neg(context.grad)]),
  ),
  mul: differentiable("mul", operands, (context) => {
    const {
      grad,
      inputs: [a, b],
    } = context;
    return broadcastGrads(context, [() => mul(grad, b), () => mul(grad, a)]);
  }),
  div: differentiable("div", { inputs: [1], outputs: [0] }, (context) => {
    const {
      grad,
      inputs: [, b],
      outputs: [y],
    } = context;
    return broadcastGrads(context, [() => div(grad, b), () => neg(div(mul(grad, y), b))]);
  }),
  max: differentiable("max", operands, (context) => choiceGrads(context, (mine, other) => less(other, mine))),
  min: differentiable("min", operands, (context) => choiceGrads(context, less)),
  less: binaryOp("less"),
  equal: binaryOp("equal"),
} as const satisfies Record<BinaryOp, Op<null>>;

/** a + b. */
export function add(a: Tensor, b: Tensor | number): Tensor {
  return b instanceof Tensor ? apply(binaryOps.add, [a, b], null) : affine(a, 1, b);
}

/** a - b. */
export function sub(a: Tensor, b: Tensor | number): Tensor {
  return b instanceof Tensor ? apply(binaryOps.sub, [a, b], null) : affine(a, 1, -b);
}

/** a * b. */
export function mul(a: Tensor, b: Tensor | number): Tensor {
  return b instanceof Tensor ? apply(binaryOps.mul, [a, b], null) : affine(a, b, 0);
}

/** a / b. */
export function div(a: Tensor, b: Tensor | number): Tensor {
  return b instanceof Tensor ? apply(binaryOps.div, [a, b], null) : affine(a, 1 / b, 0);
}

/** The larger of a and b. Where two tensors tie, each gets half of the gradient; a tie with a number gives a all of it. */
export function maximum(a: Tensor, b: Tensor | number): Tensor {
  return b instanceof Tensor ? apply(binaryOps.max, [a, b], null) : clamp(a, b, Number.POSITIVE_INFINITY);
}

/** The smaller of a and b; ties as in {@link maximum}. */
export function minimum(a: Tensor, b: Tensor | number): Tensor {
  return b instanceof Tensor ? apply(binaryOps.min, [a, b], null) : clamp(a, Number.NEGATIVE_INFINITY, b);
}

/** 1 where a < b, else 0. No gradient. */
export function less(a: Tensor, b: Tensor | number): Tensor {
  return apply(binaryOps.less, [a, b instanceof Tensor ? b : full(a.device, [], b)], null);
}

/** 1 where a = b, else 0. No gradient. */
export function equal(a: Tensor, b: Tensor | number): Tensor {
  return apply(binaryOps.equal, [a, b instanceof Tensor ? b : full(a.device, [], b)], null);
}

// ---- one operand --------------------------------------------------------------------------------------------

interface UnaryAttrs {
  readonly alpha: number;
  readonly beta: number;
}

function unaryOp(name: UnaryOp): Op<UnaryAttrs> {
  return {
    name,
    shape([x]) {
      checkDtype(name, "x", x, ["f32"]);
      return [f32(x.shape)];
    },
    forward(run, [x], [out], { alpha, beta }) {
      run.unary({ op: name, x: x.buf, out: out.buf, n: x.size, alpha, beta });
    },
    reads: { inputs: "all", outputs: "all" },
    vjp({ run, inputs: [x], outputs: [y], grad, attrs: { alpha, beta } }) {
      const dx = empty(x.device, x.shape);
      run.unaryGrad({ op: name, x: x.buf, y: y.buf, dy: grad.buf, dx: dx.buf, n: x.size, alpha, beta });
      return [dx];
    },
  };
}

const unaryOps = new Map<UnaryOp, Op<UnaryAttrs>>();

function unary(name: UnaryOp, x: Tensor, alpha = 0, beta = 0): Tensor {
  const op = unaryOps.get(name) ?? unaryOp(name);
  unaryOps.set(name, op);
  return apply(op, [x], { alpha, beta });
}

/** -x. */
export const neg = (x: Tensor): Tensor => unary("neg", x);
/** |x|; the gradient at 0 is 0. */
export const abs = (x: Tensor): Tensor => unary("abs", x);
export const exp = (x: Tensor): Tensor => unary("exp", x);
/** The natural logarithm. */
export const log = (x: Tensor): Tensor => unary("log", x);
export const sqrt = (x: Tensor): Tensor => unary("sqrt", x);
/** 1 / sqrt(x). */
export const rsqrt = (x: Tensor): Tensor => unary("rsqrt", x);
/** x^2. */
export const square = (x: Tensor): Tensor => unary("square", x);
/** 1 / x. */
export const reciprocal = (x: Tensor): Tensor => unary("reciprocal", x);
export const sin = (x: Tensor): Tensor => unary("sin", x);
export const cos = (x: Tensor): Tensor => unary("cos", x);
/** 1 / (1 + e^-x). */
export const sigmoid = (x: Tensor): Tensor => unary("sigmoid", x);
export const tanh = (x: Tensor): Tensor => unary("tanh", x);
/** log(1 + e^x), stable for any x. */
export const softplus = (x: Tensor): Tensor => unary("softplus", x);
/** max(x, 0); the gradient at 0 is 0. */
export const relu = (x: Tensor): Tensor => unary("relu", x);
/** x Phi(x) (Hendrycks & Gimpel 2016), with the exact Phi. */
export const gelu = (x: Tensor): Tensor => unary("gelu", x);
/** GELU in its tanh approximation, as GPT-2 has it. */
export const geluTanh = (x: Tensor): Tensor => unary("geluTanh", x);
/** x sigmoid(x) (Elfwing et al. 2018; "swish"). */
export const silu = (x: Tensor): Tensor => unary("silu", x);
/** Phi(x), the distribution function of N(0, 1). */
export const normalCdf = (x: Tensor): Tensor => unary("normalCdf", x);
/** alpha * x + beta. */
export const affine = (x: Tensor, alpha: number, beta: number): Tensor => unary("affine", x, alpha, beta);

/** x moved into [low, high]; the gradient is 1 on the closed interval. */
export function clamp(x: Tensor, low: number, high: number): Tensor {
  check(low <= high, "clamp", () => `low ${low} is above high ${high}`);
  return unary("clamp", x, low, high);
}
