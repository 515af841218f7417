import type { DType } from "../../../src/kernels/abi.ts";
import { type Case, inout, input, kernelCase, output, type Place, storedBf16, sumOf } from "../harness.ts";
import { numbers, sizes, unevenOffsets } from "../inputs.ts";

const { floats } = numbers(8);
const flags = [false, true];
const floatTypes: readonly DType[] = ["f32", "bf16"];
const stored = (dtype: DType, k: number) => (dtype === "bf16" ? storedBf16(sumOf(k)) : sumOf(k));

interface GemmShape {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

function gemm(
  { batch, m, n, k }: GemmShape,
  transA: boolean,
  transB: boolean,
  bf16: boolean,
  {
    a = "f32",
    b = "f32",
    out = "f32",
    accumulate = false,
  }: { a?: DType; b?: DType; out?: DType; accumulate?: boolean } = {},
): Case {
  const name =
    `${batch} x [${m}, ${k}] x [${k}, ${n}], ${transA ? "a^T " : ""}${transB ? "b^T " : ""}${a} ${b} ${out}` +
    `${bf16 ? ", bf16" : ""}${accumulate ? ", accumulated" : ""}`;
  return kernelCase(
    "gemm",
    name,
    {
      a: input(floats(batch * m * k), a),
      b: input(floats(batch * k * n), b),
      out: accumulate ? inout(floats(batch * m * n), out) : output(batch * m * n, out),
      batch,
      m,
      n,
      k,
      transA,
      transB,
      accumulate,
      bf16,
    },
    stored(out, k),
  );
}

const gemmShapes: readonly GemmShape[] = [
  ...sizes.map((s) => ({ batch: 1, m: s, n: s, k: s })),
  ...sizes.map((m) => ({ batch: 1, m, n: 33, k: 17 })),
  ...sizes.map((n) => ({ batch: 2, m: 7, n, k: 65 })),
  ...sizes.map((k) => ({ batch: 1, m: 17, n: 7, k })),
  { batch: 3, m: 1, n: 130, k: 33 },
  { batch: 1, m: 2, n: 65, k: 513 },
  { batch: 1, m: 4, n: 130, k: 130 },
  { batch: 1, m: 5, n: 7, k: 1025 },
  { batch: 1, m: 200, n: 515, k: 19 },
  { batch: 1, m: 150, n: 100, k: 600 },
  { batch: 1, m: 7, n: 33, k: 0 },
  { batch: 1, m: 2, n: 33, k: 0 },
  { batch: 300, m: 5, n: 3, k: 2 }, // more products than one list holds
];

const transposes = gemmShapes.flatMap((shape) =>
  flags.flatMap((transA) => flags.map((transB) => gemm(shape, transA, transB, false))),
);

// In bf16 a matrix unit may do the work: several tiles each way, k in one block, in several, and packed more than once.
const inTiles = [
  { batch: 1, m: 200, n: 515, k: 19 },
  { batch: 1, m: 150, n: 100, k: 600 },
  { batch: 1, m: 37, n: 70, k: 2100 },
].flatMap((shape) => flags.flatMap((transA) => flags.map((transB) => gemm(shape, transA, transB, true))));

// What is not finite stays in its row and its column: padding is zeros, and zero times infinity is not.
const notFinite = flags.flatMap((transA) =>
  flags.flatMap((transB) =>
    flags.map((bf16) => {
      const [m, n, k] = [37, 35, 33];
      const one = gemm({ batch: 1, m, n, k }, transA, transB, bf16);
      const { a, b } = one.args as { a: Place; b: Place };
      a.values[transA ? 32 * m + 36 : 36 * k + 32] = Infinity;
      b.values[transB ? 34 * k : 34] = Number.NaN;
      return { ...one, name: `${one.name}, not finite` };
    }),
  ),
);

const accumulated = [
  { batch: 2, m: 17, n: 33, k: 65 },
  { batch: 1, m: 3, n: 65, k: 7 },
  { batch: 1, m: 65, n: 33, k: 700 },
].flatMap((shape) =>
  flags.flatMap((transB) => flags.map((bf16) => gemm(shape, transB, transB, bf16, { accumulate: true }))),
);

// One operand larger than what is packed at once: its columns, then its rows, are added in pieces.
const inPieces = [
  gemm({ batch: 1, m: 5, n: 33, k: 131_100 }, false, true, false),
  gemm({ batch: 1, m: 33, n: 5, k: 131_100 }, true, false, true, { accumulate: true }),
];

const storedTypes = [
  { batch: 1, m: 33, n: 65, k: 17 },
  { batch: 2, m: 3, n: 17, k: 130 },
].flatMap((shape) =>
  flags.flatMap((transA) =>
    flags.flatMap((transB) =>
      flags.flatMap((bf16) =>
        floatTypes.flatMap((a) =>
          floatTypes.flatMap((b) =>
            floatTypes.map((out) => gemm(shape, transA, transB, bf16, { a, b, out })),
          ),
        ),
      ),
    ),
  ),
);

const groups: readonly { rows: number; experts: number; spare: number; n: number; k: number }[] = [
  { rows: 1, experts: 1, spare: 0, n: 1, k: 1 },
  { rows: 0, experts: 3, spare: 0, n: 5, k: 4 },
  { rows: 7, experts: 4, spare: 2, n: 17, k: 3 },
  { rows: 33, experts: 8, spare: 0, n: 33, k: 65 },
  { rows: 65, experts: 7, spare: 5, n: 65, k: 17 },
  { rows: 130, experts: 3, spare: 130, n: 7, k: 7 },
  { rows: 260, experts: 8, spare: 3, n: 130, k: 33 },
  { rows: 17, experts: 20, spare: 1, n: 7, k: 130 },
];

const grouped = groups.flatMap(({ rows, experts, spare, n, k }) =>
  flags.flatMap((bf16) => {
    const offsets = input(unevenOffsets(rows, experts, spare), "i32");
    const name = `${rows} rows, ${spare} spare, ${experts} experts of [${k}, ${n}]${bf16 ? ", bf16" : ""}`;
    return [
      ...flags.map((transW) =>
        kernelCase(
          "groupedGemm",
          `${name}${transW ? ", w^T" : ""}`,
          {
            x: input(floats(rows * k)),
            w: input(floats(experts * k * n)),
            offsets,
            out: output(rows * n),
            rows,
            experts,
            n,
            k,
            transW,
            bf16,
          },
          sumOf(k),
        ),
      ),
      kernelCase(
        "groupedGemmOuter",
        name,
        {
          a: input(floats(rows * k)),
          b: input(floats(rows * n)),
          offsets,
          out: output(experts * k * n),
          rows,
          experts,
          m: k,
          n,
          bf16,
        },
        sumOf(rows),
      ),
    ];
  }),
);

const groupedStored = flags.flatMap((bf16) =>
  floatTypes.flatMap((from) =>
    floatTypes.flatMap((weights) =>
      floatTypes.flatMap((to) => {
        const offsets = input(unevenOffsets(33, 5, 2), "i32");
        const sizes = { offsets, rows: 33, experts: 5, n: 17, bf16 };
        const name = `${from} ${weights} ${to}${bf16 ? ", bf16" : ""}`;
        return [
          kernelCase(
            "groupedGemm",
            name,
            {
              x: input(floats(33 * 65), from),
              w: input(floats(5 * 65 * 17), weights),
              out: output(33 * 17, to),
              k: 65,
              transW: bf16,
              ...sizes,
            },
            stored(to, 65),
          ),
          kernelCase(
            "groupedGemmOuter",
            name,
            {
              a: input(floats(33 * 65), from),
              b: input(floats(33 * 17), weights),
              out: output(5 * 65 * 17, to),
              m: 65,
              ...sizes,
            },
            stored(to, 33),
          ),
        ];
      }),
    ),
  ),
);

// Sums of k enter a product with another: gate and up stay below 6 or so.
const gated = (dtype: DType, k: number) => (dtype === "bf16" ? storedBf16(sumOf(k, 6)) : sumOf(k, 6));

const swiglus = [
  ...groups,
  { rows: 40, experts: 3, spare: 1, n: 31, k: 600 }, // k in more than one block
  { rows: 21, experts: 1, spare: 0, n: 20, k: 2100 }, // k packed more than once
  { rows: 700, experts: 2, spare: 0, n: 20, k: 9 }, // more rows than a tile
].flatMap(({ rows, experts, spare, n, k }) =>
  flags.flatMap((bf16) => {
    const offsets = input(unevenOffsets(rows, experts, spare), "i32");
    const dtype: DType = bf16 ? "bf16" : "f32";
    const name = `${rows} rows, ${spare} spare, ${experts} experts of [${k}, ${n}]${bf16 ? ", bf16" : ""}`;
    const shared = { offsets, rows, experts, n, k, bf16 };
    return [
      ...flags.map((keep) =>
        kernelCase(
          "groupedSwiglu",
          `${name}${keep ? ", kept" : ""}`,
          {
            x: input(floats(rows * k)),
            w: input(floats(experts * 2 * n * k)),
            gateUp: keep ? output(rows * 2 * n, dtype) : null,
            out: output(rows * n, dtype),
            ...shared,
          },
          gated(dtype, k),
        ),
      ),
      kernelCase(
        "groupedSwigluGrad",
        name,
        {
          dy: input(floats(rows * k)),
          w: input(floats(experts * k * n)),
          gateUp: input(floats(rows * 2 * n, -4, 4), dtype),
          out: output(rows * 2 * n, dtype),
          ...shared,
        },
        gated(dtype, k),
      ),
    ];
  }),
);

const oneExpertHasAll = kernelCase(
  "groupedGemm",
  "one expert of four has every row",
  {
    x: input(floats(65 * 33)),
    w: input(floats(4 * 33 * 17)),
    offsets: input([0, 0, 0, 65, 65], "i32"),
    out: output(65 * 17),
    rows: 65,
    experts: 4,
    n: 17,
    k: 33,
    transW: false,
    bf16: false,
  },
  sumOf(33),
);

export const productCases: readonly Case[] = [
  ...transposes,
  ...inTiles,
  ...notFinite,
  ...accumulated,
  ...inPieces,
  ...storedTypes,
  ...grouped,
  ...groupedStored,
  ...swiglus,
  oneExpertHasAll,
];
