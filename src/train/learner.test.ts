import { afterAll, expect, test } from "vitest";
import { readTokenizer, type Tokenizer, tokenizerFiles, trainBpe } from "../formats/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "../tensor/index.ts";
import { type Json, resolveConfig, type TrainConfig } from "./config.ts";
import type { TokenCorpus } from "./data.ts";
import { evaluate } from "./evaluate.ts";
import type { Role } from "./events.ts";
import { Learner } from "./learner.ts";
import { modelOf } from "./model.ts";

const device = new Device(createReferenceKernels());
afterAll(() => device.dispose());

/** Bytes and the end mark: 257 tokens. */
const tokenizer: Tokenizer = readTokenizer(tokenizerFiles(trainBpe(["abc"], { vocabSize: 257 })));

/** Two domains; every token stands for as many bytes as its last digit says. */
const corpus: TokenCorpus = {
  train: [stream("a", 60, 3), stream("b", 60, 7)],
  heldOut: [stream("a", 20, 5), stream("b", 11, 11)],
  tokenBytes: Int32Array.from({ length: 257 }, (_, id) => id % 10),
};

function stream(domain: string, length: number, stride: number): { domain: string; ids: Int32Array } {
  return { domain, ids: Int32Array.from({ length }, (_, i) => (i * stride) % 257) };
}

function configOf(overrides: Json = {}): TrainConfig {
  const json = { model: { width: 8, heads: 2, kvHeads: 1, expertWidth: 8 }, data: { sequence: 8, batch: 2 } };
  return resolveConfig({ preset: "tiny", file: { path: "test", json }, overrides });
}

function learnerOf(config: TrainConfig, role: Role = "moe"): Learner {
  return new Learner(modelOf(config, tokenizer, role), config, corpus, device);
}

const routings: readonly (readonly [string, Json])[] = [
  ["token choice", {}],
  ["a capacity", { capacity: { factor: 1 } }],
  ["expert choice", { order: "score-then-select", select: { by: "expert", capacityFactor: 2 } }],
  ["soft routing", { order: "score-then-select", select: { by: "soft", slots: 2 } }],
  ["a hash gate", { order: "score-then-select", gate: { kind: "hash", vocabulary: 320 }, k: 2 }],
];

test.each(routings)("with %s, steps leave no memory behind and count every place", async (_, routing) => {
  const learner = learnerOf(configOf({ model: { routing } }));
  await learner.step(1);
  const { live } = device.memory;
  const record = await learner.step(2);
  expect(device.memory.live).toBe(live);
  expect(record.layers).toHaveLength(2);
  const soft = (routing.select as Json | undefined)?.by === "soft";
  for (const { counts } of record.layers) {
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(soft ? 4 * 2 : 16 * 2);
  }
  learner.dispose();
});

test("a step that diverges leaves no memory behind either", async () => {
  const learner = learnerOf(configOf());
  await learner.step(1);
  const { live } = device.memory;
  const { values } = learner.optimizer.arena;
  values.write(new Float32Array(values.size).fill(Number.NaN));
  await expect(learner.step(2)).rejects.toThrow("the loss is NaN");
  expect(device.memory.live).toBe(live);
  learner.dispose();
});

test("a corpus with ids that the model does not know is refused, wherever they stand", () => {
  for (const [id, split] of [
    [257, "train"],
    [-1, "heldOut"],
  ] as const) {
    const ids = stream("b", 60, 7).ids;
    ids[59] = id;
    const other = { ...corpus, [split]: [corpus[split][0], { domain: "b", ids }] };
    expect(() => new Learner(modelOf(configOf(), tokenizer, "moe"), configOf(), other, device)).toThrow(
      `the text of "b" holds the id ${id}; the model knows the ids 0 to 256`,
    );
  }
});

test("a dense twin is as wide as the experts of a token, shared ones included, and has no layers to report", async () => {
  const config = configOf({ model: { sharedExperts: 1 } });
  const learner = learnerOf(config, "dense");
  expect(learner.model.config).toMatchObject({ hidden: 3 * 8 });
  expect(await learner.step(1)).toMatchObject({ losses: {}, layers: [] });
  learner.dispose();
});

test("after a step each expert's selection bias has moved by rate * sign(mean load - its load), and by nothing else", async () => {
  const rate = 0.25;
  const learner = learnerOf(configOf({ model: { routing: { bias: { kind: "selection-only", rate } } } }));
  const { layers } = await learner.step(1);
  for (const [layer, router] of learner.model.routers.entries()) {
    const expected = layers[layer].counts.map((count) => rate * Math.sign(8 - count)); // 16 tokens * 2 / 4 experts
    expect(Array.from(await router.bias!.bias_E.value.data())).toEqual(expected);
  }
  learner.dispose();
});

test("the gradient is clipped: with a clip at a tenth of its norm, the first moment is a tenth of what it was", async () => {
  const moments: Float32Array[] = [];
  const free = learnerOf(configOf({ optimizer: { clip: 1e9 } }));
  const { gradNorm } = await free.step(1);
  const clipped = learnerOf(configOf({ optimizer: { clip: gradNorm / 10 } }));
  expect((await clipped.step(1)).gradNorm).toBe(gradNorm);
  for (const learner of [free, clipped]) moments.push((await learner.optimizer.m.data()) as Float32Array);
  const norm = Math.hypot(...moments[0]);
  expect(norm).toBeCloseTo(0.1 * gradNorm, 5); // (1 - beta1) * gradient
  expect(Math.hypot(...moments[1])).toBeCloseTo(norm / 10, 5);
  free.dispose();
  clipped.dispose();
});

test("weights of zero predict every token alike: bits per byte is log2 V for each token over the bytes of the targets", async () => {
  const learner = learnerOf(configOf());
  const { values } = learner.optimizer.arena;
  values.write(new Float32Array(values.size));
  const options = { device, precision: "f32", sequence: 8, batch: 2, limit: Infinity } as const;
  const result = await evaluate(learner.model, corpus, options);
  const bytesOf = (ids: Int32Array): number => ids.subarray(1).reduce((sum, id) => sum + (id % 10), 0);
  const [a, b] = corpus.heldOut.map(({ ids }) => bytesOf(ids));
  expect(result).toMatchObject({ tokens: 29, bytes: a + b });
  expect(result.loss).toBeCloseTo(Math.log(257), 5);
  expect(result.bitsPerByte).toBeCloseTo((29 * Math.log2(257)) / (a + b), 5);
  expect(result.domains.map(({ tokens, bytes }) => [tokens, bytes])).toEqual([
    [19, a],
    [10, b],
  ]);
  expect(result.domains[1].bitsPerByte).toBeCloseTo((10 * Math.log2(257)) / b, 5);
  // Equal scores: every token takes experts 0 and 1, and is as unsure as can be.
  for (const layer of result.layers) {
    expect(layer).toMatchObject({
      counts: [29, 29, 0, 0],
      countsByDomain: [
        [19, 19, 0, 0],
        [10, 10, 0, 0],
      ],
      maxOverMean: 2,
      cv: 1,
      dropped: 0,
    });
    expect(layer.entropy).toBeCloseTo(Math.log(4), 5);
  }
  const few = await evaluate(learner.model, corpus, { ...options, limit: 2 });
  expect(few.tokens).toBe(8 + 3); // of windows of 8, 8, 3 and 8, 2: the first and the third
  learner.dispose();
});
