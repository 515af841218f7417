import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { type Decoder, loadModel } from "../models/index.ts";
import { context, Device } from "../tensor/index.ts";
import { generate, logits } from "./generate.ts";
import type { GenerateOptions } from "./options.ts";
import { argmax } from "./sampler.ts";

const device = new Device(createReferenceKernels());
const folder = (name: string): string => fileURLToPath(new URL(`../../test/golden/${name}`, import.meta.url));
const prompt: number[] = JSON.parse(readFileSync(`${folder("mistral")}/expected.json`, "utf8")).ids[0];
const models = new Map<string, Decoder>();
beforeAll(async () => {
  for (const name of ["mixtral", "mistral"]) models.set(name, await loadModel(folder(name), device));
});

async function ids(model: Decoder, options: GenerateOptions): Promise<number[]> {
  const out: number[] = [];
  for await (const { id } of generate(model, prompt, { eosIds: [], ...options })) out.push(id);
  return out;
}

/** Greedy continuation by whole passes, with no cache. */
async function withoutCache(model: Decoder, count: number): Promise<number[]> {
  const all = [...prompt];
  for (let i = 0; i < count; i++)
    all.push(argmax((await logits(model, all)).subarray(-model.config.vocabulary)));
  return all.slice(prompt.length);
}

test.each(["mixtral", "mistral"])(
  "%s: the cache changes nothing, with a sliding window too",
  async (name) => {
    const model = models.get(name)!;
    expect(await ids(model, { maxTokens: 12 })).toEqual(await withoutCache(model, 12));
  },
);

test("the same seed draws the same tokens, another draws others", async () => {
  const model = models.get("mixtral")!;
  const draw = (seed: number): Promise<number[]> =>
    ids(model, { maxTokens: 16, temperature: 1, topP: 0.95, seed });
  const first = await draw(1);
  expect(await draw(1)).toEqual(first);
  expect(await draw(2)).not.toEqual(first);
});

test("generation says why a token is the last: end token, maxTokens, or no position left", async () => {
  const model = models.get("mixtral")!;
  const reasons = async (tokens: number[], options: GenerateOptions): Promise<(string | null)[]> => {
    const out: (string | null)[] = [];
    for await (const { finish } of generate(model, tokens, { eosIds: [], ...options })) out.push(finish);
    return out;
  };
  expect(await reasons(prompt, { maxTokens: 2 })).toEqual([null, "max-tokens"]);
  const [first] = await ids(model, { maxTokens: 1 });
  expect(await reasons(prompt, { maxTokens: 2, eosIds: [first] })).toEqual(["end"]);
  // Rotary positions have no end: the text goes on beyond the 128 that the model was trained on.
  const long = new Array(127).fill(3);
  expect(await reasons(long, { maxTokens: 4 })).toEqual([null, null, null, "max-tokens"]);
  // Of a model that ends after 128, one token can follow 128, and another would have to be read at a 129th.
  Object.defineProperty(model, "mostPositions", { value: 128, configurable: true });
  expect(await reasons(long, { maxTokens: 9 })).toEqual([null, "positions"]);
  await expect(reasons([...long, 3, 3], { maxTokens: 1 })).rejects.toMatchObject({
    code: "shape",
    message: "the prompt has 129 positions; the model has 128",
  });
  Reflect.deleteProperty(model, "mostPositions");
});

test("generation ends at an end token, at the signal, and at maxTokens, and frees its memory", async () => {
  const model = models.get("mixtral")!;
  const before = device.memory.live;
  const greedy = await ids(model, { maxTokens: 8 });
  expect(greedy).toHaveLength(8);
  const ending = await ids(model, { maxTokens: 8, eosIds: [greedy[3]] });
  expect(ending).toEqual(greedy.slice(0, greedy.indexOf(greedy[3]) + 1));
  const abort = new AbortController();
  const aborted: number[] = [];
  for await (const { id } of generate(model, prompt, { maxTokens: 8, eosIds: [], signal: abort.signal })) {
    aborted.push(id);
    if (aborted.length === 2) abort.abort();
  }
  expect(aborted).toEqual(greedy.slice(0, 2));
  expect(device.memory.live).toBe(before);
});

test("a model that is disposed of leaves nothing on the device", async () => {
  const before = device.memory.live;
  const model = await loadModel(folder("mixtral"), device, { weights: "bf16" });
  expect(await ids(model, { maxTokens: 2 })).toHaveLength(2);
  model.dispose();
  expect(device.memory.live).toBe(before);
});

test("a tap hears the route of every layer at every step", async () => {
  const heard: number[] = [];
  const tap = (name: string, layer: number): void => {
    if (name === "moe.route") heard.push(layer);
  };
  await ids(models.get("mixtral")!, { maxTokens: 3, ctx: context({ tap }) });
  expect(heard).toEqual([0, 1, 0, 1, 0, 1]);
});

test.each<[number[], Partial<GenerateOptions>, string, string]>([
  [[], {}, "shape", "the prompt holds no token"],
  [[3, 64], {}, "shape", "token id 64: the model knows the ids 0 to 63"],
  [[3.5], {}, "shape", "token id 3.5"],
  [[3], { temperature: -1 }, "usage", "temperature -1"],
  [[3], { topP: 0 }, "usage", "topP 0"],
  [[3], { topK: 1.5 }, "usage", "topK 1.5"],
  [[3], { maxTokens: -1 }, "usage", "maxTokens -1"],
])("%j with %j is refused", async (tokens, options, code, message) => {
  const first = generate(models.get("mixtral")!, tokens, { maxTokens: 1, ...options }).next();
  await expect(first).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
});
