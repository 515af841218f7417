import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device, type Tensor, tensor } from "../tensor/index.ts";
import {
  balanceLoss,
  importanceLoss,
  marginalEntropy,
  orthogonalityLoss,
  smoothLoad,
  tokenEntropy,
  zLoss,
} from "./balance.ts";
import { parseLossSpec } from "./loss-spec.ts";
import { routeLosses } from "./losses.ts";
import { addNoise } from "./noise.ts";
import { routeLogits } from "./route.ts";
import { parseRoutingSpec } from "./schema.ts";
import { simulateRoute } from "./simulate.ts";

/** Cases worked by hand; test/golden/routing.json holds the larger ones. */

const device = new Device(createReferenceKernels());
const rows = (...values: number[][]): Tensor =>
  tensor(device, values.flat(), [values.length, values[0].length]);
const ints = (...values: number[]): Tensor => tensor(device, Int32Array.from(values));

test("balance is 1 when even, E when all tokens are sure of one expert", async () => {
  const even = rows([0.25, 0.25, 0.25, 0.25]);
  expect(await balanceLoss(even, ints(1, 1, 1, 1)).item()).toBeCloseTo(1, 6);
  expect(await balanceLoss(rows([1, 0, 0, 0]), ints(5, 0, 0, 0)).item()).toBeCloseTo(4, 6);
});

test("importance: variance over squared mean", async () => {
  // Mean 2, variance 1.
  expect(await importanceLoss(tensor(device, [1, 3])).item()).toBeCloseTo(0.25, 6);
});

test("z: the square of ln 4 for four logits of 0", async () => {
  expect(await zLoss(rows([0, 0, 0, 0])).item()).toBeCloseTo(Math.log(4) ** 2, 5);
});

test("entropies: sure tokens that spread, unsure tokens that do not", async () => {
  const sure = rows([1, 0], [0, 1]);
  expect(await tokenEntropy(sure).item()).toBeCloseTo(0, 6);
  expect(await marginalEntropy(sure).item()).toBeCloseTo(Math.LN2, 6);
});

test("orthogonality: the mean squared cosine of different rows, whatever their lengths", async () => {
  expect(await orthogonalityLoss(rows([3, 0], [0, 0.1])).item()).toBeCloseTo(0, 6);
  expect(await orthogonalityLoss(rows([1, 2], [-2, -4])).item()).toBeCloseTo(1, 5);
  // Cosines: 0.6 for (0,1), 0 for (0,2), 0.8 for (1,2): (0.36 + 0 + 0.64) / 3.
  expect(await orthogonalityLoss(rows([1, 0], [3, 4], [0, 2])).item()).toBeCloseTo(1 / 3, 5);
});

test("smooth load: the chance that each expert is chosen when its noise is drawn again", async () => {
  // k = 1. Expert 0 stays ahead of the other's 0 with Phi(1/1); expert 1 overtakes 1 with Phi(-1/2).
  const noise = addNoise(rows([1, 0]), rows([1, 2]), rows([0, 0]));
  const load = await smoothLoad(noise, tensor(device, Int32Array.of(0), [1, 1])).data();
  expect(load[0]).toBeCloseTo(0.841345, 5);
  expect(load[1]).toBeCloseTo(0.308538, 5);
});

test("the total is the sum of what the coefficients ask for, and nothing else is computed", async () => {
  const spec = parseRoutingSpec({ experts: 2, k: 1 });
  const route = routeLogits(spec, rows([1, 0], [0, 3]));
  const { total, parts } = routeLosses(route, parseLossSpec({ balance: 2, z: -0.5 }, spec), null);
  expect(Object.keys(parts)).toEqual(["balance", "z"]);
  expect(await total!.item()).toBeCloseTo(
    2 * (await parts.balance!.item()) - 0.5 * (await parts.z!.item()),
    6,
  );
  expect(routeLosses(route, parseLossSpec({}, spec), null)).toEqual({ total: null, parts: {} });
});

test("the simulator names what is wrong with its input, and leaves no memory behind", async () => {
  const spec = parseRoutingSpec({ experts: 2, k: 1 });
  const labelled = parseRoutingSpec({ experts: 2, select: { by: "label", table: { text: [0] } } });
  await expect(simulateRoute(device, spec, { logits: [[1, 2], [1]] })).rejects.toThrow(
    /logits\.1: 1 numbers/,
  );
  await expect(simulateRoute(device, spec, { logits: [[1, 2]], bais: [1, 2] })).rejects.toThrow(
    /bais: unknown key/,
  );
  await expect(simulateRoute(device, spec, { logits: [[1, 2]], bias: [1, 2] })).rejects.toThrow(
    /bias: the spec has none/,
  );
  await expect(simulateRoute(device, labelled, { logits: [[1, 2]] })).rejects.toThrow(/labels: missing/);
  await expect(simulateRoute(device, labelled, { logits: [[1, 2]], labels: ["audio"] })).rejects.toThrow(
    /"audio" is not in select\.table/,
  );
  const noisy = parseRoutingSpec({ experts: 2, k: 1, noise: "gaussian" });
  await expect(
    simulateRoute(device, noisy, { logits: [[1, 2]], noise: [[1, 1]], training: false }),
  ).rejects.toThrow(/noise: there is none outside training/);
  const soft = parseRoutingSpec({ experts: 2, select: { by: "soft" } });
  await expect(
    simulateRoute(device, soft, { logits: [[1, 2]], losses: { balance: { weight: 1, over: "sequence" } } }),
  ).rejects.toThrow(/losses\.balance: always 1/);
  const before = device.memory.live;
  await simulateRoute(device, spec, { logits: [[1, 2]] });
  expect(device.memory.live).toBe(before);
});
