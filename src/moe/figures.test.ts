import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device, scope, tensor } from "../tensor/index.ts";
import { CollapseAlarm } from "./alarm.ts";
import { measureRoute, routeFigures } from "./figures.ts";
import { routeLogits } from "./route.ts";
import { parseRoutingSpec } from "./schema.ts";

const device = new Device(createReferenceKernels());

test("figures of a hand-worked route: four tokens, two experts, one place each", async () => {
  const spec = parseRoutingSpec({ experts: 2, k: 1, capacity: { factor: 0.5 } });
  const ln3 = Math.log(3);
  // p = (3/4, 1/4) for three tokens and (1/4, 3/4) for one; C = ceil(0.5 * 4 / 2) = 1.
  const logits = tensor(device, [ln3, 0, ln3, 0, ln3, 0, 0, ln3], [4, 2]);
  const figures = await routeFigures(scope(() => measureRoute(routeLogits(spec, logits))));
  expect(figures).toMatchObject({
    tokens: 4,
    experts: 2,
    counts: [3, 1],
    kept: [1, 1],
    dropped: 2,
    droppedShare: 0.5,
    unserved: 2,
  });
  expect(figures.cv).toBeCloseTo(0.5, 12); // deviations of 1 from a mean of 2
  expect(figures.maxOverMean).toBeCloseTo(1.5, 12);
  expect(figures.entropy).toBeCloseTo(2 * Math.LN2 - 0.75 * ln3, 6);
  expect(figures.probability[0]).toBeCloseTo(0.625, 6);
  expect(figures.marginalEntropy).toBeCloseTo(-(0.625 * Math.log(0.625) + 0.375 * Math.log(0.375)), 6);
});

test("no tokens: figures of 0, and reading a route itself leaves nothing on the device", async () => {
  const route = scope(() => routeLogits(parseRoutingSpec({ experts: 2, k: 1 }), tensor(device, [], [0, 2])));
  const before = device.memory.live;
  const figures = await routeFigures(route);
  expect(figures).toMatchObject({
    tokens: 0,
    counts: [0, 0],
    droppedShare: 0,
    entropy: 0,
    marginalEntropy: 0,
  });
  expect(device.memory.live).toBe(before);
});

test("measuring leaves one small tensor behind", () => {
  const spec = parseRoutingSpec({ experts: 4, k: 2 });
  const logits = tensor(
    device,
    new Array(32).fill(0).map((_, i) => i % 5),
    [8, 4],
  );
  const before = device.memory.live;
  const measure = scope(() => measureRoute(routeLogits(spec, logits)));
  expect(device.memory.live - before).toBeLessThanOrEqual(64);
  measure.packed.dispose();
});

/** Feeds the same counts for `steps` steps and gathers what rings. */
function feed(alarm: CollapseAlarm, counts: readonly number[], from: number, steps: number): string[] {
  const rung: string[] = [];
  for (let step = from; step < from + steps; step++) {
    for (const { kind } of alarm.observe(step, 2, counts)) rung.push(kind);
  }
  return rung;
}

test("the alarm names starved experts once, and again only after they have recovered", () => {
  const alarm = new CollapseAlarm({ experts: 4, picks: 1 });
  expect(feed(alarm, [33, 33, 33, 0], 0, 49), "too early to tell").toEqual([]);
  const [ring] = alarm.observe(49, 2, [33, 33, 33, 0]);
  expect(ring).toMatchObject({ kind: "starved", step: 49, layer: 2, experts: [3] });
  expect(ring.message).toMatch(/^layer 2: expert 3 /);
  expect(feed(alarm, [33, 33, 33, 0], 50, 200)).toEqual([]);
  expect(feed(alarm, [25, 25, 25, 25], 250, 200)).toEqual([]);
  expect(feed(alarm, [33, 33, 33, 0], 450, 400)).toEqual(["starved"]);
});

test("the alarm tells a collapsed layer from an uneven one", () => {
  expect(feed(new CollapseAlarm({ experts: 8, picks: 2 }), [50, 50, 0, 0, 0, 0, 0, 0], 0, 60)).toContain(
    "collapsed",
  );
  expect(feed(new CollapseAlarm({ experts: 8, picks: 2 }), [30, 20, 15, 10, 10, 5, 5, 5], 0, 200)).toEqual(
    [],
  );
  expect(
    feed(new CollapseAlarm({ experts: 2, picks: 2 }), [50, 50], 0, 60),
    "two of two is no choice",
  ).toEqual([]);
});
