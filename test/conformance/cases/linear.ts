import { blockOf, bytesOf, type DType, weightDTypes } from "../../../src/kernels/abi.ts";
import {
  type Case,
  exact,
  input,
  kernelCase,
  output,
  storedBf16,
  sumOf,
  type Tolerance,
  weights,
} from "../harness.ts";
import { filledBytes, numbers, unevenOffsets, weightBytes } from "../inputs.ts";

const source = numbers(31);
const { floats, ints } = source;

interface Shape {
  readonly rows: number;
  readonly spare: number;
  readonly groups: number;
  readonly parts: number;
  /** Rows of a piece. */
  readonly piece: number;
  readonly k: number;
  /** Of all rows to one group of all, with no offsets. */
  readonly whole?: boolean;
}

/** Rows rounded to 8 bits: each of k terms is off by up to |w| / 254, w within 1 or so, with either sign. */
const rounded = (k: number): Tolerance => ({ abs: (4 * Math.sqrt(k)) / 254, rel: 1e-5 });

function linear(dtypes: readonly DType[], shape: Shape, fast: boolean): Case {
  const { rows, spare, groups, parts, piece, k, whole } = shape;
  const pieces = Array.from({ length: groups * parts }, (_, i) => {
    const dtype = dtypes[i % dtypes.length]!;
    return weights(dtype, weightBytes(source, dtype, piece * k));
  });
  const name = `${dtypes.join(" and ")}, ${rows} rows, ${spare} spare, ${groups} groups of ${parts} x [${piece}, ${k}]${fast ? ", fast" : ""}`;
  return kernelCase(
    "linear",
    name,
    {
      x: input(floats(rows * k)),
      w: pieces,
      offsets: whole ? null : input(unevenOffsets(rows, groups, spare), "i32"),
      out: output(rows * parts * piece),
      rows,
      groups,
      n: parts * piece,
      k,
      fast,
    },
    fast ? rounded(k) : sumOf(k, 2),
  );
}

/** Streamed and packed products, empty groups, rows that nobody owns, and sizes on no boundary. k in units of 256. */
const shapes: readonly Shape[] = [
  { rows: 1, spare: 0, groups: 1, parts: 1, piece: 1, k: 256, whole: true },
  { rows: 7, spare: 0, groups: 1, parts: 3, piece: 5, k: 512, whole: true },
  { rows: 30, spare: 3, groups: 8, parts: 2, piece: 19, k: 256 },
  { rows: 70, spare: 0, groups: 4, parts: 2, piece: 33, k: 256 },
];
const ofEveryDtype = weightDTypes.flatMap((dtype) =>
  shapes.flatMap((shape) => [false, true].map((fast) => linear([dtype], shape, fast))),
);

/** k of 32, of one and a half vectors, of nothing at all, of more than is packed at once; more weights than a task, than a thread. */
const odd: readonly [DType, Shape][] = [
  ["f32", { rows: 9, spare: 1, groups: 2, parts: 1, piece: 7, k: 19 }],
  ["bf16", { rows: 3, spare: 0, groups: 1, parts: 1, piece: 7, k: 19, whole: true }],
  ["f16", { rows: 13, spare: 0, groups: 2, parts: 1, piece: 7, k: 19 }],
  ["f16", { rows: 2, spare: 0, groups: 1, parts: 1, piece: 3, k: 1, whole: true }],
  ["q8_0", { rows: 6, spare: 0, groups: 2, parts: 1, piece: 300, k: 96 }],
  ["q4_0", { rows: 15, spare: 0, groups: 3, parts: 1, piece: 17, k: 32 }],
  ["mxfp4", { rows: 40, spare: 0, groups: 1, parts: 2, piece: 17, k: 1056, whole: true }],
  ["q8_0", { rows: 20, spare: 1, groups: 1, parts: 2, piece: 35, k: 2080 }],
  ["q4_0", { rows: 20, spare: 1, groups: 1, parts: 2, piece: 35, k: 2080 }],
  ["q5_1", { rows: 11, spare: 0, groups: 1, parts: 1, piece: 17, k: 1056, whole: true }],
  ["q2_k", { rows: 13, spare: 2, groups: 2, parts: 1, piece: 5, k: 1280 }],
  ["q5_0", { rows: 530, spare: 0, groups: 1, parts: 1, piece: 21, k: 64, whole: true }],
  ["q4_1", { rows: 40, spare: 0, groups: 3, parts: 1, piece: 150, k: 32 }],
  ["q8_0", { rows: 5, spare: 5, groups: 3, parts: 1, piece: 4, k: 32 }],
  ["q8_0", { rows: 0, spare: 0, groups: 2, parts: 1, piece: 4, k: 32 }],
];

const mixed = [false, true].map((fast) =>
  linear(["q4_k", "q6_k"], { rows: 5, spare: 0, groups: 3, parts: 2, piece: 9, k: 256 }, fast),
);
/** Pieces of words, of bytes and of floats beside each other, groups of many rows and of few. */
const beside = linear(
  ["q8_0", "q4_k", "f16", "q6_k", "bf16"],
  { rows: 60, spare: 1, groups: 5, parts: 3, piece: 9, k: 512 },
  true,
);

/** The largest sums: rows that round without a rest, of the largest whole numbers, times weights at either end of theirs. */
const largest = weightDTypes
  .filter((dtype) => blockOf(dtype).elements > 1)
  .flatMap((dtype) =>
    [0x00, 0x7f, 0x80, 0xff].map((fill) => {
      const [rows, n, k] = [12, 18, 256];
      const args = { offsets: null, out: output(rows * n), rows, groups: 1, n, k, fast: true };
      return kernelCase(
        "linear",
        `${dtype} of bytes ${fill}, rows of one size, fast`,
        {
          x: input(Float64Array.from({ length: rows * k }, (_, i) => (i < (rows / 2) * k ? 1 : -1))),
          w: [weights(dtype, filledBytes(source, dtype, n * k, fill))],
          ...args,
        },
        { abs: 0.02, rel: 1e-2 }, // bf16 in a matrix unit; a sum that did not fit would be off by more than itself
      );
    }),
  );

/** A NaN in a row that is rounded shows in all that the row gives, and in nothing else. */
const notANumber = (["q8_0", "q4_0", "q4_k"] as const).flatMap((dtype) =>
  [2, 12].map((rows) => rowWithNaN(dtype, rows)),
);

function rowWithNaN(dtype: DType, rows: number): Case {
  const [n, k] = [5, 256];
  const x_RK = floats(rows * k);
  x_RK[k + 40] = NaN;
  const args = { offsets: null, out: output(rows * n), rows, groups: 1, n, k, fast: true };
  const w = [weights(dtype, weightBytes(source, dtype, n * k))];
  return kernelCase(
    "linear",
    `${dtype}, ${rows} rows, one with a NaN, fast`,
    { x: input(x_RK), w, ...args },
    rounded(k),
  );
}

/** Blocks of zeros whose scale is the largest there is, times rows so large that the product of both scales is infinite. */
const zerosOfLargestScale = [2, 12].map((rows) => {
  const [n, k] = [18, 256];
  const bytes = weightBytes(source, "mxfp4", n * k);
  for (let at = 0; at < bytes.length; at += 2 * 17) bytes.fill(0, at, at + 17)[at] = 254;
  const args = { offsets: null, out: output(rows * n), rows, groups: 1, n, k, fast: true };
  const { abs, rel } = rounded(k);
  return kernelCase(
    "linear",
    `mxfp4, ${rows} large rows, zeros of the largest scale, fast`,
    { x: input(floats(rows * k, -1e7, 1e7)), w: [weights("mxfp4", bytes)], ...args },
    { abs: 1e7 * abs, rel },
  );
});

/** Rows of weights, decoded to the last bit. */
const gathers = weightDTypes
  .filter((dtype) => dtype !== "f32" && dtype !== "bf16")
  .flatMap((dtype) =>
    (["f32", "bf16"] as const).map((to) => {
      const n = dtype === "f16" ? 19 : 512;
      return kernelCase(
        "gatherRows",
        `11 of 6 rows of ${n}, ${dtype} to ${to}`,
        {
          x: weights(dtype, weightBytes(source, dtype, 6 * n)),
          ids: input(ints(11, -1, 5), "i32"),
          out: output(11 * n, to),
          rows: 11,
          n,
        },
        to === "f32" ? exact : storedBf16(exact),
      );
    }),
  );

/** Every f16 there is: 256 rows of 256, subnormals, infinities and NaN among them. */
const everyHalf = kernelCase(
  "gatherRows",
  "all of f16",
  {
    x: weights("f16", new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer)),
    ids: input(
      Float64Array.from({ length: 256 }, (_, i) => i),
      "i32",
    ),
    out: output(bytesOf("f16", 65536) / 2),
    rows: 256,
    n: 256,
  },
  exact,
);

/** Every scale of mxfp4 with every element: from subnormal results to infinite ones. */
const everyScale = kernelCase(
  "gatherRows",
  "all of mxfp4",
  {
    x: weights(
      "mxfp4",
      Uint8Array.from({ length: 256 * 17 }, (_, i) => (i % 17 === 0 ? i / 17 : ((i % 17) - 1) * 17)),
    ),
    ids: input(
      Float64Array.from({ length: 32 }, (_, i) => i),
      "i32",
    ),
    out: output(256 * 32),
    rows: 32,
    n: 256,
  },
  exact,
);

export const linearCases: readonly Case[] = [
  ...ofEveryDtype,
  ...odd.flatMap(([dtype, shape]) => [false, true].map((fast) => linear([dtype], shape, fast))),
  ...mixed,
  beside,
  ...largest,
  ...notANumber,
  ...zerosOfLargestScale,
  ...gathers,
  everyHalf,
  everyScale,
];
