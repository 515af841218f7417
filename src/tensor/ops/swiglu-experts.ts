// D width, E experts, F expert hidden width, G = 2F (gate, then up), R rows sorted by expert.

import { apply } from "../apply.ts";
import type { Precision } from "../context.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op } from "../op.ts";
import { recordsOf } from "../tape.ts";
import { empty, show, type Tensor } from "../tensor.ts";

interface ExpertsAttrs {
  readonly bf16: boolean;
  /** Whether gate and up are kept for the gradient. */
  readonly keep: boolean;
}

interface Sizes {
  readonly rows: number;
  readonly experts: number;
  readonly width: number;
  readonly hidden: number;
}

function sizes([x_RD, , down_EDF]: readonly Tensor[]): Sizes {
  const [experts, width, hidden] = down_EDF.shape;
  return { rows: x_RD.shape[0], experts, width, hidden };
}

/**
 * One operation for both products and the unit between them: the unit costs no pass over memory, and of what lies between only gate, up and
 * hidden are ever written. In bf16 they are stored as such: as operands of products they would be rounded anyway, and the gradient reads
 * gate and up to 8 bits.
 */
const swigluExpertsOp: Op<ExpertsAttrs> = {
  name: "swigluExperts",
  shape(inputs, { bf16, keep }) {
    const [x, gateUp, down, offsets] = inputs;
    checkDtype("swigluExperts", "x", x, ["f32", "bf16"]);
    checkDtype("swigluExperts", "gateUp", gateUp, ["f32", "bf16"]);
    checkDtype("swigluExperts", "down", down, ["f32", "bf16"]);
    check(
      x.rank === 2 && down.rank === 3,
      "swigluExperts",
      () => `x ${show(x.shape)} is not [rows, width] or down ${show(down.shape)} not one matrix an expert`,
    );
    const { rows, experts, width, hidden } = sizes(inputs);
    checkShape("swigluExperts", "x", x, [rows, width]);
    checkShape("swigluExperts", "gateUp", gateUp, [experts, 2 * hidden, width]);
    checkIds("swigluExperts", "offsets", offsets, rows + 1, 0);
    checkShape("swigluExperts", "offsets", offsets, [experts + 1]);
    const dtype = bf16 ? "bf16" : "f32";
    return [
      f32([rows, width]),
      { shape: [keep ? rows : 0, 2 * hidden], dtype },
      { shape: [rows, hidden], dtype },
    ];
  },
  forward(run, inputs, [y, gateUp_RG, hidden_RF], { bf16, keep }) {
    const [x, gateUp, down, offsets] = inputs;
    const { rows, experts, width, hidden } = sizes(inputs);
    const shared = { offsets: offsets.buf, rows, experts, bf16 };
    run.groupedSwiglu({
      x: x.buf,
      w: gateUp.buf,
      gateUp: keep ? gateUp_RG.buf : null,
      out: hidden_RF.buf,
      n: hidden,
      k: width,
      ...shared,
    });
    run.groupedGemm({
      x: hidden_RF.buf,
      w: down.buf,
      out: y.buf,
      n: width,
      k: hidden,
      transW: true,
      ...shared,
    });
  },
  reads: { inputs: "all", outputs: [1, 2] },
  // With h = silu(g) u, [g u] = x W^T and y = h V^T: dV = dy^T h; d[g u] from dh = dy V; then dx = d[g u] W and dW = d[g u]^T x.
  vjp({ run, inputs, outputs: [, gateUp_RG, hidden_RF], grad, wanted, place, attrs: { bf16 } }) {
    const [x, gateUp, down, offsets] = inputs;
    const { rows, experts, width, hidden } = sizes(inputs);
    const shared = { offsets: offsets.buf, rows, experts, bf16 };
    const dDown = wanted[2] ? place(2) : null;
    if (dDown)
      run.groupedGemmOuter({ a: grad.buf, b: hidden_RF.buf, out: dDown.buf, m: width, n: hidden, ...shared });
    hidden_RF.dispose();
    if (!wanted[0] && !wanted[1]) return [null, null, dDown, null];
    const dGateUp_RG = empty(x.device, gateUp_RG.shape, gateUp_RG.dtype);
    run.groupedSwigluGrad({
      dy: grad.buf,
      w: down.buf,
      gateUp: gateUp_RG.buf,
      out: dGateUp_RG.buf,
      n: hidden,
      k: width,
      ...shared,
    });
    gateUp_RG.dispose();
    const dGateUp = wanted[1] ? place(1) : null;
    if (dGateUp)
      run.groupedGemmOuter({
        a: dGateUp_RG.buf,
        b: x.buf,
        out: dGateUp.buf,
        m: 2 * hidden,
        n: width,
        ...shared,
      });
    const dx = wanted[0] ? place(0) : null;
    if (dx)
      run.groupedGemm({
        x: dGateUp_RG.buf,
        w: gateUp.buf,
        out: dx.buf,
        n: width,
        k: 2 * hidden,
        transW: false,
        ...shared,
      });
    return [dx, dGateUp, dDown, null];
  },
};

/**
 * Experts with a gated unit (Shazeer 2020), each over its own rows: y[r] = down[e] (silu(gate) * up), where gate and up are the halves of
 * gateUp[e] x[r]. x [R, D], gateUp [E, 2F, D], down [E, D, F]; expert e owns the rows from offsets[e] to before offsets[e+1] (i32
 * [E+1], rising); rows past the last offset give zeros.
 */
export function swigluExperts(
  x_RD: Tensor,
  gateUp_EGD: Tensor,
  down_EDF: Tensor,
  offsets: Tensor,
  options: { readonly precision?: Precision } = {},
): Tensor {
  const inputs = [x_RD, gateUp_EGD, down_EDF, offsets];
  const { precision = "f32" } = options;
  return apply(swigluExpertsOp, inputs, { bf16: precision === "bf16", keep: recordsOf(inputs) });
}
