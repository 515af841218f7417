import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { DType, KernelName } from "../../src/kernels/abi.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import {
  type Case,
  decode,
  exact,
  mismatches,
  type Place,
  runCase,
  type Tolerance,
  type Weights,
  weights,
} from "./harness.ts";

// The reference against PyTorch; kernels.test.ts ties every other implementation to the reference.

interface GoldenArray {
  readonly dtype: DType;
  readonly in?: string;
  readonly want?: string;
}

interface GoldenCase {
  readonly name: string;
  readonly kernel: KernelName;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Both sides compute in double from the same f32; what is left is the rounding of inputs such as lse and rstd. */
const tolerance: Tolerance = { abs: 2e-6, rel: 2e-6 };

/** Kernels that do not calculate. */
const copies: ReadonlySet<KernelName> = new Set(["cast", "topk", "gatherRows", "appendPages"]);

const file = new URL("../golden/kernel_cases.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as GoldenCase[];
const reference = createReferenceKernels();

test.each(golden.map((one) => [`${one.kernel}: ${one.name}`, one] as const))(
  "%s",
  async (_, { name, kernel, args }) => {
    const want: Record<string, Float64Array> = {};
    const places = Object.entries(args).map(([arg, value]) => {
      if (Array.isArray(value) && value.every(isArray)) return [arg, value.map(place)];
      if (!isArray(value)) return [arg, value];
      if (value.want !== undefined) want[arg] = values(value.want, value.dtype);
      return [arg, place(value)];
    });
    const call: Case = {
      name,
      kernel,
      args: Object.fromEntries(places),
      tolerance: copies.has(kernel) ? exact : tolerance,
    };
    const got = await runCase(reference, call);
    expect(Object.keys(got.values)).toEqual(Object.keys(want));
    expect(mismatches(call, got.values, want)).toEqual([]);
  },
);

// Routing is tested in src/kernels/reference/routing.test.ts, random numbers in src/tensor/ops/random.test.ts; weights of stored forms are
// made in models of golden files.
test("every kernel has a golden case but fill, which needs none, and those that other golden files test", () => {
  const missing = Object.keys(reference.run).filter((kernel) => !golden.some((one) => one.kernel === kernel));
  expect(missing).toEqual([
    "fill",
    "mxfp4Rows",
    "scaledE4m3",
    "planRows",
    "countIds",
    "selectExperts",
    "ruleOut",
    "keepGroups",
    "assignCapacity",
    "invertChoice",
    "random",
  ]);
});

function place({ dtype, in: before, want }: GoldenArray): Place | Weights {
  if (want === undefined) return weights(dtype, Buffer.from(before ?? "", "base64"));
  if (before !== undefined) return { role: "inout", dtype, values: values(before, dtype) };
  return { role: "out", dtype, values: values(want, dtype).fill(Number.NaN) };
}

function values(base64: string, dtype: DType): Float64Array {
  return decode(Buffer.from(base64, "base64"), dtype);
}

function isArray(value: unknown): value is GoldenArray {
  return typeof value === "object" && value !== null && "dtype" in value;
}
