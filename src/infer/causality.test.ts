import { describe, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { type Decoder, MixtralModel, plainRope } from "../models/index.ts";
import { parseRoutingSpec } from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import { context, Device, scope, tensor } from "../tensor/index.ts";
import { Engine } from "./engine.ts";
import { generate } from "./generate.ts";
import type { GeneratedToken, RequestOptions } from "./options.ts";
import { Session } from "./session.ts";

/** A model that is not causal writes what its prefixes predict, whoever else asks and however often it was asked before. */

const device = new Device(createReferenceKernels());
const vocabulary = 23;

function modelWith(fields: object): Decoder {
  const model = new MixtralModel({
    vocabulary,
    width: 8,
    layers: 2,
    heads: 2,
    kvHeads: 1,
    headDim: 4,
    maxPositions: 24,
    rope: plainRope(10000),
    normEps: 1e-5,
    tied: false,
    initStd: 0.7,
    bosId: null,
    eosIds: [],
    padId: null,
    expertHidden: 8,
    window: 0,
    routing: parseRoutingSpec({ experts: 4, ...fields }),
    sharedHidden: 0,
    balanceCoefficient: 0,
  });
  materialise(model, device, 5);
  return model;
}

const greedy: RequestOptions = { maxTokens: 6, temperature: 0 };
const prompts = [[3, 1, 4, 1, 5], [9, 2], [6]];

async function idsOf(tokens: AsyncIterable<GeneratedToken>): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of tokens) ids.push(id);
  return ids;
}

/** The likeliest token after each prefix, read whole and alone. */
async function byPrefixes(model: Decoder, prompt: readonly number[], count: number): Promise<number[]> {
  const ids = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits_TV = scope(
      () => model.forward(tensor(device, Int32Array.from(ids), [1, ids.length]), context()).logits_TV,
    );
    const last = Array.from(await logits_TV.data()).slice(-vocabulary);
    logits_TV.dispose();
    ids.push(last.indexOf(Math.max(...last)));
  }
  return ids.slice(prompt.length);
}

describe.each<[string, object]>([
  ["expert choice", { select: { by: "expert", capacityFactor: 1 } }],
  ["soft routing", { select: { by: "soft", slots: 2 } }],
  ["a capacity at inference", { k: 2, capacity: { factor: 0.75, evaluation: 0.75, priority: "score" } }],
  ["places for whoever comes first", { k: 1, capacity: { places: 1, evaluation: 1 } }],
])("%s", (_, fields) => {
  test("alone, beside others with fewer rows than a prompt has, and in a session of turns", async () => {
    const model = modelWith(fields);
    const expected = await Promise.all(prompts.map((prompt) => byPrefixes(model, prompt, greedy.maxTokens)));
    expect(await idsOf(generate(model, prompts[0], greedy))).toEqual(expected[0]);
    const engine = new Engine(model, { maxRows: 2, ahead: 1 });
    const requests = prompts.map((prompt) => engine.add(prompt, greedy));
    expect(await Promise.all(requests.map(idsOf))).toEqual(expected);
    await engine.dispose();
    const session = new Session(model);
    const turn = await idsOf(session.generate(prompts[0], greedy));
    const next = [...prompts[0], ...turn, 8];
    expect(await idsOf(session.generate(next, greedy))).toEqual(
      await byPrefixes(model, next, greedy.maxTokens),
    );
    await session.dispose();
    model.dispose();
  });
});

test("a capacity of training does not act in generation: the model is causal", () => {
  const model = modelWith({ k: 1, capacity: { factor: 0.5 } });
  expect(model.causality).toBe("causal");
  model.dispose();
});

describe("a request that leaves a token no expert is refused by name", () => {
  const cases: readonly [string, object, RequestOptions, RegExp][] = [
    [
      "every expert",
      { k: 1 },
      { ...greedy, experts: { without: [0, 1, 2, 3].map((expert) => ({ expert })) } },
      /experts: none of block 0's 4 is left/,
    ],
    [
      "every expert of a label",
      { select: { by: "label", table: { text: [0, 1], code: [2, 3] } } },
      {
        ...greedy,
        labels: ["text"],
        experts: {
          without: [
            { layer: 1, expert: 0 },
            { layer: 1, expert: 1 },
          ],
        },
      },
      /experts: without 0, 1 none of block 1 is left for tokens labelled "text", which take 0, 1/,
    ],
    [
      "a hash",
      { k: 1, gate: { kind: "hash", vocabulary } },
      { ...greedy, experts: { without: [{ expert: 1 }] } },
      /fixes each token's experts by a hash/,
    ],
  ];
  test.each(cases)("%s", (_, fields, options, message) => {
    const model = modelWith(fields);
    const engine = new Engine(model);
    expect(() => engine.add([6], options)).toThrow(message);
    model.dispose();
  });
});
