import type { Dims, DType } from "../../../src/kernels/abi.ts";
import { extent } from "../../../src/kernels/reference/memory.ts";
import { type Case, exact, inout, input, kernelCase, output, sumOf } from "../harness.ts";
import { numbers, sizes } from "../inputs.ts";

const { floats, ints } = numbers(1);
const dtypes: readonly DType[] = ["f32", "bf16", "i32"];
const counts = [0, ...sizes, 70_001];
const values = (n: number, dtype: DType) => (dtype === "i32" ? ints(n, -99, 99) : floats(n, -99, 99));

const fills = dtypes.flatMap((dtype) =>
  counts.map((n) => kernelCase("fill", `${n} ${dtype}`, { out: output(n, dtype), n, value: -2.7 }, exact)),
);

const casts = dtypes.flatMap((from) =>
  dtypes.flatMap((to) =>
    counts.map((n) =>
      kernelCase(
        "cast",
        `${n} ${from} to ${to}`,
        { x: input(values(n, from), from), out: output(n, to), n },
        exact,
      ),
    ),
  ),
);

// 1 + 2^-8 lies between two bf16: to even; then the largest, the smallest, and what has no number.
// Four times over, to fill the widest vector.
const edges = [1.00390625, 1.01171875, -1.00390625, 3.4e38, 1e-40, -0, Infinity, -Infinity, NaN].flatMap(
  (edge) => [edge, edge, edge, edge],
);
const edgeCasts = [
  kernelCase(
    "cast",
    "edges to bf16",
    {
      x: input(edges),
      out: output(edges.length, "bf16"),
      n: edges.length,
    },
    exact,
  ),
  kernelCase(
    "cast",
    "edges from bf16",
    {
      x: input(edges, "bf16"),
      out: output(edges.length),
      n: edges.length,
    },
    exact,
  ),
];

const layouts: readonly { name: string; dims: Dims; x: Dims; out: Dims }[] = [
  { name: "in line", dims: [2, 3, 5, 17], x: [255, 85, 17, 1], out: [255, 85, 17, 1] },
  { name: "transpose of the middle", dims: [2, 5, 3, 17], x: [255, 17, 85, 1], out: [255, 51, 17, 1] },
  { name: "transpose of the last two", dims: [1, 2, 33, 65], x: [0, 2145, 1, 33], out: [0, 2145, 65, 1] },
  { name: "reverse of the axes", dims: [3, 4, 5, 6], x: [1, 3, 12, 60], out: [120, 30, 6, 1] },
  { name: "expand the first axis", dims: [7, 1, 3, 5], x: [0, 0, 5, 1], out: [15, 15, 5, 1] },
  { name: "expand the last axis", dims: [1, 3, 5, 17], x: [0, 5, 1, 0], out: [0, 85, 17, 1] },
  { name: "a slice", dims: [1, 3, 4, 7], x: [0, 50, 10, 1], out: [0, 28, 7, 1] },
  { name: "into a slice", dims: [1, 3, 4, 7], x: [0, 28, 7, 1], out: [0, 50, 10, 1] },
  { name: "transpose of pairs", dims: [1, 2, 33, 65], x: [0, 1, 2, 66], out: [0, 2145, 65, 1] },
  { name: "many", dims: [3, 1, 257, 130], x: [33410, 0, 1, 257], out: [33410, 0, 130, 1] },
  { name: "one element", dims: [1, 1, 1, 1], x: [0, 0, 0, 0], out: [0, 0, 0, 0] },
];

const moved: readonly DType[] = [...dtypes, "f16"];
const copies = moved.flatMap((dtype) =>
  layouts.map(({ name, dims, x, out }) =>
    kernelCase(
      "stridedCopy",
      `${name}, ${dtype}`,
      {
        x: input(values(extent(dims, x), dtype), dtype),
        out: inout(values(extent(dims, out), dtype), dtype),
        dims,
        xStrides: x,
        outStrides: out,
        accumulate: false,
      },
      exact,
    ),
  ),
);

const accumulating: typeof layouts = [
  ...layouts,
  { name: "sum over the rows", dims: [1, 1, 130, 17], x: [0, 0, 17, 1], out: [0, 0, 0, 1] },
  { name: "sum of many rows", dims: [1, 1, 1025, 65], x: [0, 0, 65, 1], out: [0, 0, 0, 1] },
  { name: "sum over the columns", dims: [1, 1, 17, 130], x: [0, 0, 130, 1], out: [0, 0, 1, 0] },
  { name: "sum over the middle", dims: [2, 33, 3, 5], x: [495, 15, 5, 1], out: [15, 0, 5, 1] },
  { name: "sum of all", dims: [3, 4, 5, 6], x: [120, 30, 6, 1], out: [0, 0, 0, 0] },
];

const sums = accumulating.map(({ name, dims, x, out }) =>
  kernelCase(
    "stridedCopy",
    `${name}, accumulated`,
    {
      x: input(floats(extent(dims, x))),
      out: inout(floats(extent(dims, out))),
      dims,
      xStrides: x,
      outStrides: out,
      accumulate: true,
    },
    sumOf(1025),
  ),
);

export const memoryCases: readonly Case[] = [...fills, ...casts, ...edgeCasts, ...copies, ...sums];
