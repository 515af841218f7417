import { abi } from "../../../src/kernels/abi.ts";
import { type Case, exact, input, kernelCase, output, sumOf } from "../harness.ts";
import { numbers, sizes } from "../inputs.ts";

const { floats } = numbers(3);

const shapes: readonly [outer: number, n: number, inner: number][] = [
  ...sizes.map((n): [number, number, number] => [3, n, 1]),
  ...sizes.map((n): [number, number, number] => [2, n, 17]),
  ...sizes.map((inner): [number, number, number] => [1, 7, inner]),
  [1, 40001, 1],
  [1, 1000, 65],
  [130, 65, 7],
  [257, 1, 1],
];

const reduces = abi.reduce.op.flatMap((op) =>
  shapes.map(([outer, n, inner]) =>
    kernelCase(
      "reduce",
      `${op} of [${outer}, ${n}, ${inner}]`,
      {
        op,
        x: input(floats(outer * n * inner)),
        out: output(outer * inner),
        outer,
        n,
        inner,
      },
      op === "sum" ? sumOf(Math.min(n, 2000)) : exact,
    ),
  ),
);

const squares = [...sizes, 4096, 4097, 100_003].map((n) =>
  kernelCase("sumSquares", `${n}`, { x: input(floats(n)), out: output(1), n }, { abs: 0, rel: 1e-5 }),
);

const infinities = kernelCase(
  "reduce",
  "max of -Infinity",
  {
    op: "max",
    x: input([-Infinity, -Infinity, -Infinity, -5, -Infinity, -7]),
    out: output(2),
    outer: 2,
    n: 3,
    inner: 1,
  },
  exact,
);

export const reduceCases: readonly Case[] = [...reduces, ...squares, infinities];
