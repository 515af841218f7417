import { type Case, input, kernelCase, output, type Tolerance } from "../harness.ts";

/**
 * A uniform number is exact in double and rounded once to f32, where both round alike: half a unit in the last place of a number near 1
 * otherwise. A normal one is at most 6.7, from functions in f32.
 */
const tolerances: Readonly<Record<"uniform" | "normal", Tolerance>> = {
  uniform: { abs: 2 ** -24, rel: 2 ** -23 },
  normal: { abs: 2e-6, rel: 0 },
};

/** Rows, n, and the first row: streams that begin and end anywhere in a block and in a vector of blocks, on one thread's share and more. */
const shapes = [
  [1, 1, 0],
  [3, 5, 0],
  [1, 64, 1],
  [2, 65, 3],
  [7, 9, 11],
  [130, 33, 2],
  [300, 256, 17],
  [0, 4, 0],
] as const;

const seeds = [
  { seed: 7, seedHigh: 0, stream: 0x9e3779b9 },
  { seed: 0xffffffff, seedHigh: 0x1fffff, stream: 0xffffffff },
] as const;

function drawn(
  kind: "uniform" | "normal",
  [rows, n, firstRow]: readonly [number, number, number],
  key: (typeof seeds)[number],
  [low, high]: readonly [number, number],
  step = 3,
): Case {
  return kernelCase(
    "random",
    `${kind} ${rows} x ${n} from row ${firstRow}, seed ${key.seed}, ${low} ${high}, step ${step}`,
    {
      kind,
      out: output(rows * n),
      at: input([step, firstRow], "i32"),
      rows,
      n,
      ...key,
      low,
      high,
    },
    tolerances[kind],
  );
}

export const randomCases: readonly Case[] = [
  ...shapes.flatMap((shape) => [
    drawn("uniform", shape, seeds[0], [0, 1]),
    drawn("normal", shape, seeds[0], [0, 1]),
  ]),
  drawn("uniform", [40, 33, 5], seeds[1], [0.99, 1.01]),
  drawn("uniform", [9, 7, 0], seeds[1], [-1, 1], 2 ** 31 - 1),
  drawn("normal", [40, 33, 5], seeds[1], [0.25, 0.5]),
  // Far along in a stream: numbers past 2^31.
  drawn("uniform", [2, 65_537, 40_000], seeds[0], [0, 1]),
  drawn("normal", [2, 65_537, 40_000], seeds[0], [0, 1]),
];
