// T tokens, K picks a token, R rows, D width, N rows of a table. Ids are i32; one below 0 means "none".

import { blockOf, weightDTypes } from "../../kernels/abi.ts";
import { apply } from "../apply.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op } from "../op.ts";
import { empty, show, type Tensor } from "../tensor.ts";

function checkMatrix(op: string, name: string, x: Tensor): void {
  check(x.rank === 2, op, () => `${name} ${show(x.shape)} is not [rows, width]`);
}

const gatherRowsOp: Op<null> = {
  name: "gatherRows",
  shape([x, ids]) {
    checkDtype("gatherRows", "x", x, weightDTypes);
    checkMatrix("gatherRows", "x", x);
    check(
      x.shape[1] % blockOf(x.dtype).elements === 0,
      "gatherRows",
      () => `rows of x ${show(x.shape)} are no whole number of ${x.dtype} blocks`,
    );
    checkIds("gatherRows", "ids", ids, x.shape[0]);
    return [f32([...ids.shape, x.shape[1]])];
  },
  forward: (run, [x, ids], [out]) =>
    run.gatherRows({ x: x.buf, ids: ids.buf, out: out.buf, rows: ids.size, n: x.shape[1] }),
  reads: { inputs: [1], outputs: [] },
  vjp({ run, inputs: [x, ids], grad, place }) {
    const dx = place(0);
    run.fill({ out: dx.buf, n: dx.size, value: 0 });
    run.scatterAddRows({
      x: grad.buf,
      ids: ids.buf,
      out: dx.buf,
      rows: ids.size,
      n: x.shape[1],
      outRows: x.shape[0],
    });
    return [dx, null];
  },
};

/** out[..., :] = x[ids[...], :], zeros where the id is below 0: x [N, D] and ids of any shape to [...ids.shape, D]. */
export function gatherRows(x_ND: Tensor, ids: Tensor): Tensor {
  return apply(gatherRowsOp, [x_ND, ids], null);
}

const scatterAddRowsOp: Op<{ readonly outRows: number }> = {
  name: "scatterAddRows",
  shape([x, ids], { outRows }) {
    checkDtype("scatterAddRows", "x", x, ["f32"]);
    checkMatrix("scatterAddRows", "x", x);
    check(Number.isInteger(outRows) && outRows >= 0, "scatterAddRows", () => `outRows is ${outRows}`);
    checkIds("scatterAddRows", "ids", ids, outRows);
    checkShape("scatterAddRows", "ids", ids, [x.shape[0]]);
    return [f32([outRows, x.shape[1]])];
  },
  forward(run, [x, ids], [out], { outRows }) {
    const [rows, n] = x.shape;
    run.fill({ out: out.buf, n: out.size, value: 0 });
    run.scatterAddRows({ x: x.buf, ids: ids.buf, out: out.buf, rows, n, outRows });
  },
  reads: { inputs: [1], outputs: [] },
  vjp: ({ inputs: [, ids], grad }) => [gatherRows(grad, ids), null],
};

/** out[i, :] = the sum of the rows x[r, :] with ids[r] = i: x [R, D] and ids [R] to [outRows, D]. Rows with an id below 0 are left out. */
export function scatterAddRows(x_RD: Tensor, ids_R: Tensor, outRows: number): Tensor {
  return apply(scatterAddRowsOp, [x_RD, ids_R], { outRows });
}

const dispatchRowsOp: Op<null> = {
  name: "dispatchRows",
  shape([x, token, row]) {
    checkDtype("dispatchRows", "x", x, ["f32", "bf16"]);
    checkMatrix("dispatchRows", "x", x);
    check(token.rank === 1, "dispatchRows", () => `token ${show(token.shape)} is not [rows]`);
    checkIds("dispatchRows", "token", token, x.shape[0]);
    check(
      row.rank === 2 && row.shape[0] === x.shape[0],
      "dispatchRows",
      () => `row ${show(row.shape)} is not [${x.shape[0]}, picks]`,
    );
    checkIds("dispatchRows", "row", row, token.size);
    return [f32([token.size, x.shape[1]])];
  },
  forward: (run, [x, token], [out]) =>
    run.gatherRows({ x: x.buf, ids: token.buf, out: out.buf, rows: token.size, n: x.shape[1] }),
  reads: { inputs: [2], outputs: [] },
  vjp({ run, inputs: [x, , row], grad }) {
    const dx = empty(x.device, x.shape);
    const [tokens, n] = x.shape;
    run.combineRows({ y: grad.buf, row: row.buf, weight: null, out: dx.buf, tokens, k: row.shape[1], n });
    return [dx, null, null];
  },
};

/**
 * The rows of experts, from tokens: out[r, :] = x[token[r], :], zeros where it is below 0. x [T, D], token [R], and row [T, K],
 * the row of each place: with it the gradient is a sum over each token's own places, the same whatever the threads.
 */
export function dispatchRows(x_TD: Tensor, token_R: Tensor, row_TK: Tensor): Tensor {
  return apply(dispatchRowsOp, [x_TD, token_R, row_TK], null);
}

const combineRowsOp: Op<null> = {
  name: "combineRows",
  shape([y, row, weight]) {
    checkDtype("combineRows", "y", y, ["f32"]);
    checkMatrix("combineRows", "y", y);
    check(row.rank === 2, "combineRows", () => `row ${show(row.shape)} is not [tokens, picks]`);
    checkIds("combineRows", "row", row, y.shape[0]);
    if (weight) {
      checkDtype("combineRows", "weight", weight, ["f32"]);
      checkShape("combineRows", "weight", weight, row.shape);
    }
    return [f32([row.shape[0], y.shape[1]])];
  },
  forward(run, [y, row, weight], [out]) {
    const [tokens, k] = row.shape;
    run.combineRows({
      y: y.buf,
      row: row.buf,
      weight: weight?.buf ?? null,
      out: out.buf,
      tokens,
      k,
      n: y.shape[1],
    });
  },
  reads: { inputs: "all", outputs: [] },
  vjp({ run, inputs: [y, row, weight], grad, wanted }) {
    const [tokens, k] = row.shape;
    const [rows, n] = y.shape;
    const dy = empty(y.device, y.shape);
    const dweight = wanted[2] ? empty(y.device, row.shape) : null;
    run.combineRowsGrad({
      y: y.buf,
      row: row.buf,
      weight: weight?.buf ?? null,
      dout: grad.buf,
      dy: dy.buf,
      dweight: dweight?.buf ?? null,
      tokens,
      k,
      n,
      rows,
    });
    return [dy, null, dweight];
  },
};

/**
 * The tokens' results, from rows of experts: out[t, :] = sum over k of weight[t, k] * y[row[t, k], :], places with a row below 0 left
 * out. y [R, D], row [T, K], weight [T, K] or null for ones. No row may stand in two places.
 */
export function combineRows(y_RD: Tensor, row_TK: Tensor, weight_TK: Tensor | null): Tensor {
  return apply(combineRowsOp, weight_TK ? [y_RD, row_TK, weight_TK] : [y_RD, row_TK], null);
}
