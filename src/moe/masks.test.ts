import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device, tensor } from "../tensor/index.ts";
import { type Route, routeLogits, type TokenRoute } from "./route.ts";
import { parseRoutingSpec } from "./schema.ts";
import { type SimulatedTokens, simulateRoute } from "./simulate.ts";
import { tokenLabels } from "./units.ts";

/** Labels and requests rule experts out before groups are compared; NaN is never taken for "no experts". */

const device = new Device(createReferenceKernels());

async function route(spec: object, input: object): Promise<SimulatedTokens> {
  return (await simulateRoute(device, parseRoutingSpec(spec), input)) as SimulatedTokens;
}

test("an expert of the best group is left out: the token fills its places from the groups that stay", async () => {
  // Groups {0,1}, {2,3}, {4,5}; two stay. Best first: 0 (5), 2 (4), 3 (3), 1 (2), 4 (1), 5 (0).
  const spec = { experts: 6, k: 3, groups: { count: 3, keep: 2 }, order: "select-then-score" };
  const logits = [[5, 2, 4, 3, 1, 0]];
  expect((await route(spec, { logits })).experts).toEqual([[0, 2, 3]]);
  // Without 0 its group scores 2 and still comes second: 2, 3, then 1.
  expect((await route(spec, { logits, without: [[0]] })).experts).toEqual([[2, 3, 1]]);
  // Without 0 and 1 nothing of the group is left, and the third takes its place.
  expect((await route(spec, { logits, without: [[0, 1]] })).experts).toEqual([[2, 3, 4]]);
});

test("a group that would cost the token a place is passed over", async () => {
  // All four places of two groups are wanted. Without 1, the best group {0,1} has one left: {2,3} and {4,5} give four.
  const spec = { experts: 6, k: 4, groups: { count: 3, keep: 2 }, order: "select-then-score" };
  const logits = [[9, 8, 1, 2, 3, 4]];
  expect((await route(spec, { logits })).experts).toEqual([[0, 1, 5, 4]]);
  expect((await route(spec, { logits, without: [[1]] })).experts).toEqual([[5, 4, 3, 2]]);
});

test("labels limit before groups, and a request limits further", async () => {
  const spec = {
    experts: 6,
    select: { by: "label", table: { text: [0, 2, 3, 4], image: [1, 5] }, k: 2 },
    groups: { count: 3, keep: 1 },
    order: "select-then-score",
  };
  // Text has 0 | 2 3 | 4 left in the groups: only {2,3} gives two.
  const input = {
    logits: [
      [9, 9, 1, 2, 3, 4],
      [9, 8, 1, 2, 3, 4],
    ],
    labels: ["text", "image"],
  };
  expect((await route(spec, input)).experts).toEqual([[3, 2], [1]]);
  expect((await route(spec, { ...input, without: [[3], [1]] })).experts).toEqual([[0], [5]]);
});

test("whatever is ruled out, a token gets as many experts as any choice of groups could give it", async () => {
  const drawn = fc
    .record({
      count: fc.integer({ min: 1, max: 4 }),
      size: fc.integer({ min: 1, max: 3 }),
      top2: fc.boolean(),
    })
    .chain(({ count, size, top2 }) =>
      fc.record({
        count: fc.constant(count),
        size: fc.constant(size),
        score: fc.constant(top2 && size > 1 ? "top2-sum" : "max"),
        keep: fc.integer({ min: 1, max: count }),
        k: fc.integer({ min: 1, max: count * size }),
        logits: fc.array(fc.integer({ min: -3, max: 3 }), {
          minLength: count * size,
          maxLength: count * size,
        }),
        without: fc.subarray(
          Array.from({ length: count * size }, (_, e) => e),
          { maxLength: count * size - 1 },
        ),
      }),
    );
  await fc.assert(
    fc.asyncProperty(drawn, async ({ count, size, score, keep, k, logits, without }) => {
      fc.pre(k <= keep * size);
      const spec = { experts: count * size, k, score: "sigmoid", groups: { count, keep, score } };
      const { experts } = await route(spec, { logits: [logits], without: [without] });
      const left = Array.from(
        { length: count },
        (_, g) => size - without.filter((e) => Math.floor(e / size) === g).length,
      );
      const most = left
        .toSorted((a, b) => b - a)
        .slice(0, keep)
        .reduce((sum, n) => sum + n, 0);
      expect(experts[0]).toHaveLength(Math.min(k, most));
      expect(experts[0].some((e) => without.includes(e))).toBe(false);
    }),
    { numRuns: 150 },
  );
});

test("nothing left for a token is refused with its place", async () => {
  const logits = [
    [1, 2],
    [1, 2],
  ];
  await expect(route({ experts: 2, k: 1 }, { logits, without: [[], [0, 1]] })).rejects.toThrow(
    "without.1: no expert is left",
  );
  const labelled = { experts: 2, select: { by: "label", table: { a: [0], b: [1] } } };
  await expect(route(labelled, { logits, labels: ["a", "b"], without: [[1], [1]] })).rejects.toThrow(
    "without.1: no expert is left",
  );
});

test("an expert that is ruled out is not taken, whatever its logit overflowed to", async () => {
  const spec = parseRoutingSpec({ experts: 4, k: 2, score: "sigmoid" });
  const labelled = parseRoutingSpec({ experts: 4, select: { by: "label", table: { a: [1, 2] } } });
  const mask_TE = tensor(device, [-Infinity, 0, 0, 0], [1, 4]);
  const units = { sequence: 1, labels: tokenLabels(device, ["a"]), priority_T: null };
  for (const logit of [Number.NaN, Infinity]) {
    const logits_TE = tensor(device, [logit, 1, 2, 3], [1, 4]);
    const masked = routeLogits(spec, logits_TE, { limits: { active_T: null, mask_TE } }) as TokenRoute;
    expect([...(await masked.ids_TK.data())]).toEqual([3, 2]);
    const limited = routeLogits(labelled, logits_TE, { units }) as TokenRoute;
    expect([...(await limited.ids_TK.data())].toSorted()).toEqual([1, 2]);
  }
});

test("a full expert's token with NaN logits takes a next best, and its weight is NaN", async () => {
  const spec = parseRoutingSpec({ experts: 3, k: 1, capacity: { places: 1, overflow: "next-best" } });
  const nan = Number.NaN;
  const route = routeLogits(spec, tensor(device, [nan, 1, 2, nan, 1, 2], [2, 3])) as TokenRoute;
  expect([...(await route.kept_TK.data())]).toEqual([0, 1]);
  expect([...(await route.weights_TK.data())].every(Number.isNaN)).toBe(true);
});

test("more places than tokens are as good as that many", async () => {
  for (const capacity of [{ places: 1e10 }, { factor: 1e12 }, { factor: 1, multiple: 1e10 }]) {
    const { experts } = await route(
      { experts: 2, k: 1, capacity },
      {
        logits: [
          [1, 0],
          [1, 0],
        ],
      },
    );
    expect(experts).toEqual([[0], [0]]);
  }
});

describe("a NaN among a token's logits makes its weights NaN, and no other token's", () => {
  const kinds: readonly [string, object][] = [
    ["softmax, top-k", { k: 2 }],
    ["top-k, softmax", { k: 2, order: "select-then-score" }],
    ["sigmoid", { k: 2, score: "sigmoid" }],
    ["normalised", { k: 2, normalise: true }],
    ["top-p", { select: { by: "token", topP: 0.5, maxK: 2 } }],
    ["top-p of sigmoids", { select: { by: "token", topP: 0.5, maxK: 2 }, score: "sigmoid" }],
    ["groups", { k: 1, groups: { count: 2, keep: 1 } }],
    ["groups by two", { k: 1, score: "sigmoid", groups: { count: 2, keep: 1, score: "top2-sum" } }],
    ["labels", { select: { by: "label", table: { text: [0, 1, 2] }, k: 2 } }],
    ["a capacity by score", { k: 2, capacity: { factor: 2, priority: "score" } }],
    ["a capacity, next best", { k: 2, capacity: { factor: 2, overflow: "next-best" } }],
    ["expert choice", { select: { by: "expert", capacityFactor: 1 } }],
  ];
  test.each(kinds)("%s", async (_, fields) => {
    const spec = parseRoutingSpec({ experts: 4, ...fields });
    const logits_TE = tensor(device, [1, 2, 0, 3, 1, Number.NaN, 0, 3, 2, 1, 3, 0], [3, 4]);
    const units = { sequence: 3, labels: tokenLabels(device, ["text", "text", "text"]), priority_T: null };
    const made: Route = routeLogits(spec, logits_TE, { units });
    const weights = made.by === "token" ? made.weights_TK : made.by === "expert" ? made.weights_TE : null;
    const values = Array.from(await weights!.data());
    const width = weights!.shape[1];
    const broken = [0, 1, 2].map((t) => values.slice(t * width, (t + 1) * width).some(Number.isNaN));
    expect(broken).toEqual([false, true, false]);
  });
});
