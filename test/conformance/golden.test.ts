import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { DType, KernelName } from "../../src/kernels/abi.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { type Case, decode, exact, mismatches, type Place, runCase, type Tolerance } from "./harness.ts";

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

const file = new URL("../golden/kernel_cases.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as GoldenCase[];
const reference = createReferenceKernels();

test.each(golden.map((one) => [`${one.kernel}: ${one.name}`, one] as const))(
  "%s",
  async (_, { name, kernel, args }) => {
    const want: Record<string, Float64Array> = {};
    const places = Object.entries(args).map(([arg, value]) => {
      if (!isArray(value)) return [arg, value];
      if (value.want !== undefined) want[arg] = values(value.want, value.dtype);
      return [arg, place(value)];
    });
    const isCopy = kernel === "cast" || kernel === "topk" || kernel === "gatherRows";
    const call: Case = {
      name,
      kernel,
      args: Object.fromEntries(places),
      tolerance: isCopy ? exact : tolerance,
    };
    const got = await runCase(reference, call);
    expect(Object.keys(got.values)).toEqual(Object.keys(want));
    expect(mismatches(call, got.values, want)).toEqual([]);
  },
);

test("every kernel has a golden case but fill, which needs none", () => {
  const missing = Object.keys(reference.run).filter((kernel) => !golden.some((one) => one.kernel === kernel));
  expect(missing).toEqual(["fill"]);
});

function place(array: GoldenArray): Place {
  const role = array.want === undefined ? "in" : array.in === undefined ? "out" : "inout";
  const before = values(array.in ?? array.want ?? "", array.dtype);
  return { role, dtype: array.dtype, values: role === "out" ? before.fill(Number.NaN) : before };
}

function values(base64: string, dtype: DType): Float64Array {
  return decode(Buffer.from(base64, "base64"), dtype);
}

function isArray(value: unknown): value is GoldenArray {
  return typeof value === "object" && value !== null && "dtype" in value;
}
