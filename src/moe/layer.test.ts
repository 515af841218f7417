import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import type { Module } from "../nn/module.ts";
import { materialise } from "../nn/parameters.ts";
import {
  add,
  context,
  Device,
  Draws,
  gradients,
  mul,
  Random,
  scope,
  sum,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import { type Experts, GeluExperts, ReluExperts, SwigluExperts } from "./experts.ts";
import { MoeLayer } from "./layer.ts";
import { type LossName, parseLossSpec } from "./loss-spec.ts";
import { parseRoutingSpec } from "./schema.ts";
import { SharedExpert } from "./shared.ts";
import type { RoutingSpec } from "./spec.ts";

const device = new Device(createReferenceKernels());

interface Listed {
  readonly shape: number[];
  readonly values: number[];
}

/** Made by test/golden/moe_blocks.py from the MoE blocks of transformers. */
interface Golden {
  readonly name: string;
  readonly spec: unknown;
  readonly shared: { readonly hidden: number; readonly gate: "none" | "sigmoid" } | null;
  readonly width: number;
  readonly hidden: number;
  readonly weights: Readonly<Record<string, Listed>>;
  readonly grads: Readonly<Record<string, Listed>>;
  readonly x: Listed;
  readonly dy: Listed;
  readonly y: Listed;
  readonly dx: Listed;
}
const goldens = JSON.parse(
  readFileSync(new URL("../../test/golden/moe_blocks.json", import.meta.url), "utf8"),
) as Golden[];

test.each(goldens)("the $name block of transformers: output and every gradient", async (golden) => {
  const { width, hidden } = golden;
  const spec = parseRoutingSpec(golden.spec);
  const shared =
    golden.shared &&
    new SharedExpert({
      expert: new SwigluExperts({ count: 1, width, hidden: golden.shared.hidden }),
      width,
      gate: golden.shared.gate,
    });
  const experts = new SwigluExperts({ count: spec.experts, width, hidden });
  const layer = new MoeLayer({ spec, width, experts, shared });
  const parameters = [...layer.tensors()];
  expect(parameters.map(([name]) => name).sort()).toEqual(Object.keys(golden.weights).sort());
  for (const [name, parameter] of parameters) {
    const { values, shape } = golden.weights[name];
    expect(parameter.shape, name).toEqual(shape);
    parameter.bind(tensor(device, values, shape));
  }
  const x = tensor(device, golden.x.values, golden.x.shape);
  const dy = tensor(device, golden.dy.values, golden.dy.shape);
  const y = scope(() => layer.forward(x, context()).y);
  const { grads } = gradients([x, ...parameters.map(([, p]) => p.value)], () =>
    sum(mul(layer.forward(x, context()).y, dy)),
  );
  await expectNear(y, golden.y.values, "y");
  await expectNear(grads[0], golden.dx.values, "dx");
  for (const [i, [name]] of parameters.entries())
    await expectNear(grads[i + 1], golden.grads[name].values, name);
});

async function expectNear(got: Tensor, wanted: readonly number[], what: string): Promise<void> {
  const values = await got.data();
  const worst = Math.max(...wanted.map((value, i) => Math.abs(value - values[i])));
  expect(worst, what).toBeLessThan(2e-5);
}

const width = 3;
const tokens = 5;
/** Weights large enough that experts differ by more than a finite difference can move them. */
function bindRandom(module: Module, seed: number): void {
  for (const [name, parameter] of module.tensors()) {
    const values = new Random(seed, name).normals(parameter.size, name.includes("logScale") ? 0 : 0.7);
    parameter.bind(tensor(device, values, parameter.shape));
  }
}

interface Case {
  readonly spec: unknown;
  readonly losses?: Partial<Record<LossName, number>>;
  readonly experts?: (spec: RoutingSpec) => Experts;
  readonly labels?: readonly string[];
  readonly training?: boolean;
}
const swiglu = ({ experts }: RoutingSpec): Experts => new SwigluExperts({ count: experts, width, hidden: 2 });
const topK = (k: number): object => ({ by: "token", k });
const cases: Readonly<Record<string, Case>> = {
  "softmax top-2 with every loss that fits": {
    spec: { experts: 4, select: topK(2) },
    losses: {
      balance: 0.5,
      importance: 0.3,
      z: 0.2,
      tokenEntropy: 0.4,
      marginalEntropy: -0.3,
      orthogonality: 0.6,
    },
  },
  "noisy top-k with the load loss": {
    spec: { experts: 4, select: topK(2), order: "select-then-score", noise: "gaussian" },
    losses: { load: 0.7, importance: 0.2 },
    training: true,
  },
  "jitter, GELU experts": {
    spec: { experts: 3, select: topK(1), noise: { kind: "jitter", epsilon: 0.1 } },
    experts: ({ experts }) => new GeluExperts({ count: experts, width, hidden: 2 }),
    training: true,
  },
  "cosine gate": {
    spec: { experts: 4, select: topK(2), gate: { kind: "cosine", temperature: 0.3 } },
    losses: { orthogonality: 1 },
  },
  "mlp gate, capacity drop, normalised": {
    spec: {
      experts: 3,
      select: topK(2),
      gate: { kind: "mlp", width: 4 },
      normalise: true,
      capacity: { factor: 0.6 },
    },
    losses: { importance: 1 },
  },
  "next best on the input": {
    spec: {
      experts: 3,
      select: topK(2),
      weightAt: "input",
      normalise: true,
      capacity: { factor: 0.8, overflow: "next-best" },
    },
    losses: { importance: 1 },
  },
  "sigmoid with groups and bias": {
    spec: {
      experts: 4,
      select: topK(2),
      score: "sigmoid",
      groups: { count: 2, keep: 1 },
      bias: "selection-only",
      normalise: true,
      scale: 2.5,
    },
  },
  "sqrt-softplus after selection, gate with bias": {
    spec: {
      experts: 3,
      select: topK(2),
      score: "sqrt-softplus",
      order: "select-then-score",
      gate: { kind: "linear", bias: true },
    },
  },
  "top-p": {
    spec: { experts: 4, select: { by: "token", topP: 0.6 }, normalise: true },
    losses: { importance: 1, balance: 1 },
  },
  labels: {
    spec: {
      experts: 4,
      select: { by: "label", table: { a: [0], b: [1, 2, 3] }, k: 2 },
      order: "select-then-score",
    },
    labels: ["a", "b", "b", "a", "b"],
  },
  "expert choice": {
    spec: { experts: 3, select: { by: "expert", capacityFactor: 1.5 } },
    losses: { importance: 1, z: 0.1 },
  },
  "expert choice on the input, normalised": {
    spec: { experts: 3, select: { by: "expert", capacityFactor: 1 }, normalise: true, weightAt: "input" },
  },
  soft: {
    spec: { experts: 2, select: { by: "soft", slots: 2 } },
    losses: { tokenEntropy: 1, importance: 1 },
  },
};

test.each(Object.entries(cases))("finite differences through a whole layer: %s", async (_, given) => {
  const spec = parseRoutingSpec(given.spec);
  const experts = (given.experts ?? swiglu)(spec);
  const layer = new MoeLayer({ spec, width, experts, losses: parseLossSpec(given.losses ?? {}, spec) });
  bindRandom(layer, 12); // a seed at which no choice is within a step of a tie
  const x = tensor(device, new Random(5, "x").normals(tokens * width), [tokens, width]);
  const dy = tensor(device, new Random(6, "dy").normals(tokens * width), [tokens, width]);
  const draws = new Draws(device, 0);
  const objective = (): Tensor => {
    const { y, losses } = layer.forward(x, context({ training: given.training ?? false, draws }), {
      labels: given.labels,
    });
    const output = sum(mul(y, dy));
    return losses.total ? add(output, losses.total) : output;
  };
  const watched = [["x", x] as const, ...[...layer.tensors()].map(([name, p]) => [name, p.value] as const)];
  const { grads } = gradients(
    watched.map(([, t]) => t),
    objective,
  );
  for (const [i, [name, at]] of watched.entries()) {
    const analytic = Array.from(await grads[i].data());
    const slopes = await finiteDifferences(at, objective);
    const worst = Math.max(
      ...slopes.map(({ element, slope }) => Math.abs(slope - analytic[element]) / (1 + Math.abs(slope))),
    );
    expect(worst, name).toBeLessThan(tolerance);
    if (name.startsWith("router.gate"))
      expect(Math.max(...analytic.map(Math.abs)), `${name} gets a gradient`).toBeGreaterThan(1e-4);
    if (name === "router.bias")
      expect(analytic, "no gradient reaches the bias").toEqual(analytic.map(() => 0));
  }
});

/** Half the distance between the two points of a central difference. */
const step = 4e-3;
/** Of (a - b) / (1 + |b|): rounding of an f32 loss of about 10 over 2 * step, and the next term of the series. */
const tolerance = 2e-3;

/** Looks at this many elements of a tensor, evenly apart: enough to meet every expert. */
const looked = 12;

async function finiteDifferences(
  at: Tensor,
  objective: () => Tensor,
): Promise<{ element: number; slope: number }[]> {
  const start = Float32Array.from(await at.data());
  const slopes = [];
  for (let element = 0; element < start.length; element += Math.ceil(start.length / looked)) {
    const [up, down] = [step, -step].map((change) => {
      const moved = start.slice();
      moved[element] += change;
      at.write(moved);
      return scope(objective);
    });
    slopes.push({ element, slope: ((await up.item()) - (await down.item())) / (2 * step) });
  }
  at.write(start);
  return slopes;
}

test("bf16 is for the experts alone: routes and weights are those of f32, to the bit", async () => {
  const spec = parseRoutingSpec({ experts: 4, k: 2 });
  const layer = new MoeLayer({ spec, width, experts: swiglu(spec) });
  bindRandom(layer, 3);
  const x = tensor(device, new Random(5, "x").normals(tokens * width), [tokens, width]);
  const [exact, rounded] = (["f32", "bf16"] as const).map((precision) =>
    layer.forward(x, context({ precision })),
  );
  if (exact.route.by !== "token" || rounded.route.by !== "token") throw new Error("token choice");
  expect(await rounded.route.weights_TK.data()).toEqual(await exact.route.weights_TK.data());
  expect(await rounded.y.data()).not.toEqual(await exact.y.data());
});

test("taps name the layer; an input of any leading shape comes back in that shape", () => {
  const spec = parseRoutingSpec({ experts: 4, k: 2 });
  const layer = new MoeLayer({ spec, width, experts: swiglu(spec), layer: 6 });
  bindRandom(layer, 3);
  const heard: [string, number, unknown][] = [];
  const tap = (name: string, at: number, value: unknown): void => void heard.push([name, at, value]);
  const { y, route } = layer.forward(tensor(device, new Array(18).fill(1), [2, 3, width]), context({ tap }));
  expect(y.shape).toEqual([2, 3, width]);
  expect(heard).toContainEqual(["moe.route", 6, route]);
});

test("ReLU experts: a hand-worked row each", async () => {
  const experts = new ReluExperts({ count: 2, width: 2, hidden: 1 });
  experts.wi_EFD.bind(tensor(device, [1, 1, 1, -1], [2, 1, 2]));
  experts.wo_EDF.bind(tensor(device, [2, 0, 0, 3], [2, 2, 1]));
  const offsets = tensor(device, Int32Array.of(0, 1, 3));
  const y = experts.forward(tensor(device, [1, 2, 5, 1, 1, 5], [3, 2]), offsets, context());
  // Expert 0: relu(1 + 2) * (2, 0). Expert 1: relu(5 - 1) * (0, 3), then relu(1 - 5) * (0, 3).
  expect(Array.from(await y.data())).toEqual([6, 0, 0, 12, 0, 0]);
});

test("the sequences of an input [B, S, D] are its own: each gives out its places alone", async () => {
  const spec = parseRoutingSpec({ experts: 2, k: 1, capacity: { places: 1, over: "sequence" } });
  const layer = new MoeLayer({
    spec,
    width: 4,
    experts: new SwigluExperts({ count: 2, width: 4, hidden: 4, std: 0.5 }),
    std: 0.5,
  });
  materialise(layer, device, 1);
  const x = new Random(3, "tokens").normals(2 * 3 * 4);
  const run = async (values: Float32Array, shape: number[]): Promise<number[]> =>
    Array.from(await layer.forward(tensor(device, values, shape), context({ training: true })).y.data());
  const together = await run(x, [2, 3, 4]);
  const apart = [...(await run(x.slice(0, 12), [1, 3, 4])), ...(await run(x.slice(12), [1, 3, 4]))];
  expect(together).toEqual(apart);
  expect(together).not.toEqual(await run(x, [6, 4])); // all six as one sequence share two places
});
