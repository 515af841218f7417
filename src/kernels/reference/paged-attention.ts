import type { KernelArgs, KernelTable } from "../abi.ts";
import { dot } from "./rows.ts";
import { i32, load, store } from "./storage.ts";

/** Attention over a paged cache (Kwon et al. 2023), and how the cache is written. T rows, H heads, G kv heads, D head width. */
export const pagedAttentions: Pick<KernelTable, "pagedAttention" | "appendPages"> = {
  pagedAttention(args) {
    const { rows, heads, kvHeads, dim, valueDim, scale } = args;
    const q_THD = load(args.q, rows * heads * dim);
    const sinks_H = args.sinks && load(args.sinks, heads);
    const out_THD = new Float64Array(rows * heads * valueDim);
    forEachRow(args, (t, visible, placeOf) => {
      for (let h = 0; h < heads; h++) {
        const head = Math.floor(h / (heads / kvHeads));
        const keys = visible.map((j) => load(rowAt(args.k, placeOf(j) * kvHeads + head, dim), dim));
        const values = args.v
          ? visible.map((j) => load(rowAt(args.v!, placeOf(j) * kvHeads + head, valueDim), valueDim))
          : keys;
        const q_D = q_THD.subarray((t * heads + h) * dim, (t * heads + h + 1) * dim);
        const scores = keys.map((key) => scale * dot(q_D, key));
        const most = Math.max(...scores, sinks_H?.[h] ?? -Infinity);
        const weights = scores.map((score) => Math.exp(score - most));
        const sum = weights.reduce((a, b) => a + b, sinks_H ? Math.exp(sinks_H[h]! - most) : 0);
        for (let d = 0; d < valueDim; d++)
          out_THD[(t * heads + h) * valueDim + d] =
            weights.reduce((total, weight, j) => total + weight * values[j]![d]!, 0) / sum;
      }
    });
    store(args.out, out_THD);
  },

  appendPages(args) {
    const { rows, n } = args;
    const x_TN = load(args.x, rows * n);
    for (let t = 0; t < rows; t++) {
      const place = placeIn(args, t, i32(args.position, rows)[t]!);
      store(rowAt(args.pool, place, n), x_TN.subarray(t * n, (t + 1) * n));
    }
  },
};

type Places = Pick<
  KernelArgs<"appendPages">,
  "pages" | "sequence" | "position" | "rows" | "pageSize" | "maxPages"
>;

/** Where position `j` of row t's sequence stands in the pool, in places of a position each. */
function placeIn({ pages, sequence, rows, pageSize, maxPages }: Places, t: number, j: number): number {
  const s = i32(sequence, rows)[t]!;
  const page = i32(pages, (s + 1) * maxPages)[s * maxPages + Math.floor(j / pageSize)]!;
  return page * pageSize + (j % pageSize);
}

/** Visits every row with the positions it may look at. */
function forEachRow(
  args: Places & { window: number; chunk: number },
  visit: (t: number, visible: number[], placeOf: (j: number) => number) => void,
): void {
  const { rows, window, chunk } = args;
  for (let t = 0; t < rows; t++) {
    const position = i32(args.position, rows)[t]!;
    const visible: number[] = [];
    for (let j = 0; j <= position; j++)
      if (
        (window <= 0 || j > position - window) &&
        (chunk <= 0 || Math.floor(j / chunk) === Math.floor(position / chunk))
      )
        visible.push(j);
    visit(t, visible, (j) => placeIn(args, t, j));
  }
}

function rowAt(buf: KernelArgs<"appendPages">["pool"], row: number, n: number): typeof buf {
  return { ...buf, offset: buf.offset + 4 * row * n };
}
