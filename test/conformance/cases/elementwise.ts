import { abi, type BinaryOp, type Dims, type UnaryOp } from "../../../src/kernels/abi.ts";
import { extent } from "../../../src/kernels/reference/memory.ts";
import {
  type Case,
  exact,
  fewUlps,
  inout,
  input,
  kernelCase,
  output,
  outputsOfReference,
  type Tolerance,
} from "../harness.ts";
import { numbers } from "../inputs.ts";

const { floats, ints } = numbers(2);

const layouts: readonly { name: string; dims: Dims; a: Dims; b: Dims }[] = [
  { name: "same shape", dims: [1, 1, 7, 33], a: [0, 0, 33, 1], b: [0, 0, 33, 1] },
  { name: "one element", dims: [1, 1, 1, 1], a: [0, 0, 0, 0], b: [0, 0, 0, 0] },
  { name: "a number on the left", dims: [1, 1, 1, 130], a: [0, 0, 0, 0], b: [0, 0, 0, 1] },
  { name: "a number on the right", dims: [1, 1, 1, 65], a: [0, 0, 0, 1], b: [0, 0, 0, 0] },
  { name: "a row", dims: [1, 1, 17, 33], a: [0, 0, 33, 1], b: [0, 0, 0, 1] },
  { name: "a column", dims: [1, 1, 17, 33], a: [0, 0, 33, 1], b: [0, 0, 1, 0] },
  { name: "both sides", dims: [3, 5, 7, 9], a: [35, 7, 1, 0], b: [9, 0, 0, 1] },
  { name: "transposed", dims: [2, 3, 17, 5], a: [255, 85, 1, 17], b: [255, 85, 5, 1] },
  { name: "middle axes", dims: [3, 5, 7, 17], a: [595, 119, 17, 1], b: [0, 17, 0, 1] },
  { name: "many", dims: [1, 1, 130, 513], a: [0, 0, 513, 1], b: [0, 0, 513, 1] },
];

const size = (dims: Dims): number => dims.reduce((product, d) => product * d, 1);
const binary = abi.binary.op.flatMap((op: BinaryOp) =>
  layouts.map(({ name, dims, a, b }) => {
    // Few distinct integers, so that less and equal meet ties; none is 0, so that div has a quotient.
    const pick = (n: number) => (op === "less" || op === "equal" ? ints(n, 1, 3) : floats(n, 0.5, 9));
    return kernelCase(
      "binary",
      `${op}, ${name}`,
      {
        op,
        a: input(pick(extent(dims, a))),
        b: input(pick(extent(dims, b))),
        out: output(size(dims)),
        dims,
        aStrides: a,
        bStrides: b,
      },
      exact,
    );
  }),
);

const positiveOnly: readonly UnaryOp[] = ["log", "sqrt", "rsqrt"];
const exactlyRounded: readonly UnaryOp[] = ["neg", "abs", "sqrt", "square", "relu", "clamp"];
const noZero: readonly UnaryOp[] = [...positiveOnly, "reciprocal"];

// Where formulas change form, lose digits or leave the range of f32's exp.
const edges = [0, 1e-6, 1e-3, 0.25, 1, 2.9, 3.1, 5, 9, 17, 30, 87, 100, 1e4, 1e9];

function arguments_(op: UnaryOp, n: number): Float64Array {
  const low = positiveOnly.includes(op) ? 0.01 : -8;
  return floats(n, low, 8);
}

function edgesOf(op: UnaryOp): number[] {
  const positive = noZero.includes(op) ? edges.slice(1) : edges;
  // The reduction of huge angles is nobody's need; 100 is.
  const inRange = op === "sin" || op === "cos" ? positive.filter((x) => x <= 100) : positive;
  return positiveOnly.includes(op) ? inRange : [...inRange, ...inRange.map((x) => -x)];
}

const counts = [1, 3, 7, 17, 33, 130, 40_001];
const numbersOf = { alpha: -1.5, beta: 2.25 };

const unary = abi.unary.op.flatMap((op: UnaryOp) => {
  const tolerance = exactlyRounded.includes(op) ? exact : fewUlps;
  const xs = [...counts.map((n) => arguments_(op, n)), edgesOf(op)];
  return [
    ...xs.map((x) =>
      kernelCase(
        "unary",
        `${op} of ${x.length}`,
        {
          op,
          x: input(x),
          out: output(x.length),
          n: x.length,
          ...numbersOf,
        },
        tolerance,
      ),
    ),
    kernelCase(
      "unary",
      `${op} in place`,
      {
        op,
        x: inout(arguments_(op, 33)),
        out: { sameAs: "x" },
        n: 33,
        ...numbersOf,
      },
      tolerance,
    ),
  ];
});

const slopes = abi.unary.op.flatMap((op: UnaryOp) => {
  const xs = [...counts.map((n) => arguments_(op, n)), edgesOf(op)];
  return xs.map((x) =>
    kernelCase(
      "unaryGrad",
      `${op} of ${x.length}`,
      {
        op,
        x: input(x),
        y: input(valuesOf(op, x)),
        dy: input(floats(x.length)),
        dx: output(x.length),
        n: x.length,
        ...numbersOf,
      },
      slopeTolerance(op),
    ),
  );
});

function valuesOf(op: UnaryOp, x: ArrayLike<number>): Float64Array {
  const call = { op, x: input(x), out: output(x.length), n: x.length, ...numbersOf };
  return outputsOfReference(kernelCase("unary", op, call, exact)).out!;
}

/** Slopes made from y carry y's own rounding. */
function slopeTolerance(op: UnaryOp): Tolerance {
  return ["neg", "abs", "relu", "clamp"].includes(op) ? exact : { abs: fewUlps.abs, rel: 2 * fewUlps.rel };
}

const chains = [1, 7, 33, 193, 1030].map((n) =>
  kernelCase(
    "fmaChain",
    `${n} chains`,
    { x: input(floats(n)), out: output(n), n, rounds: 9, a: 0.75, b: 0.5 },
    { abs: 1e-6, rel: 1e-6 }, // nine roundings, or eighteen where the machine does not fuse
  ),
);

export const elementwiseCases: readonly Case[] = [...binary, ...unary, ...slopes, ...chains];
