import { apply } from "../apply.ts";
import { check, checkDtype, f32, type Op, rowsOf } from "../op.ts";
import { empty, show, type Tensor } from "../tensor.ts";
import { affine, clamp, less, minimum, mul, sigmoid } from "./elementwise.ts";
import { concat, slice } from "./shape.ts";

function sizes(x: Tensor): { rows: number; n: number } {
  const { rows, n } = rowsOf(x);
  return { rows, n: n / 2 };
}

function checkHalves(op: string, x: Tensor): void {
  check(
    x.rank > 0 && rowsOf(x).n % 2 === 0,
    op,
    () => `the last axis of ${show(x.shape)} does not halve into gate and up`,
  );
}

const swigluOp: Op<null> = {
  name: "swiglu",
  shape([x]) {
    checkDtype("swiglu", "x", x, ["f32"]);
    checkHalves("swiglu", x);
    return [f32(x.shape.with(-1, sizes(x).n))];
  },
  forward: (run, [x], [out]) => run.swiglu({ x: x.buf, out: out.buf, ...sizes(x) }),
  reads: { inputs: [0], outputs: [] },
  vjp({ run, inputs: [x], grad }) {
    const dx = empty(x.device, x.shape);
    run.swigluGrad({ x: x.buf, dout: grad.buf, dx: dx.buf, ...sizes(x) });
    return [dx];
  },
};

/** silu(gate) * up (Shazeer 2020): x [..., 2F] holds gate, then up; gives [..., F]. */
export function swiglu(x: Tensor): Tensor {
  return apply(swigluOp, [x], null);
}

interface ClampedAttrs {
  readonly alpha: number;
  readonly limit: number;
}

const swigluClampedOp: Op<ClampedAttrs> = {
  name: "swigluClamped",
  shape([x], { limit }) {
    checkDtype("swigluClamped", "x", x, ["f32"]);
    checkHalves("swigluClamped", x);
    check(limit > 0, "swigluClamped", () => `limit is ${limit}`);
    return [f32(x.shape.with(-1, sizes(x).n))];
  },
  forward: (run, [x], [out], attrs) => run.swigluClamped({ x: x.buf, out: out.buf, ...sizes(x), ...attrs }),
  reads: { inputs: [0], outputs: [] },
  // With s = sigmoid(alpha g): dg = (u + 1) (s + alpha g s (1 - s)) and du = g s, each 0 where its clamp holds.
  vjp({ inputs: [x], grad, attrs: { alpha, limit } }) {
    const axis = x.rank - 1;
    const { n } = sizes(x);
    const [gate, up] = [slice(x, axis, 0, n), slice(x, axis, n, n)];
    const g = minimum(gate, limit);
    const s = sigmoid(affine(g, alpha, 0));
    const slope = mul(s, affine(mul(g, affine(s, -1, 1)), alpha, 1));
    const dgate = mul(mul(grad, affine(clamp(up, -limit, limit), 1, 1)), slope);
    const dup = mul(grad, mul(g, s));
    const inside = mul(less(up, limit), less(affine(up, -1, 0), limit));
    return [concat([mul(dgate, less(gate, limit)), mul(dup, inside)], axis)];
  },
};

/** g sigmoid(alpha g) (u + 1) with g = min(gate, limit) and u = up clamped into [-limit, limit] (gpt-oss): x [..., 2F] holds gate, then up; gives [..., F]. */
export function swigluClamped(
  x: Tensor,
  options: { readonly alpha: number; readonly limit: number },
): Tensor {
  return apply(swigluClampedOp, [x], { alpha: options.alpha, limit: options.limit });
}
