import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { context, Device, Draws, Random, type Tensor, tensor } from "../tensor/index.ts";
import { SelectionBias } from "./bias.ts";
import { balancedTable, CosineGate } from "./gate.ts";
import { addNoise, jitter } from "./noise.ts";
import { Router } from "./router.ts";
import { parseRoutingSpec } from "./schema.ts";

const device = new Device(createReferenceKernels());
const rows = (...values: number[][]): Tensor =>
  tensor(device, values.flat(), [values.length, values[0].length]);
const near = async (got: Tensor, wanted: readonly number[]): Promise<void> => {
  const values = await got.data();
  wanted.forEach((value, i) => {
    expect(values[i]).toBeCloseTo(value, 4);
  });
};

test("cosine gate: the angle decides, not the length, over the temperature", async () => {
  const gate = new CosineGate(2, 2, { kind: "cosine", width: 2, temperature: 0.5 }, 1);
  gate.projection_ND.bind(rows([1, 0], [0, 1]));
  gate.embedding_EN.bind(rows([5, 0], [0.6, 0.8]));
  gate.logScale.bind(tensor(device, [0]));
  // cos(3-4-5 triangle, x axis) = 0.6; cos with (0.6, 0.8) = 1; both over 0.5. A token ten times as long gets the same.
  await near(gate.logits(rows([3, 4], [30, 40])), [1.2, 2, 1.2, 2]);
});

test("cosine gate: the learned temperature stops at 0.01", async () => {
  const gate = new CosineGate(1, 1, { kind: "cosine", width: 1, temperature: 0.5 }, 1);
  gate.projection_ND.bind(rows([1]));
  gate.embedding_EN.bind(rows([1]));
  gate.logScale.bind(tensor(device, [100]));
  await near(gate.logits(rows([1])), [100]);
});

test("hash gate: fixed by token id and seed, balanced, k distinct experts of equal weight, no parameters", async () => {
  const spec = parseRoutingSpec({ experts: 4, k: 2, gate: { kind: "hash", vocabulary: 10, seed: 3 } });
  const router = new Router({ spec, width: 2 });
  expect([...router.tensors()]).toEqual([]);
  const ids = [7, 1, 7, 9];
  const route = router.route(rows([1, 2], [3, 4], [-5, 6], [0, 0]), context(), {
    tokenIds: tensor(device, Int32Array.from(ids)),
  });
  if (route.by !== "token") throw new Error("a hash gate is token choice");
  const experts = Array.from(await route.ids_TK.data());
  expect(experts.slice(0, 2)).toEqual(experts.slice(4, 6));
  const first_V = balancedTable(10, 4, new Random(3, "hash-gate"));
  ids.forEach((id, t) => {
    const expected = [first_V[id], (first_V[id] + 1) % 4].sort();
    expect(experts.slice(2 * t, 2 * t + 2).sort()).toEqual(expected);
  });
  await near(route.weights_TK, new Array(8).fill(0.5));
});

test("a balanced table uses every expert equally often, to within one, in an order the seed decides", () => {
  const table = balancedTable(103, 8, new Random(1, "t"));
  const counts = new Array<number>(8).fill(0);
  for (const expert of table) counts[expert]++;
  expect(Math.min(...counts)).toBe(12);
  expect(Math.max(...counts)).toBe(13);
  expect(balancedTable(103, 8, new Random(2, "t"))).not.toEqual(table);
});

test("noise is for training alone; its size starts at softplus(0) = ln 2", async () => {
  const spec = parseRoutingSpec({ experts: 3, k: 1, noise: "gaussian", order: "select-then-score" });
  const router = new Router({ spec, width: 2 });
  for (const [, parameter] of router.tensors())
    parameter.bind(tensor(device, new Array(6).fill(0), parameter.shape));
  const x = rows([1, 2], [3, 4]);
  const quiet = router.route(x, context());
  if (quiet.by !== "token") throw new Error("token choice");
  expect(quiet.noise).toBeNull();
  await near(quiet.logits_TE, [0, 0, 0, 0, 0, 0]);
  expect(() => router.route(x, context({ training: true }))).toThrow(
    "router: the spec has noise in training, and the context draws no random numbers",
  );
  const draws = new Draws(device, 9);
  draws.set(5);
  const noisy = router.route(x, context({ training: true, draws }));
  if (noisy.by !== "token") throw new Error("token choice");
  const drawn = new Random(9, "noise:0", 5).normals(6);
  await near(
    noisy.logits_TE,
    Array.from(drawn, (n) => n * Math.LN2),
  );
});

test("gaussian noise adds std times the draw; jitter multiplies by 1 give or take epsilon", async () => {
  await near(addNoise(rows([1, 2]), rows([0.5, 2]), rows([2, -1])).noisy_TE, [2, 0]);
  const jittered = await jitter(rows(new Array(200).fill(2)), 0.1, new Draws(device, 4), "j").data();
  expect(Math.min(...jittered)).toBeGreaterThanOrEqual(2 * 0.9 - 1e-6);
  expect(Math.max(...jittered)).toBeLessThanOrEqual(2 * 1.1 + 1e-6);
  expect(Math.max(...jittered) - Math.min(...jittered)).toBeGreaterThan(0.3);
});

test("the selection bias moves by rate times the sign of what is missing to the mean", async () => {
  const bias = new SelectionBias(4, 0.01);
  bias.bias_E.bind(tensor(device, [0, 0.5, 0, -0.5]));
  const counts = tensor(device, Int32Array.of(10, 2, 6, 6));
  const before = device.memory.live;
  bias.update(counts);
  await near(bias.bias_E.value, [-0.01, 0.51, 0, -0.5]);
  expect(device.memory.live).toBe(before);
});
