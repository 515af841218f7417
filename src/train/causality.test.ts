import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { selectKernels } from "../kernels/select.ts";
import type { Decoder } from "../models/index.ts";
import { type Causality, causalityOf, noLosses, parseRoutingSpec, type RoutingSpec } from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import { context, Device, scope, tensor } from "../tensor/index.ts";
import { resolveConfig } from "./config.ts";
import { modelOf } from "./model.ts";

/** A spec's declared causality against what a small language model does: its logits alone, beside others, and with the future changed. */

const vocabulary = 19;
const length = 6;
/** The first token of the future. */
const later = 4;

/** Specs of every kind of selection, with and without what may look around. */
const specs: fc.Arbitrary<RoutingSpec> = fc
  .record({
    select: fc.constantFrom<object>(
      { by: "token", k: 1 },
      { by: "token", k: 2 },
      { by: "token", topP: 0.6, maxK: 3 },
      { by: "token", topP: 0.6, maxK: 1 },
      { by: "expert", capacityFactor: 1.5 },
      { by: "soft", slots: 2 },
      { by: "label", table: { text: [0, 2, 3] }, k: 1 },
    ),
    score: fc.constantFrom("softmax", "sigmoid"),
    keep: fc.constantFrom(null, 1, 2),
    gate: fc.constantFrom("linear", "cosine", "mlp"),
    biased: fc.boolean(),
    normalise: fc.boolean(),
    capacity: fc.option(
      fc.record({
        bound: fc.constantFrom({ factor: 0.75 }, { places: 2 }),
        overflow: fc.constantFrom("drop", "next-best"),
        priority: fc.constantFrom("position", "score", "given"),
        over: fc.constantFrom("batch", "sequence", 5),
        evaluation: fc.constantFrom(null, 1, 2),
      }),
    ),
  })
  .map(({ select, score, keep, gate, biased, normalise, capacity }) => {
    const { by } = select as { by: string };
    const byToken = by === "token" || by === "label";
    const { bound, ...rest } = capacity ?? { bound: {} };
    return parseRoutingSpec({
      experts: 4,
      select,
      score: by === "soft" ? "softmax" : score,
      gate,
      groups: keep !== null && by === "token" && !("topP" in select) ? { count: 2, keep } : null,
      bias: biased && byToken && !("topP" in select) ? "selection-only" : null,
      normalise: normalise && by !== "soft",
      capacity: byToken && capacity ? { ...bound, ...rest } : null,
    });
  });

function modelWith(routing: RoutingSpec, device: Device, seed: number): Decoder {
  const config = resolveConfig({ preset: "tiny", overrides: { data: { sequence: length } } });
  const model = { ...config.model, width: 8, heads: 2, kvHeads: 1, expertWidth: 8, layers: 2, initStd: 0.7 };
  const made = modelOf(
    { ...config, model: { ...model, routing }, losses: noLosses },
    { vocabSize: vocabulary, bosId: 0, eosId: 0 },
    "moe",
  );
  materialise(made, device, seed);
  return made;
}

/** Logits of the first `later` tokens of one of the sequences. */
async function logits(
  model: Decoder,
  sequences: readonly (readonly number[])[],
  which = 0,
): Promise<number[]> {
  const { device } = model.norm.weight.value;
  const made = scope(() => {
    const ids_BS = tensor(device, Int32Array.from(sequences.flat()), [sequences.length, length]);
    const labels = new Array<string>(ids_BS.size).fill("text");
    return model.forward(ids_BS, context(), { labels }).logits_TV;
  });
  const values = Array.from(await made.data());
  made.dispose();
  const start = which * length * vocabulary;
  return values.slice(start, start + later * vocabulary);
}

const text = fc.array(fc.integer({ min: 0, max: vocabulary - 1 }), { minLength: length, maxLength: length });

/** The largest difference of the logits when neighbours are there, and when the future is another. */
async function differences(
  device: Device,
  spec: RoutingSpec,
  [own, other, future]: readonly number[][],
  seed: number,
): Promise<{ beside: number; future: number }> {
  const model = modelWith(spec, device, seed);
  const alone = await logits(model, [own]);
  const beside = [...(await logits(model, [own, other])), ...(await logits(model, [other, own], 1))];
  const changed = await logits(model, [[...own.slice(0, later), ...future.slice(later)]]);
  model.dispose();
  const apart = (values: number[]): number =>
    Math.max(...values.map((value, i) => Math.abs(value - alone[i % alone.length])));
  return { beside: apart(beside), future: apart(changed) };
}

async function holds(device: Device, tolerance: number, runs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(specs, fc.tuple(text, text, text), fc.nat(999), async (spec, texts, seed) => {
      const causality = causalityOf(spec);
      const found = await differences(device, spec, texts, seed);
      if (causality !== "future") expect(found.future).toBeLessThanOrEqual(tolerance);
      if (causality === "causal") expect(found.beside).toBeLessThanOrEqual(tolerance);
    }),
    { numRuns: runs },
  );
}

test("what is declared causal is so to the bit with the reference kernels, whoever is beside it and whatever follows", async () => {
  await holds(new Device(createReferenceKernels()), 0, 120);
});

test("and within 1e-5 with the kernels of this machine", async () => {
  const { kernels } = await selectKernels({ threads: 2 });
  await holds(new Device(kernels), 1e-5, 120);
  kernels.dispose();
});

describe("a spec that is declared otherwise does look around", () => {
  const capacity = { places: 1, evaluation: 1 };
  const cases: readonly [string, Causality, object][] = [
    ["places for whoever comes first", "batch", { k: 1, capacity }],
    [
      "places for whoever comes first, and the next best",
      "batch",
      { k: 1, capacity: { ...capacity, overflow: "next-best" } },
    ],
    ["places by score", "future", { k: 1, capacity: { ...capacity, priority: "score" } }],
    ["places of second choices", "future", { k: 2, capacity: { places: 2, evaluation: 2 } }],
    ["expert choice", "future", { select: { by: "expert", capacityFactor: 1 } }],
    ["soft routing", "future", { select: { by: "soft" } }],
  ];
  test.each(cases)("%s: %s", async (_, causality, fields) => {
    const spec = parseRoutingSpec({ experts: 4, ...fields });
    expect(causalityOf(spec)).toBe(causality);
    const device = new Device(createReferenceKernels());
    const found = { beside: 0, future: 0 };
    for (let seed = 0; seed < 8; seed++) {
      const texts = [3, 5, 7].map((n) => Array.from({ length }, (_, i) => (i * n + seed) % vocabulary));
      const one = await differences(device, spec, texts, seed);
      found.beside = Math.max(found.beside, one.beside);
      found.future = Math.max(found.future, one.future);
    }
    expect(found.beside).toBeGreaterThan(1e-3);
    if (causality === "future") expect(found.future).toBeGreaterThan(1e-3);
    else expect(found.future).toBe(0);
  });
});

test("a capacity without evaluation is causal, whatever it does in training", () => {
  for (const priority of ["position", "score", "given"])
    expect(causalityOf(parseRoutingSpec({ experts: 4, k: 2, capacity: { factor: 1, priority } }))).toBe(
      "causal",
    );
});
