import { apply } from "../apply.ts";
import { check, checkDtype, f32, type Op, rowsOf } from "../op.ts";
import { empty, show, type Tensor } from "../tensor.ts";

function sizes(x: Tensor): { rows: number; n: number } {
  const { rows, n } = rowsOf(x);
  return { rows, n: n / 2 };
}

const swigluOp: Op<null> = {
  name: "swiglu",
  shape([x]) {
    checkDtype("swiglu", "x", x, ["f32"]);
    check(
      x.rank > 0 && rowsOf(x).n % 2 === 0,
      "swiglu",
      () => `the last axis of ${show(x.shape)} does not halve into gate and up`,
    );
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
