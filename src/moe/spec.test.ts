import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ConclaveError } from "../errors.ts";
import { parseLossSpec } from "./loss-spec.ts";
import { parseRoutingSpec } from "./schema.ts";
import { placesOf } from "./spec.ts";
import { whyUntrainable } from "./trainable.ts";

const select = { by: "token", k: 2 };

test("defaults are filled in, short forms spelt out, and a parsed spec parses to itself", () => {
  const spec = parseRoutingSpec({
    experts: 8,
    k: 2,
    gate: "cosine",
    bias: "selection-only",
    noise: "gaussian",
    normalise: true,
  });
  expect(spec).toEqual({
    experts: 8,
    gate: { kind: "cosine", width: 4, temperature: 0.07 },
    score: "softmax",
    order: "score-then-select",
    select: { by: "token", k: 2 },
    groups: null,
    bias: { kind: "selection-only", rate: 0.001 },
    noise: { kind: "gaussian", sigma: null },
    normalise: { epsilon: 1e-20 },
    scale: 1,
    weightAt: "output",
    capacity: null,
  });
  expect(parseRoutingSpec(JSON.parse(JSON.stringify(spec)))).toEqual(spec);
});

test("a capacity is completed by what it is bound by, and a spread of 1/E becomes a number", () => {
  const capacityOf = (capacity: object) => parseRoutingSpec({ experts: 8, k: 2, capacity }).capacity;
  const usual = { overflow: "drop", priority: "position", over: "batch", evaluation: null };
  expect(capacityOf({ factor: 1.25 })).toEqual({ factor: 1.25, min: 0, multiple: 1, ...usual });
  expect(capacityOf({ places: 3 })).toEqual({ places: 3, ...usual });
  for (const capacity of [
    { factor: 2, over: 7, evaluation: 1 },
    { places: 3, over: "sequence", evaluation: 4 },
  ])
    expect(capacityOf(capacityOf(capacity)!)).toEqual(capacityOf(capacity));
  const { noise } = parseRoutingSpec({ experts: 8, k: 2, noise: { kind: "gaussian", sigma: "1/E" } });
  expect(noise).toEqual({ kind: "gaussian", sigma: 0.125 });
});

test("places, worked by hand", () => {
  const places = (capacity: object, tokens: number): number =>
    placesOf(parseRoutingSpec({ experts: 8, k: 2, capacity }).capacity!, tokens, 2, 8);
  expect(places({ factor: 1.25 }, 30)).toBe(10); // ceil(1.25 * 60 / 8) = ceil(9.375)
  expect(places({ factor: 1.25, multiple: 4 }, 30)).toBe(12);
  expect(places({ factor: 1.25, min: 13, multiple: 4 }, 30)).toBe(16);
  expect(places({ places: 3 }, 30)).toBe(3);
});

/** [what, spec beside 8 experts, whether its gate can learn from the task] */
const learnable: readonly (readonly [string, object, boolean])[] = [
  ["Switch: the probability itself", { k: 1 }, true],
  ["one weight over itself", { k: 1, normalise: true }, false],
  ["softmax over one logit", { k: 1, order: "select-then-score" }, false],
  ["a sigmoid of one logit", { k: 1, order: "select-then-score", score: "sigmoid" }, true],
  ["a sigmoid over itself", { k: 1, score: "sigmoid", normalise: true }, false],
  ["an epsilon that shows", { k: 1, normalise: { epsilon: 0.1 } }, true],
  ["two experts", { k: 2, normalise: true }, true],
  ["top-p that takes one", { select: { by: "token", topP: 0.9, maxK: 1 }, normalise: true }, false],
  ["top-p that may take more", { select: { by: "token", topP: 0.9, maxK: 2 }, normalise: true }, true],
  ["one of two of a label", { select: { by: "label", table: { a: [0, 1] }, k: 1 }, normalise: true }, false],
  ["labels that leave one", { select: { by: "label", table: { a: [0], b: [1] } }, normalise: true }, true],
  ["a hash", { k: 1, gate: { kind: "hash", vocabulary: 9 }, normalise: true }, true],
  ["expert choice", { select: { by: "expert", capacityFactor: 1 }, normalise: true }, true],
];

test.each(learnable)("%s: %j: its gate can learn: %j", (_, fields, can) => {
  const untrainable = whyUntrainable(parseRoutingSpec({ experts: 8, ...fields }));
  expect(untrainable === null).toBe(can);
  if (untrainable) expect(untrainable.why).toMatch(/is 1 whatever the gate says/);
});

test("every spec in the table of published routers parses", () => {
  const reference = readFileSync(new URL("../../docs/routing.md", import.meta.url), "utf8");
  const table = reference.slice(reference.indexOf("## Published routers"));
  const specs = [...table.matchAll(/^\|[^|]+\| `(\{.+?\})`/gm)].map(([, json]) => JSON.parse(json) as object);
  expect(specs.length).toBeGreaterThan(9);
  for (const spec of specs) expect(parseRoutingSpec({ experts: 64, ...spec })).toMatchObject({ experts: 64 });
});

const refused: readonly [key: string, spec: Record<string, unknown>][] = [
  ["epxerts", { experts: 8, select, epxerts: 1 }],
  ["experts", { experts: 0, select }],
  ["experts", { experts: 2.5, select }],
  ["select", { experts: 8 }],
  ["select.k", { experts: 8, select: { by: "token" } }],
  ["select.k", { experts: 8, select: { by: "token", k: 9 } }],
  ["select.k", { experts: 8, k: 9 }],
  ["select.k", { experts: 8, select: { by: "token", k: 2, topP: 0.5 } }],
  ["k", { experts: 8, k: 2, select: { by: "soft" } }],
  ["k", { experts: 8, k: 2, select: { by: "token", k: 3 } }],
  ["k", { experts: 8, k: 2, select: { by: "token", topP: 0.5 } }],
  ["select.topP", { experts: 8, select: { by: "token", topP: 1.2 } }],
  ["select.maxK", { experts: 8, select: { by: "token", topP: 0.9, maxK: 9 } }],
  ["select.maxK", { experts: 8, select: { by: "token", maxK: 2 } }],
  ["select.by", { experts: 8, select: { by: "chance" } }],
  ["select.slots", { experts: 8, select: { by: "soft", slots: 0 } }],
  ["select.capacityFactor", { experts: 8, select: { by: "expert" } }],
  ["select.table.text", { experts: 2, select: { by: "label", table: { text: [2] } } }],
  ["select.table.text", { experts: 4, select: { by: "label", table: { text: [1, 1] } } }],
  ["select.table", { experts: 4, select: { by: "label", table: {} } }],
  ["gate.kind", { experts: 8, select, gate: "oracle" }],
  ["gate.temperature", { experts: 8, select, gate: { kind: "cosine", temperature: 0 } }],
  ["gate.vocabulary", { experts: 8, select, gate: "hash" }],
  ["gate.temperature", { experts: 8, select, gate: { kind: "linear", temperature: 1 } }],
  ["score", { experts: 8, select, score: "max" }],
  ["groups.count", { experts: 8, select, groups: { count: 3, keep: 1 } }],
  ["groups.keep", { experts: 8, select, groups: { count: 4, keep: 5 } }],
  ["groups.keep", { experts: 8, select: { by: "token", k: 3 }, groups: { count: 4, keep: 1 } }],
  ["groups.score", { experts: 4, select, groups: { count: 4, keep: 2, score: "top2-sum" } }],
  ["capacity.factor", { experts: 8, select, capacity: { factor: 0 } }],
  ["capacity.overflow", { experts: 8, select, capacity: { factor: 1, overflow: "spill" } }],
  ["capacity.factor", { experts: 8, select, capacity: {} }],
  ["capacity.places", { experts: 8, select, capacity: { factor: 1, places: 3 } }],
  ["capacity.places", { experts: 8, select, capacity: { places: 0 } }],
  ["capacity.min", { experts: 8, select, capacity: { places: 3, min: 1 } }],
  ["capacity.multiple", { experts: 8, select, capacity: { places: 3, multiple: 4 } }],
  ["capacity.over", { experts: 8, select, capacity: { factor: 1, over: "token" } }],
  ["capacity.over", { experts: 8, select, capacity: { factor: 1, over: 0 } }],
  ["capacity.evaluation", { experts: 8, select, capacity: { factor: 1, evaluation: 0 } }],
  ["capacity.evaluation", { experts: 8, select, capacity: { places: 3, evaluation: 1.5 } }],
  ["capacity.priority", { experts: 8, select, capacity: { factor: 1, priority: "age" } }],
  ["noise.sigma", { experts: 8, select, noise: { kind: "gaussian", sigma: 0 } }],
  ["noise.sigma", { experts: 8, select, noise: { kind: "gaussian", sigma: "1/K" } }],
  ["noise.epsilon", { experts: 8, select, noise: { kind: "jitter", epsilon: 1 } }],
  ["bias.rate", { experts: 8, select, bias: { kind: "selection-only", rate: -1 } }],
  ["scale", { experts: 8, select, scale: 0 }],
  ["weightAt", { experts: 8, select, weightAt: "middle" }],
  ["order", { experts: 8, select: { by: "token", topP: 0.5 }, order: "select-then-score" }],
  ["capacity", { experts: 8, select: { by: "expert", capacityFactor: 2 }, capacity: { factor: 1 } }],
  ["score", { experts: 8, select: { by: "soft" }, score: "sigmoid" }],
  ["noise", { experts: 8, select, gate: { kind: "hash", vocabulary: 10 }, noise: "jitter" }],
];

test.each(refused)("%s is named when it is wrong: %j", (key, spec) => {
  const error = errorOf(() => parseRoutingSpec(spec));
  expect(error.code).toBe("spec");
  expect(error.message).toMatch(new RegExp(`^routing spec: ${key.replaceAll(".", "\\.")}: [^\\n]+$`));
});

test("a loss without a meaning for the routing is refused by name", () => {
  const spec = parseRoutingSpec({ experts: 4, select });
  expect(errorOf(() => parseLossSpec({ load: 0.1 }, spec)).message).toMatch(/^losses: load: .*gaussian/);
  expect(errorOf(() => parseLossSpec({ ballance: 0.1 }, spec)).message).toBe("losses: ballance: unknown key");
  expect(parseLossSpec({ balance: 0.01 }, spec)).toMatchObject({
    balance: { weight: 0.01, over: "batch" },
    z: 0,
  });
});

function errorOf(body: () => unknown): ConclaveError {
  try {
    body();
  } catch (error) {
    if (error instanceof ConclaveError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
