// Every operation and its gradient against PyTorch: test/golden/ops.json, made by ops.py beside it.
import { afterAll, describe, expect, test } from "vitest";
import * as ops from "../../src/tensor/index.ts";
import { Device, full, gradients, mul, sum, type Tensor, tensor } from "../../src/tensor/index.ts";
import golden from "../golden/ops.json" with { type: "json" };
import { loadKernels } from "./load.ts";

interface Packed {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: string;
}

interface Case {
  readonly op: string;
  readonly attrs: object;
  readonly inputs: readonly Packed[];
  readonly output: Packed;
  readonly cotangent: Packed;
  readonly grads: readonly (Packed | null)[];
}

interface Attrs
  extends ops.MatmulOptions,
    ops.GroupedMatmulOptions,
    ops.AttentionOptions,
    ops.RopeOptions,
    ops.ReduceOptions {
  readonly alpha: number;
  readonly limit: number;
  readonly beta: number;
  readonly low: number;
  readonly high: number;
  readonly axes: readonly number[];
  readonly axis: number;
  readonly start: number;
  readonly length: number;
  readonly shape: readonly number[];
  readonly k: number;
  readonly eps: number;
  readonly outRows: number;
  readonly positions: number;
  readonly rotary: number;
  readonly theta: number;
}

type Compute = (inputs: readonly Tensor[], attrs: Attrs) => Tensor;

const unary = ([x]: readonly Tensor[], op: (x: Tensor) => Tensor): Tensor => op(x);
const unaries = {
  neg: ops.neg,
  exp: ops.exp,
  log: ops.log,
  sqrt: ops.sqrt,
  rsqrt: ops.rsqrt,
  square: ops.square,
  abs: ops.abs,
  reciprocal: ops.reciprocal,
  sigmoid: ops.sigmoid,
  tanh: ops.tanh,
  softplus: ops.softplus,
  relu: ops.relu,
  gelu: ops.gelu,
  geluTanh: ops.geluTanh,
  silu: ops.silu,
  normalCdf: ops.normalCdf,
  sin: ops.sin,
  cos: ops.cos,
  softmax: ops.softmax,
  logSumExp: ops.logSumExp,
  swiglu: ops.swiglu,
};
const binaries = {
  add: ops.add,
  sub: ops.sub,
  mul: ops.mul,
  div: ops.div,
  maximum: ops.maximum,
  minimum: ops.minimum,
  takeAlong: ops.takeAlong,
  crossEntropy: ops.crossEntropy,
  gatherRows: ops.gatherRows,
};
const each = <F>(
  table: Record<string, F>,
  call: (inputs: readonly Tensor[], op: F) => Tensor,
): Record<string, Compute> =>
  Object.fromEntries(
    Object.entries(table).map(([name, op]) => [name, (inputs: readonly Tensor[]) => call(inputs, op)]),
  );

const computes: Record<string, Compute> = {
  ...each(unaries, unary),
  ...each(binaries, ([a, b], op) => op(a, b)),
  affine: ([x], { alpha, beta }) => ops.affine(x, alpha, beta),
  clamp: ([x], { low, high }) => ops.clamp(x, low, high),
  permute: ([x], { axes }) => ops.permute(x, axes),
  slice: ([x], { axis, start, length }) => ops.slice(x, axis, start, length),
  concat: (xs, { axis }) => ops.concat(xs, axis),
  expand: ([x], { shape }) => ops.expand(x, shape),
  sum: ([x], { axes, keep }) => ops.sum(x, axes, { keep }),
  mean: ([x], { axes, keep }) => ops.mean(x, axes, { keep }),
  max: ([x], { axes, keep }) => ops.max(x, axes, { keep }),
  min: ([x], { axes, keep }) => ops.min(x, axes, { keep }),
  topk: ([x], { k }) => ops.topk(x, k).values,
  rmsNorm: ([x, weight], { eps }) => ops.rmsNorm(x, weight, eps),
  layerNorm: ([x, weight, bias], { eps }) => ops.layerNorm(x, weight, bias, eps),
  scatterAddRows: ([x, ids], { outRows }) => ops.scatterAddRows(x, ids, outRows),
  dispatchRows: ([x, token, row]) => ops.dispatchRows(x, token, row),
  combineRows: ([y, row, weight = null]) => ops.combineRows(y, row, weight),
  matmul: ([a, b], options) => ops.matmul(a, b, options),
  groupedMatmul: ([x, w, offsets], options) => ops.groupedMatmul(x, w, offsets, options),
  swigluClamped: ([x], options) => ops.swigluClamped(x, options),
  groupBias: ([x, bias, offsets]) => ops.groupBias(x, bias, offsets),
  attention: ([q, k, v, sinks], options) => ops.attention(q, k, v, { ...options, sinks }),
  rope: ([x, position], { positions, rotary, theta, ...options }) =>
    ops.rope(x, ops.ropeTable(x.device, positions, ops.ropeFrequencies(rotary, theta)), position, options),
};

function host({ dtype, data }: Packed): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  return dtype === "i32" ? new Int32Array(bytes.buffer) : new Float32Array(bytes.buffer);
}

async function expectClose(what: string, got: Tensor, expected: Packed, tolerance: number): Promise<void> {
  expect(got.shape, what).toEqual(expected.shape);
  const values = await got.data();
  const wrong: string[] = [];
  host(expected).forEach((e, i) => {
    if (!(Math.abs(values[i] - e) <= tolerance * (1 + Math.abs(e))))
      wrong.push(`[${i}]: ${values[i]} for ${e}`);
  });
  expect(wrong, what).toEqual([]);
}

// Reference: a few roundings to f32, of values and of what the gradient uses of them again. The others also compute in f32.
const tolerances = { reference: 2e-6, native: 1e-5, wasm: 1e-5 } as const;
const loaded = await loadKernels(["reference", "native", "wasm"]);
const cases = golden.cases as readonly Case[];

describe.each(loaded)("$name kernels against PyTorch", ({ name, kernels }) => {
  if (typeof kernels === "string") {
    test.skip(`not here: ${kernels}`);
    return;
  }
  const tolerance = tolerances[name];
  const device = new Device(kernels);
  afterAll(() => device.dispose());
  const unpack = (packed: Packed): Tensor => tensor(device, host(packed), packed.shape);

  test.each(cases.map((c) => [c.op, JSON.stringify(c.attrs), c] as const))("%s %s", async (op, _, c) => {
    const inputs = c.inputs.map(unpack);
    const compute = (): Tensor => computes[op](inputs, c.attrs as Attrs);
    await expectClose("output", compute(), c.output, tolerance);
    const differentiated = inputs.filter((_input, i) => c.grads[i]);
    const { grads } = gradients(differentiated, () => sum(mul(compute(), unpack(c.cotangent))));
    const expected = c.grads.filter((grad) => grad !== null);
    for (const [i, grad] of expected.entries()) await expectClose(`gradient ${i}`, grads[i], grad, tolerance);
  });

  test("the clipping factor is min(1, maxNorm / (norm + 1e-6))", async () => {
    const factor = (values: readonly number[], maxNorm: number): Promise<number> =>
      ops.clipScale(ops.sumSquares(tensor(device, values)), maxNorm).item();
    expect(await factor([3, -4], 1)).toBeCloseTo(0.2, 6);
    expect(await factor([3, -4], 10)).toBe(1);
    expect(await factor([1e-6], 1e-6)).toBeCloseTo(0.5, 5);
    expect(await factor([0, 0], 1)).toBe(1);
  });

  test("three clipped steps of AdamW as torch.optim.AdamW takes them", async () => {
    const values = unpack(golden.adamw.values);
    const [m, v] = [full(device, [5], 0), full(device, [5], 0)];
    const settings = { decayed: 3, lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1 };
    for (const [i, packed] of golden.adamw.grads.entries()) {
      const grads = unpack(packed);
      const gradScale = ops.clipScale(ops.sumSquares(grads), 1);
      ops.adamwStep({ values, grads, m, v, gradScale, step: i + 1, ...settings });
      await expectClose(`after step ${i + 1}`, values, golden.adamw.after[i], tolerance);
    }
  });
});
