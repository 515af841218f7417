import type { Buf, KernelTable } from "../abi.ts";
import { dot, forEachRow } from "./rows.ts";
import { load, store } from "./storage.ts";

/** RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba et al. 2016). */
export const norms: Pick<KernelTable, "rmsNorm" | "rmsNormGrad" | "layerNorm" | "layerNormGrad"> = {
  rmsNorm({ x, weight, out, rstd, rows, n, eps }) {
    const weight_n = loadOr(weight, n, 1);
    const result = load(x, rows * n);
    const rstd_R = new Float64Array(rows);
    forEachRow(result, n, (row, r) => {
      rstd_R[r] = 1 / Math.sqrt(dot(row, row) / n + eps);
      for (let i = 0; i < n; i++) row[i]! *= rstd_R[r]! * weight_n[i]!;
    });
    store(out, result);
    store(rstd, rstd_R);
  },

  rmsNormGrad({ x, weight, rstd, dy, dx, dweight, rows, n }) {
    const normal = normalise(load(x, rows * n), new Float64Array(rows), load(rstd, rows), n);
    normGrad({ normal, weight, rstd, dy, dx, dweight, dbias: null, rows, n, centred: false });
  },

  layerNorm({ x, weight, bias, out, mean, rstd, rows, n, eps }) {
    const weight_n = loadOr(weight, n, 1);
    const bias_n = loadOr(bias, n, 0);
    const result = load(x, rows * n);
    const mean_R = new Float64Array(rows);
    const rstd_R = new Float64Array(rows);
    forEachRow(result, n, (row, r) => {
      mean_R[r] = row.reduce((sum, v) => sum + v, 0) / n;
      const centred = row.map((v) => v - mean_R[r]!);
      rstd_R[r] = 1 / Math.sqrt(dot(centred, centred) / n + eps);
      for (let i = 0; i < n; i++) row[i] = centred[i]! * rstd_R[r]! * weight_n[i]! + bias_n[i]!;
    });
    store(out, result);
    store(mean, mean_R);
    store(rstd, rstd_R);
  },

  layerNormGrad({ x, weight, mean, rstd, dy, dx, dweight, dbias, rows, n }) {
    const normal = normalise(load(x, rows * n), load(mean, rows), load(rstd, rows), n);
    normGrad({ normal, weight, rstd, dy, dx, dweight, dbias, rows, n, centred: true });
  },
};

/** (x - mean) * rstd, row by row, in place. */
function normalise(x: Float64Array, mean_R: Float64Array, rstd_R: Float64Array, n: number): Float64Array {
  forEachRow(x, n, (row, r) => {
    for (let i = 0; i < n; i++) row[i] = (row[i]! - mean_R[r]!) * rstd_R[r]!;
  });
  return x;
}

/** With u the normalised rows and g = weight * dy:
 *  dx = rstd (g - u mean(u g) - mean(g)), the last term only when the norm takes the mean off. */
function normGrad(args: {
  normal: Float64Array;
  weight: Buf | null;
  rstd: Buf;
  dy: Buf;
  dx: Buf;
  dweight: Buf | null;
  dbias: Buf | null;
  rows: number;
  n: number;
  centred: boolean;
}): void {
  const { normal, rows, n } = args;
  const weight_n = loadOr(args.weight, n, 1);
  const rstd_R = load(args.rstd, rows);
  const result = load(args.dy, rows * n);
  const dweight_n = new Float64Array(n);
  const dbias_n = new Float64Array(n);
  forEachRow(result, n, (row, r) => {
    const u_n = normal.subarray(r * n, (r + 1) * n);
    for (let i = 0; i < n; i++) {
      dweight_n[i]! += row[i]! * u_n[i]!;
      dbias_n[i]! += row[i]!;
    }
    const g_n = row.map((v, i) => v * weight_n[i]!);
    const along = dot(u_n, g_n) / n;
    const mean = args.centred ? g_n.reduce((sum, v) => sum + v, 0) / n : 0;
    for (let i = 0; i < n; i++) row[i] = rstd_R[r]! * (g_n[i]! - u_n[i]! * along - mean);
  });
  store(args.dx, result);
  if (args.dweight) store(args.dweight, dweight_n);
  if (args.dbias) store(args.dbias, dbias_n);
}

function loadOr(buf: Buf | null, n: number, missing: number): Float64Array {
  return buf ? load(buf, n) : new Float64Array(n).fill(missing);
}
