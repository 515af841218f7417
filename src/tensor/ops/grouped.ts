// R rows, E experts.

import { apply } from "../apply.ts";
import type { Precision } from "../context.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op } from "../op.ts";
import { show, type Tensor } from "../tensor.ts";

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
