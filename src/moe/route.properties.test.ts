import fc from "fast-check";
import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "../tensor/index.ts";
import { parseRoutingSpec } from "./schema.ts";
import { type SimulatedTokens, simulateRoute } from "./simulate.ts";
import { picksOf, type RoutingSpec } from "./spec.ts";

const device = new Device(createReferenceKernels());

interface Routed {
  readonly spec: RoutingSpec;
  readonly logits: number[][];
}

/** Token-choice specs of every kind, with logits on a coarse grid so that ties are common. */
const routed = (capacity: boolean): fc.Arbitrary<Routed> =>
  fc
    .record({
      groupSize: fc.constantFrom(2, 3),
      groupCount: fc.integer({ min: 1, max: 3 }),
      tokens: fc.integer({ min: 1, max: 9 }),
      score: fc.constantFrom("softmax", "sigmoid", "sqrt-softplus"),
      later: fc.boolean(),
      topP: fc.boolean(),
      grouped: fc.boolean(),
      normalise: fc.boolean(),
      overflow: fc.constantFrom("drop", "next-best"),
      priority: fc.constantFrom("position", "score"),
      factor: fc.double({ min: 0.2, max: 1.5, noNaN: true }),
    })
    .chain((drawn) => {
      const experts = drawn.groupSize * drawn.groupCount;
      const keep = Math.max(1, drawn.groupCount - 1);
      const most = drawn.grouped ? keep * drawn.groupSize : experts;
      const topP = drawn.topP && drawn.score === "softmax";
      const spec = (k: number): RoutingSpec =>
        parseRoutingSpec({
          experts,
          score: drawn.score,
          order: drawn.later && !topP ? "select-then-score" : "score-then-select",
          select: topP ? { by: "token", topP: 0.7, maxK: k } : { by: "token", k },
          groups: drawn.grouped ? { count: drawn.groupCount, keep } : null,
          normalise: drawn.normalise,
          scale: 1.5,
          capacity: capacity
            ? { factor: drawn.factor, overflow: drawn.overflow, priority: drawn.priority }
            : null,
        });
      const row = fc.array(
        fc.integer({ min: -4, max: 4 }).map((n) => n / 2),
        { minLength: experts, maxLength: experts },
      );
      return fc.record({
        spec: fc.integer({ min: 1, max: most }).map(spec),
        logits: fc.array(row, { minLength: drawn.tokens, maxLength: drawn.tokens }),
      });
    });

const route = async ({ spec, logits }: Routed): Promise<SimulatedTokens> =>
  (await simulateRoute(device, spec, { logits })) as SimulatedTokens;
const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const runs = { numRuns: 60 };

test("no token holds an expert twice, no expert is over its capacity, and every place is kept or dropped", async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(routed(true), routed(false)), async (given) => {
      const { experts, counts, kept, capacity, dropped } = await route(given);
      for (const row of experts) {
        const held = row.filter((e) => e >= 0);
        expect(new Set(held).size).toBe(held.length);
        expect(row.length).toBeLessThanOrEqual(picksOf(given.spec)!);
      }
      expect(kept).toEqual(
        counts.map((_, e) => total(experts.map((row) => row.filter((id) => id === e).length))),
      );
      if (capacity !== null) expect(Math.max(...kept)).toBeLessThanOrEqual(capacity);
      else expect(dropped).toBe(0);
      expect(dropped).toBe(total(counts) - total(kept));
    }),
    runs,
  );
});

test("a dropped place has no weight, and a normalised token's weights sum to scale unless it lost some", async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(routed(true), routed(false)), async (given) => {
      const { experts, weights } = await route(given);
      const { spec } = given;
      experts.forEach((row, t) => {
        row.forEach((e, rank) => {
          if (e < 0) expect(weights[t][rank]).toBe(0);
        });
        const sumsToOne =
          spec.normalise !== null || (spec.order === "select-then-score" && spec.score === "softmax");
        const whole =
          row.every((e) => e >= 0) || (spec.capacity?.overflow === "next-best" && row.some((e) => e >= 0));
        if (sumsToOne && whole) expect(total(weights[t])).toBeCloseTo(spec.scale, 4);
        else if (sumsToOne) expect(total(weights[t])).toBeLessThan(spec.scale);
      });
    }),
    runs,
  );
});

test("permuting tokens permutes a dropless route", async () => {
  await fc.assert(
    fc.asyncProperty(routed(false), fc.infiniteStream(fc.nat()), async ({ spec, logits }, keys) => {
      const key = logits.map(() => keys.next().value as number);
      const order = logits.map((_, t) => t).sort((a, b) => key[a] - key[b]);
      const straight = await route({ spec, logits });
      const permuted = await route({ spec, logits: order.map((t) => logits[t]) });
      expect(permuted.experts).toEqual(order.map((t) => straight.experts[t]));
      expect(permuted.weights).toEqual(order.map((t) => straight.weights[t]));
      expect(permuted.counts).toEqual(straight.counts);
    }),
    runs,
  );
});

test("next best leaves a place empty only when every allowed expert is full or held", async () => {
  await fc.assert(
    fc.asyncProperty(routed(true), async (given) => {
      const { spec } = given;
      fc.pre(spec.capacity?.overflow === "next-best" && spec.groups === null);
      const { experts, kept, capacity } = await route(given);
      for (const row of experts) {
        if (!row.includes(-1)) continue;
        kept.forEach((places, e) => {
          if (places < capacity!) expect(row).toContain(e);
        });
      }
    }),
    runs,
  );
});
