import type { KernelTable } from "../abi.ts";
import { dot } from "./rows.ts";
import { load, store } from "./storage.ts";

/** Rows picked by id: gather, scatter, and the weighted sum of a token's rows. */
export const picks: Pick<KernelTable, "gatherRows" | "scatterAddRows" | "combineRows" | "combineRowsGrad"> = {
  gatherRows({ x, ids, out, rows, n }) {
    const ids_R = load(ids, rows);
    const xs = load(x, rowsNamed(ids_R) * n);
    const result = new Float64Array(rows * n);
    ids_R.forEach((id, r) => {
      if (id >= 0) result.set(rowOf(xs, id, n), r * n);
    });
    store(out, result);
  },

  scatterAddRows({ x, ids, out, rows, n, outRows }) {
    const xs = load(x, rows * n);
    const result = load(out, outRows * n);
    load(ids, rows).forEach((id, r) => {
      if (id >= 0) addScaled(rowOf(result, id, n), rowOf(xs, r, n), 1);
    });
    store(out, result);
  },

  combineRows({ y, row, weight, out, tokens, k, n }) {
    const row_TK = load(row, tokens * k);
    const weight_TK = weight ? load(weight, tokens * k) : null;
    const ys = load(y, rowsNamed(row_TK) * n);
    const out_TN = new Float64Array(tokens * n);
    row_TK.forEach((r, place) => {
      const out_N = rowOf(out_TN, Math.floor(place / k), n);
      if (r >= 0) addScaled(out_N, rowOf(ys, r, n), weight_TK ? weight_TK[place]! : 1);
    });
    store(out, out_TN);
  },

  combineRowsGrad({ y, row, weight, dout, dy, dweight, tokens, k, n, rows }) {
    const row_TK = load(row, tokens * k);
    const weight_TK = weight ? load(weight, tokens * k) : null;
    const ys = load(y, rows * n);
    const dout_TN = load(dout, tokens * n);
    const dy_RN = new Float64Array(rows * n);
    const dweight_TK = new Float64Array(tokens * k);
    row_TK.forEach((r, place) => {
      if (r < 0) return;
      const dout_N = rowOf(dout_TN, Math.floor(place / k), n);
      addScaled(rowOf(dy_RN, r, n), dout_N, weight_TK ? weight_TK[place]! : 1);
      dweight_TK[place] = dot(rowOf(ys, r, n), dout_N);
    });
    store(dy, dy_RN);
    if (dweight) store(dweight, dweight_TK);
  },
};

function rowOf(x: Float64Array, r: number, n: number): Float64Array {
  return x.subarray(r * n, (r + 1) * n);
}

function addScaled(to: Float64Array, from: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * from[i]!;
}

/** How many rows a table must have for every id to name one. */
function rowsNamed(ids: Float64Array): number {
  return ids.reduce((most, id) => Math.max(most, id + 1), 0);
}
