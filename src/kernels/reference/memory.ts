import type { Dims, KernelTable } from "../abi.ts";
import { load, store } from "./storage.ts";

/** Fills, casts and copies of any dtype. */
export const memory: Pick<KernelTable, "fill" | "cast" | "stridedCopy"> = {
  fill({ out, n, value }) {
    store(out, new Float64Array(n).fill(value));
  },

  cast({ x, out, n }) {
    store(out, load(x, n));
  },

  stridedCopy({ x, out, dims, xStrides, outStrides, accumulate }) {
    const xs = load(x, extent(dims, xStrides));
    const sum = load(out, extent(dims, outStrides));
    forEachIndex(dims, (index) => {
      const to = at(index, outStrides);
      const value = xs[at(index, xStrides)]!;
      sum[to] = accumulate ? sum[to]! + value : value;
    });
    store(out, sum);
  },
};

/** Calls `visit` with every 4-D index below `dims`, the last axis fastest. */
export function forEachIndex(dims: Dims, visit: (index: Dims) => void): void {
  for (let a = 0; a < dims[0]; a++)
    for (let b = 0; b < dims[1]; b++)
      for (let c = 0; c < dims[2]; c++) for (let d = 0; d < dims[3]; d++) visit([a, b, c, d]);
}

/** The element that `index` names under `strides`. */
export function at(index: Dims, strides: Dims): number {
  return index.reduce((sum, i, axis) => sum + i * strides[axis]!, 0);
}

/** How many elements, holes included, `dims` reach over under `strides`. */
export function extent(dims: Dims, strides: Dims): number {
  if (dims.includes(0)) return 0;
  return 1 + dims.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, 0);
}
