import type { KernelArgs } from "../../../src/kernels/abi.ts";
import { type Case, exact, inout, input, kernelCase, output, sumOf } from "../harness.ts";
import { numbers } from "../inputs.ts";

const { floats, ints } = numbers(11);

type Numbers = Omit<
  KernelArgs<"pagedAttention">,
  "q" | "k" | "v" | "sinks" | "pages" | "sequence" | "position" | "out" | "rows" | "maxPages"
>;
const plain: Numbers = {
  heads: 4,
  kvHeads: 2,
  dim: 17,
  valueDim: 17,
  pageSize: 16,
  window: 0,
  chunk: 0,
  scale: 0.3,
};

/** A sequence's rows: `count` from position `start` on. */
interface Run {
  readonly sequence: number;
  readonly start: number;
  readonly count: number;
}
interface Shape extends Numbers {
  readonly runs: readonly Run[];
  readonly latent?: boolean;
  readonly sinks?: boolean;
  /** Positions of the first sequence whose keys and values hold a NaN. */
  readonly damaged?: readonly number[];
}
const prompt = (count: number, start = 0, sequence = 0): Run => ({ sequence, start, count });

const shapes: Readonly<Record<string, Shape>> = {
  "one row at the start": { ...plain, runs: [prompt(1)] },
  "a prompt": { ...plain, runs: [prompt(65)] },
  "a prompt in many blocks": { ...plain, heads: 2, runs: [prompt(130)] },
  "decoding at 700": { ...plain, runs: [prompt(1, 700)] },
  "decoding, heads of 64": { ...plain, dim: 64, valueDim: 64, heads: 8, runs: [prompt(1, 300)] },
  "decoding, three heads share, pages of 3": {
    ...plain,
    heads: 6,
    pageSize: 3,
    runs: [prompt(1, 130), prompt(1, 50, 1)],
  },
  "two rows and two heads share": { ...plain, dim: 40, valueDim: 40, runs: [prompt(2, 99), prompt(2, 7, 1)] },
  "decoding, heads of 128, each its own": {
    ...plain,
    dim: 128,
    valueDim: 128,
    kvHeads: 4,
    runs: [prompt(1, 90)],
  },
  "three sequences decode": { ...plain, runs: [prompt(1, 40, 2), prompt(1, 3, 0), prompt(1, 16, 1)] },
  "a prompt joins two that decode": { ...plain, runs: [prompt(1, 31), prompt(37, 5, 2), prompt(1, 0, 1)] },
  "rows of one sequence, apart": { ...plain, runs: [prompt(1, 9), prompt(1, 4), prompt(2, 20)] },
  "pages of 3": { ...plain, pageSize: 3, runs: [prompt(20, 3), prompt(1, 70, 1)] },
  "pages of 128": { ...plain, pageSize: 128, runs: [prompt(7, 150)] },
  "window of 5": { ...plain, window: 5, runs: [prompt(65), prompt(1, 100, 1)] },
  "window of 300 far on": { ...plain, window: 300, runs: [prompt(9, 700)] },
  "chunks of 24": { ...plain, chunk: 24, runs: [prompt(65, 10), prompt(1, 47, 1), prompt(1, 48, 2)] },
  sinks: { ...plain, sinks: true, runs: [prompt(33), prompt(1, 600, 1)] },
  // Queries before the NaN, or whose window has passed it, never see it.
  "NaN in a prompt": { ...plain, damaged: [40], runs: [prompt(65)] },
  "NaN in a prompt, window of 5": { ...plain, window: 5, sinks: true, damaged: [40], runs: [prompt(65)] },
  "NaN before the window": { ...plain, window: 5, damaged: [97], runs: [prompt(1, 103)] },
  "NaN before the chunk, latent": {
    ...plain,
    latent: true,
    kvHeads: 1,
    heads: 20,
    valueDim: 16,
    chunk: 24,
    damaged: [71],
    runs: [prompt(3, 75)],
  },
  "values narrower than keys": { ...plain, dim: 24, valueDim: 16, runs: [prompt(19), prompt(1, 40, 1)] },
  "latent: values are the keys' first features": {
    ...plain,
    latent: true,
    kvHeads: 1,
    heads: 70,
    dim: 40,
    valueDim: 32,
    runs: [prompt(3, 30), prompt(1, 5, 1)],
  },
};

/** A page table of distinct pages in a shuffled order. */
function pageTable(sequences: number, maxPages: number): Float64Array {
  const count = sequences * maxPages;
  const order = ints(count, 0, 1 << 20);
  return Float64Array.from([...order.keys()].sort((a, b) => order[a]! - order[b]! || a - b));
}

function attendCase([name, shape]: readonly [string, Shape]): Case {
  const { runs, latent = false, sinks = false, damaged = [], ...rest } = shape;
  const { heads, kvHeads, dim, valueDim, pageSize } = rest;
  const sequences = 1 + Math.max(...runs.map((run) => run.sequence));
  const end = Math.max(...runs.map(({ start, count }) => start + count));
  const maxPages = Math.ceil(end / pageSize) + 1;
  const table = pageTable(sequences, maxPages);
  const rows = runs.reduce((sum, { count }) => sum + count, 0);
  const list = (of: (run: Run, i: number) => number): number[] =>
    runs.flatMap((run) => Array.from({ length: run.count }, (_, i) => of(run, i)));
  // What is past a sequence's last position was never written.
  const pool = (width: number): Float64Array => {
    const values = new Float64Array(table.length * pageSize * kvHeads * width).fill(NaN);
    for (let s = 0; s < sequences; s++) {
      const filled = Math.max(0, ...runs.filter((r) => r.sequence === s).map((r) => r.start + r.count));
      for (let j = 0; j < filled; j++) {
        const page = table[s * maxPages + Math.floor(j / pageSize)]!;
        const vectors = floats(kvHeads * width, -2, 2);
        if (s === 0 && damaged.includes(j)) vectors[0] = NaN;
        values.set(vectors, (page * pageSize + (j % pageSize)) * kvHeads * width);
      }
    }
    return values;
  };
  const args = {
    q: input(floats(rows * heads * dim, -2, 2)),
    k: input(pool(dim)),
    v: latent ? null : input(pool(valueDim)),
    sinks: sinks ? input(floats(heads, -3, 3)) : null,
    pages: input(table, "i32"),
    sequence: input(
      list((run) => run.sequence),
      "i32",
    ),
    position: input(
      list((run, i) => run.start + i),
      "i32",
    ),
    out: output(rows * heads * valueDim),
    rows,
    maxPages,
    ...rest,
  };
  return kernelCase("pagedAttention", name, args, sumOf(dim + 16, 2));
}

function appendCase(rows: number, n: number, pageSize: number): Case {
  const maxPages = 3;
  const table = pageTable(2, maxPages);
  const start = 2;
  return kernelCase(
    "appendPages",
    `${rows} rows of ${n}, pages of ${pageSize}`,
    {
      x: input(floats(rows * n)),
      pool: inout(floats(table.length * pageSize * n)),
      pages: input(table, "i32"),
      sequence: input(
        Array.from({ length: rows }, (_, t) => t % 2),
        "i32",
      ),
      position: input(
        Array.from({ length: rows }, (_, t) => start + (t >> 1)),
        "i32",
      ),
      rows,
      n,
      pageSize,
      maxPages,
    },
    exact,
  );
}

export const pagedAttentionCases: readonly Case[] = [
  ...Object.entries(shapes).map(attendCase),
  appendCase(1, 7, 4),
  appendCase(13, 33, 4),
  appendCase(40, 130, 16),
];
