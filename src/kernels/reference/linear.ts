import type { Buf, KernelTable } from "../abi.ts";
import { load, store } from "./storage.ts";

/** Rows, sorted by group, times each group's matrix, which lies in pieces of any dtype. */
export const linear: KernelTable["linear"] = ({ x, w, offsets, out, rows, groups, n, k }) => {
  const x_RK = load(x, rows * k);
  const offset_G = offsets ? load(offsets, groups + 1) : [0, rows];
  const out_RN = new Float64Array(rows * n);
  const parts = w.length / groups;
  for (let g = 0; g < groups; g++) {
    if (offset_G[g] === offset_G[g + 1]) continue;
    const w_NK = pieces(w.slice(g * parts, (g + 1) * parts), (n / parts) * k);
    for (let r = offset_G[g]!; r < offset_G[g + 1]!; r++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += x_RK[r * k + p]! * w_NK[j * k + p]!;
        out_RN[r * n + j] = sum;
      }
  }
  store(out, out_RN);
};

/** The values of pieces of `size` elements, one after another. */
function pieces(bufs: readonly Buf[], size: number): Float64Array {
  const values = new Float64Array(bufs.length * size);
  bufs.forEach((buf, i) => {
    values.set(load(buf, size), i * size);
  });
  return values;
}
