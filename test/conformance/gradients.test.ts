// Every operation's gradient against central finite differences.
import { afterAll, describe, expect, test } from "vitest";
import {
  Device,
  equal,
  gradients,
  less,
  mul,
  Random,
  type Shape,
  sizeOf,
  sum,
  tensor,
} from "../../src/tensor/index.ts";
import * as ops from "../../src/tensor/ops/index.ts";
import { gradientCases } from "./gradient-cases.ts";
import { loadKernels } from "./load.ts";

/** Compared by value: in ops-golden.test.ts, infer/cache.test.ts, kernels/reference, tensor/ops, models of golden files, and below. */
const withoutGradient = [
  "linear",
  "less",
  "equal",
  "ropeFrequencies",
  "ropeTable",
  "adamwStep",
  "sumSquares",
  "clipScale",
  "appendPages",
  "pagedAttention",
  "mxfp4Rows",
  "scaledE4m3",
  "selectExperts",
  "ruleOut",
  "keepGroups",
  "assignCapacity",
  "invertChoice",
  "randomUniform",
  "randomNormal",
];

/** Multiples of 1/32: exact in f32 and, below 4, in bf16. */
function draw(
  shape: Shape,
  [low, high]: readonly [number, number],
  random: Random,
): Float32Array<ArrayBuffer> {
  return random.uniforms(sizeOf(shape), low, high).map((v) => Math.round(v * 32) / 32);
}

const step = 1 / 64;

/** Central differences of fourth order: the truncation error is step^4 f^(5) / 30, about 2e-9. */
const stencil = [
  [1, 8 / 12],
  [-1, -8 / 12],
  [2, -1 / 12],
  [-2, 1 / 12],
] as const;

type Scalar = (x: Float32Array<ArrayBuffer>) => Promise<number>;

async function finiteDifference(f: Scalar, x: Float32Array<ArrayBuffer>, i: number): Promise<number> {
  let slope = 0;
  for (const [steps, factor] of stencil) slope += (factor / step) * (await f(x.with(i, x[i] + steps * step)));
  return slope;
}

// f32 rounding of the values differenced: about 6e-8 * |y| * 2 / step, 1e-5 for the sizes here.
const tolerance = 1e-4;

const loaded = await loadKernels(["reference", "native"]);

describe.each(loaded)("$name kernels", ({ kernels }) => {
  if (typeof kernels === "string") {
    test.skip(`not here: ${kernels}`);
    return;
  }
  const device = new Device(kernels);
  const cases = gradientCases(device);
  afterAll(() => device.dispose());

  test("every operation has a case", () => {
    expect([...Object.keys(cases), ...withoutGradient].sort()).toEqual(Object.keys(ops).sort());
  });

  test("less and equal give 1 or 0", async () => {
    const [a, b] = [tensor(device, [1, 2, 3]), tensor(device, [2, 2, Number.NaN])];
    expect([...(await less(a, b).data())]).toEqual([1, 0, 0]);
    expect([...(await equal(a, b).data())]).toEqual([0, 1, 0]);
    expect([...(await less(a, 2.5).data())]).toEqual([1, 1, 0]);
    expect([...(await equal(a, 3).data())]).toEqual([0, 0, 1]);
  });

  describe.each(Object.entries(cases))("gradient of %s", (name, list) => {
    const named = list.map((c) => [c.shapes.map((s) => `[${s}]`).join(" "), c] as const);
    test.each(named)("%s", async (_, { shapes, compute, range = [-1.5, 1.5] }) => {
      const random = new Random(1, name);
      const hosts = shapes.map((shape) => draw(shape, range, random));
      const inputs = hosts.map((host, i) => tensor(device, host, shapes[i]));
      const { shape } = compute(inputs);
      const weights = random.normals(sizeOf(shape));
      const { grads } = gradients(inputs, () => sum(mul(compute(inputs), tensor(device, weights, shape))));

      const wrong: string[] = [];
      for (const [i, host] of hosts.entries()) {
        const f: Scalar = async (x) => {
          inputs[i].write(x);
          const y = Array.from(await compute(inputs).data());
          return y.reduce((total, v, j) => total + v * weights[j], 0);
        };
        for (const [j, got] of (await grads[i].data()).entries()) {
          const expected = await finiteDifference(f, host, j);
          const close = Math.abs(got - expected) <= tolerance * (1 + Math.abs(expected));
          if (!close) wrong.push(`input ${i}, element ${j}: ${got} for ${expected}`);
        }
        inputs[i].write(host);
      }
      expect(wrong).toEqual([]);
    });
  });
});
