import {
  type Case,
  exact,
  fewUlps,
  inout,
  input,
  kernelCase,
  output,
  outputsOfReference,
  sumOf,
  type Tolerance,
} from "../harness.ts";
import { numbers, sizes } from "../inputs.ts";

const { floats, ints } = numbers(4);

const shapes: readonly [rows: number, n: number][] = [
  [0, 5],
  ...sizes.map((n): [number, number] => [5, n]),
  [130, 8],
  [33, 2053],
];

/** exp of a difference of logits up to 2 * `reach`, itself rounded. */
const probabilities = (reach: number): Tolerance => ({ abs: 1e-7, rel: 2 ** -22 * (4 + 2 * reach) });
const logits = (n: number): Float64Array => floats(n, -20, 20);
const shape = ([rows, n]: readonly [number, number]): string => `[${rows}, ${n}]`;

const softmaxes = shapes.flatMap((s) => {
  const [rows, n] = s;
  return [
    kernelCase(
      "softmax",
      shape(s),
      { x: input(logits(rows * n)), out: output(rows * n), rows, n },
      probabilities(20),
    ),
    kernelCase("logSumExp", shape(s), { x: input(logits(rows * n)), out: output(rows), rows, n }, fewUlps),
    kernelCase(
      "softmaxGrad",
      shape(s),
      {
        y: input(floats(rows * n, 0, 2 / n)),
        dy: input(floats(rows * n)),
        dx: output(rows * n),
        rows,
        n,
      },
      sumOf(2, 2 / n),
    ),
  ];
});

const masked = [
  [-Infinity, 1, -Infinity, 2, -Infinity],
  [-Infinity, -Infinity, -Infinity, -Infinity, -Infinity],
  [-Infinity, -Infinity, -Infinity, -Infinity, 88],
  [1e4, -1e4, 0, 9999, -Infinity],
].flat();
const maskedRows = [
  kernelCase("softmax", "-Infinity", { x: input(masked), out: output(20), rows: 4, n: 5 }, probabilities(20)),
  kernelCase("logSumExp", "-Infinity", { x: input(masked), out: output(4), rows: 4, n: 5 }, fewUlps),
];

const topks = shapes.flatMap((s) => {
  const [rows, n] = s;
  const ks = [...new Set([1, Math.min(2, n), Math.min(8, n), n])];
  // Draws from a few values make ties in every row.
  return ks.flatMap((k) =>
    [floats(rows * n), ints(rows * n, -2, 2)].map((x, i) =>
      kernelCase(
        "topk",
        `${k} of ${shape(s)}${i ? ", ties" : ""}`,
        {
          x: input(x),
          values: output(rows * k),
          ids: output(rows * k, "i32"),
          rows,
          n,
          k,
        },
        exact,
      ),
    ),
  );
});
const maskedTopk = kernelCase(
  "topk",
  "-Infinity, and zeros of both signs",
  {
    x: input([...masked, 0, -0, 0, -0, 0]),
    values: output(25),
    ids: output(25, "i32"),
    rows: 5,
    n: 5,
    k: 5,
  },
  exact,
);

/** NaN in each place of nine, and in most of them. */
const nanTopk = kernelCase(
  "topk",
  "NaN",
  {
    x: input(
      Float64Array.from({ length: 90 }, (_, i) =>
        i < 81 ? (i % 10 === 0 ? NaN : (i * 7) % 9) : i % 4 === 0 ? i : NaN,
      ),
    ),
    values: output(30),
    ids: output(30, "i32"),
    rows: 10,
    n: 9,
    k: 3,
  },
  exact,
);

const takes = shapes.flatMap((s) => {
  const [rows, n] = s;
  const k = Math.min(n, 6);
  const ids = ints(rows * k, -1, n - 1);
  return [
    kernelCase(
      "takeAlong",
      shape(s),
      {
        x: input(floats(rows * n)),
        ids: input(ids, "i32"),
        out: output(rows * k),
        rows,
        n,
        k,
      },
      exact,
    ),
    kernelCase(
      "takeAlongGrad",
      shape(s),
      {
        dy: input(floats(rows * k)),
        ids: input(ids, "i32"),
        dx: output(rows * n),
        rows,
        n,
        k,
      },
      sumOf(k),
    ),
  ];
});

const losses = shapes.flatMap((s) => {
  const [rows, n] = s;
  const logits_RN = logits(rows * n);
  const target = input(ints(rows, -1, n - 1), "i32");
  const forward = kernelCase(
    "crossEntropy",
    shape(s),
    {
      logits: input(logits_RN),
      target,
      loss: output(rows),
      lse: output(rows),
      rows,
      n,
    },
    { abs: 1e-5, rel: fewUlps.rel },
  );
  const rest = {
    target,
    lse: input(outputsOfReference(forward).lse!),
    dloss: input(floats(rows)),
    rows,
    n,
  };
  return [
    forward,
    kernelCase(
      "crossEntropyGrad",
      shape(s),
      {
        logits: input(logits_RN),
        dlogits: output(rows * n),
        ...rest,
      },
      probabilities(20),
    ),
    kernelCase(
      "crossEntropyGrad",
      `${shape(s)} over the logits`,
      {
        logits: inout(logits_RN),
        dlogits: { sameAs: "logits" },
        ...rest,
      },
      probabilities(20),
    ),
  ];
});

const swiglus = shapes.flatMap((s) => {
  const [rows, n] = s;
  const x = input(floats(rows * 2 * n, -8, 8));
  return [
    kernelCase("swiglu", shape(s), { x, out: output(rows * n), rows, n }, fewUlps),
    kernelCase(
      "swigluGrad",
      shape(s),
      {
        x,
        dout: input(floats(rows * n)),
        dx: output(rows * 2 * n),
        rows,
        n,
      },
      { abs: 1e-6, rel: 2 * fewUlps.rel },
    ),
    kernelCase(
      "swigluClamped",
      shape(s),
      { x, out: output(rows * n), rows, n, alpha: 1.702, limit: 5 },
      fewUlps,
    ),
  ];
});

const nanClamped = kernelCase(
  "swigluClamped",
  "NaN and infinities",
  {
    x: input([NaN, 1, 2, NaN, Infinity, -Infinity, 3, 0.5, 1, NaN, 4, NaN, 1, 2, Infinity, -Infinity]),
    out: output(8),
    rows: 1,
    n: 8,
    alpha: 1.702,
    limit: 5,
  },
  fewUlps,
);

const groupBiases = [
  [0, 0],
  [0, 5, 5, 9],
  [0, 40],
  [0, 300],
].flatMap((offsets) =>
  [1, 17, 64].flatMap((n) => {
    const rows = offsets.at(-1)! + 2;
    const groups = offsets.length - 1;
    const x = floats(rows * n);
    const rest = { bias: input(floats(groups * n)), offsets: input(offsets, "i32"), rows, groups, n };
    const name = `rows from ${offsets}, of ${n}`;
    return [
      kernelCase("groupBias", name, { x: input(x), out: output(rows * n), ...rest }, exact),
      kernelCase("groupBias", `${name}, in place`, { x: inout(x), out: { sameAs: "x" }, ...rest }, exact),
    ];
  }),
);

export const rowCases: readonly Case[] = [
  ...softmaxes,
  ...maskedRows,
  ...topks,
  maskedTopk,
  nanTopk,
  ...takes,
  ...losses,
  ...swiglus,
  nanClamped,
  ...groupBiases,
];
