// R rows, E experts.

import { apply } from "../apply.ts";
import type { Precision } from "../context.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op } from "../op.ts";
import { full, show, type Tensor } from "../tensor.ts";

export interface GroupedMatmulOptions {
  /** w is stored [E, n, k]. */
  readonly transW?: boolean;
  /** Of the product and of its gradients' products; "f32" unless given. */
  readonly precision?: Precision;
}

interface GroupedAttrs {
  readonly transW: boolean;
  readonly bf16: boolean;
}

function sizes(
  x: Tensor,
  w: Tensor,
  transW: boolean,
): { rows: number; experts: number; n: number; k: number } {
  const [experts, first, second] = w.shape;
  return { rows: x.shape[0], experts, n: transW ? first : second, k: transW ? second : first };
}

const groupedMatmulOp: Op<GroupedAttrs> = {
  name: "groupedMatmul",
  shape([x, w, offsets], { transW }) {
    checkDtype("groupedMatmul", "x", x, ["f32", "bf16"]);
    checkDtype("groupedMatmul", "w", w, ["f32", "bf16"]);
    check(
      x.rank === 2 && w.rank === 3,
      "groupedMatmul",
      () => `x ${show(x.shape)} is not [rows, k] or w ${show(w.shape)} not one matrix an expert`,
    );
    const { rows, experts, n, k } = sizes(x, w, transW);
    check(
      x.shape[1] === k,
      "groupedMatmul",
      () => `rows of ${x.shape[1]} in x ${show(x.shape)}, w ${show(w.shape)} takes ${k}`,
    );
    checkIds("groupedMatmul", "offsets", offsets, rows + 1, 0);
    checkShape("groupedMatmul", "offsets", offsets, [experts + 1]);
    return [f32([rows, n])];
  },
  forward(run, [x, w, offsets], [out], { transW, bf16 }) {
    run.groupedGemm({
      x: x.buf,
      w: w.buf,
      offsets: offsets.buf,
      out: out.buf,
      ...sizes(x, w, transW),
      transW,
      bf16,
    });
  },
  reads: { inputs: "all", outputs: [] },
  // For each expert's rows as in matmul: dx = dy w^T, dw = x^T dy.
  vjp({ run, inputs: [x, w, offsets], grad, wanted, attrs: { transW, bf16 }, place }) {
    const { rows, experts, n, k } = sizes(x, w, transW);
    const dx = wanted[0] ? place(0) : null;
    if (dx) {
      run.groupedGemm({
        x: grad.buf,
        w: w.buf,
        offsets: offsets.buf,
        out: dx.buf,
        rows,
        experts,
        n: k,
        k: n,
        transW: !transW,
        bf16,
      });
    }
    const dw = wanted[1] ? place(1) : null;
    if (dw) {
      const [a, b, m, columns] = transW ? [grad, x, n, k] : [x, grad, k, n];
      run.groupedGemmOuter({
        a: a.buf,
        b: b.buf,
        offsets: offsets.buf,
        out: dw.buf,
        rows,
        experts,
        m,
        n: columns,
        bf16,
      });
    }
    return [dx, dw, null];
  },
};

/**
 * One matrix product an expert over rows sorted by expert: x [R, k] x w [E, k, n] to [R, n]. Expert e owns the rows from
 * offsets[e] to before offsets[e+1] (i32 [E+1], rising); rows past the last offset give zeros (Gale et al. 2022, MegaBlocks: dropless
 * MoE without padding). Operands f32 or bf16, sums and result f32.
 */
export function groupedMatmul(
  x_Rk: Tensor,
  w_Exx: Tensor,
  offsets: Tensor,
  options: GroupedMatmulOptions = {},
): Tensor {
  const { transW = false, precision = "f32" } = options;
  return apply(groupedMatmulOp, [x_Rk, w_Exx, offsets], { transW, bf16: precision === "bf16" });
}

const groupBiasOp: Op<null> = {
  name: "groupBias",
  shape([x, bias, offsets]) {
    checkDtype("groupBias", "x", x, ["f32"]);
    checkDtype("groupBias", "bias", bias, ["f32"]);
    check(x.rank === 2, "groupBias", () => `x ${show(x.shape)} is not [rows, n]`);
    check(
      bias.rank === 2 && bias.shape[1] === x.shape[1],
      "groupBias",
      () => `bias ${show(bias.shape)} is not [experts, ${x.shape[1]}]`,
    );
    checkIds("groupBias", "offsets", offsets, x.shape[0] + 1, 0);
    checkShape("groupBias", "offsets", offsets, [bias.shape[0] + 1]);
    return [f32(x.shape)];
  },
  forward(run, [x, bias, offsets], [out]) {
    const [groups, n] = bias.shape;
    const places = { x: x.buf, bias: bias.buf, offsets: offsets.buf, out: out.buf };
    run.groupBias({ ...places, rows: x.shape[0], groups, n });
  },
  reads: { inputs: [2], outputs: [] },
  // dx = dy; dbias of an expert: the sum of its rows of dy, as a product with ones.
  vjp({ run, inputs: [x, bias, offsets], grad, wanted, place }) {
    if (!wanted[1]) return [grad, null, null];
    const [rows] = x.shape;
    const [experts, n] = bias.shape;
    const ones = full(x.device, [rows, 1], 1);
    const dbias = place(1);
    const places = { a: ones.buf, b: grad.buf, offsets: offsets.buf, out: dbias.buf };
    run.groupedGemmOuter({ ...places, rows, experts, m: 1, n, bf16: false });
    return [grad, dbias, null];
  },
};

/** Adds to each row of x [R, n] the row of bias [E, n] of the expert that owns it: e from offsets[e] to before offsets[e+1] (i32 [E+1]). */
export function groupBias(x_Rn: Tensor, bias_En: Tensor, offsets: Tensor): Tensor {
  return apply(groupBiasOp, [x_Rn, bias_En, offsets], null);
}
