import type { KernelTable } from "../abi.ts";
import { silu, siluSlope } from "./elementwise.ts";
import { load, store } from "./storage.ts";

type RowKernels =
  | "softmax"
  | "softmaxGrad"
  | "logSumExp"
  | "topk"
  | "takeAlong"
  | "takeAlongGrad"
  | "crossEntropy"
  | "crossEntropyGrad"
  | "swiglu"
  | "swigluGrad"
  | "swigluClamped"
  | "groupBias";

/** Kernels over rows of n: distributions, the largest of a row, the loss, the gated unit. */
export const rowKernels: Pick<KernelTable, RowKernels> = {
  softmax({ x, out, rows, n }) {
    const result = load(x, rows * n);
    forEachRow(result, n, (row) => {
      const lse = logSumExp(row);
      for (let i = 0; i < n; i++) row[i] = lse === -Infinity ? 0 : Math.exp(row[i]! - lse);
    });
    store(out, result);
  },

  softmaxGrad({ y, dy, dx, rows, n }) {
    const ys = load(y, rows * n);
    const result = load(dy, rows * n);
    forEachRow(result, n, (row, r) => {
      const y_n = ys.subarray(r * n, (r + 1) * n);
      const mean = dot(y_n, row);
      for (let i = 0; i < n; i++) row[i] = y_n[i]! * (row[i]! - mean);
    });
    store(dx, result);
  },

  logSumExp({ x, out, rows, n }) {
    store(out, mapRows(load(x, rows * n), n, logSumExp));
  },

  topk({ x, values, ids, rows, n, k }) {
    const xs = load(x, rows * n);
    const values_RK = new Float64Array(rows * k);
    const ids_RK = new Float64Array(rows * k);
    forEachRow(xs, n, (row, r) => {
      const falling = Array.from(row.keys()).sort((i, j) => fallingOrder(row[i]!, row[j]!) || i - j);
      for (let j = 0; j < k; j++) {
        ids_RK[r * k + j] = falling[j]!;
        values_RK[r * k + j] = row[falling[j]!]!;
      }
    });
    store(values, values_RK);
    store(ids, ids_RK);
  },

  takeAlong({ x, ids, out, rows, n, k }) {
    const xs = load(x, rows * n);
    store(
      out,
      load(ids, rows * k).map((id, place) => (id < 0 ? 0 : xs[Math.floor(place / k) * n + id]!)),
    );
  },

  takeAlongGrad({ dy, ids, dx, rows, n, k }) {
    const dys = load(dy, rows * k);
    const result = new Float64Array(rows * n);
    load(ids, rows * k).forEach((id, place) => {
      if (id >= 0) result[Math.floor(place / k) * n + id]! += dys[place]!;
    });
    store(dx, result);
  },

  crossEntropy({ logits, target, loss, lse, rows, n }) {
    const xs = load(logits, rows * n);
    const lse_R = mapRows(xs, n, logSumExp);
    store(
      loss,
      load(target, rows).map((id, r) => (id < 0 ? 0 : lse_R[r]! - xs[r * n + id]!)),
    );
    store(lse, lse_R);
  },

  crossEntropyGrad({ logits, target, lse, dloss, dlogits, rows, n }) {
    const targets = load(target, rows);
    const lse_R = load(lse, rows);
    const dloss_R = load(dloss, rows);
    const result = load(logits, rows * n);
    forEachRow(result, n, (row, r) => {
      for (let i = 0; i < n; i++) {
        const onehot = i === targets[r] ? 1 : 0;
        row[i] = targets[r]! < 0 ? 0 : (Math.exp(row[i]! - lse_R[r]!) - onehot) * dloss_R[r]!;
      }
    });
    store(dlogits, result);
  },

  swiglu({ x, out, rows, n }) {
    const xs = load(x, rows * 2 * n);
    const result = new Float64Array(rows * n);
    forEachRow(result, n, (row, r) => {
      const [gate_n, up_n] = gateAndUp(xs, r, n);
      for (let i = 0; i < n; i++) row[i] = silu(gate_n[i]!) * up_n[i]!;
    });
    store(out, result);
  },

  swigluGrad({ x, dout, dx, rows, n }) {
    const result = load(x, rows * 2 * n);
    forEachRow(load(dout, rows * n), n, (dout_n, r) => {
      const [gate_n, up_n] = gateAndUp(result, r, n);
      for (let i = 0; i < n; i++) {
        const gate = gate_n[i]!;
        gate_n[i] = dout_n[i]! * up_n[i]! * siluSlope(gate);
        up_n[i] = dout_n[i]! * silu(gate);
      }
    });
    store(dx, result);
  },

  swigluClamped({ x, out, rows, n, alpha, limit }) {
    const x_R2N = load(x, rows * 2 * n);
    const result = new Float64Array(rows * n);
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < n; i++) {
        const gate = Math.min(x_R2N[r * 2 * n + i]!, limit);
        const up = Math.max(-limit, Math.min(x_R2N[r * 2 * n + n + i]!, limit));
        result[r * n + i] = (gate / (1 + Math.exp(-alpha * gate))) * (up + 1);
      }
    store(out, result);
  },

  groupBias({ x, bias, offsets, out, rows, groups, n }) {
    const result = load(x, rows * n);
    const bias_GN = load(bias, groups * n);
    const offsets_G1 = load(offsets, groups + 1);
    for (let g = 0; g < groups; g++)
      for (let r = offsets_G1[g]!; r < offsets_G1[g + 1]!; r++)
        for (let i = 0; i < n; i++) result[r * n + i]! += bias_GN[g * n + i]!;
    store(out, result);
  },
};

/** Calls `visit` with each row of `n` in place, and its number. */
export function forEachRow(x: Float64Array, n: number, visit: (row: Float64Array, r: number) => void): void {
  for (let start = 0, r = 0; start < x.length; start += n, r++) visit(x.subarray(start, start + n), r);
}

/** How a and b stand in a falling row, for sort: NaN below all numbers. */
export function fallingOrder(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a > b ? -1 : a < b ? 1 : 0;
}

/** Inner product. */
export function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, v, i) => sum + v * b[i]!, 0);
}

/** log sum exp, safe for any size of entry; -Infinity for a row of nothing but -Infinity. */
export function logSumExp(row: Float64Array): number {
  const max = row.reduce((a, b) => Math.max(a, b), -Infinity);
  if (max === -Infinity) return -Infinity;
  return max + Math.log(row.reduce((sum, v) => sum + Math.exp(v - max), 0));
}

function mapRows(x: Float64Array, n: number, value: (row: Float64Array) => number): Float64Array {
  const result = new Float64Array(x.length / n);
  forEachRow(x, n, (row, r) => {
    result[r] = value(row);
  });
  return result;
}

function gateAndUp(x: Float64Array, r: number, n: number): [Float64Array, Float64Array] {
  const start = r * 2 * n;
  return [x.subarray(start, start + n), x.subarray(start + n, start + 2 * n)];
}
