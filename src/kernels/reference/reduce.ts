import type { KernelTable } from "../abi.ts";
import { load, store } from "./storage.ts";

const folds = {
  sum: { start: 0, join: (a: number, b: number) => a + b },
  max: { start: -Infinity, join: (a: number, b: number) => Math.max(a, b) },
  min: { start: Infinity, join: (a: number, b: number) => Math.min(a, b) },
} as const;

/** Reductions over an axis, and of everything. */
export const reductions: Pick<KernelTable, "reduce" | "sumSquares"> = {
  reduce({ op, x, out, outer, n, inner }) {
    const { start, join } = folds[op];
    const xs = load(x, outer * n * inner);
    const result = new Float64Array(outer * inner).fill(start);
    for (let o = 0; o < outer; o++)
      for (let j = 0; j < n; j++)
        for (let i = 0; i < inner; i++)
          result[o * inner + i] = join(result[o * inner + i]!, xs[(o * n + j) * inner + i]!);
    store(out, result);
  },

  sumSquares({ x, out, n }) {
    store(out, Float64Array.of(load(x, n).reduce((sum, v) => sum + v * v, 0)));
  },
};
