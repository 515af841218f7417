/** What requests of one engine do to each other where rows or memory are short. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Kernels, selectKernels } from "../kernels/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { type Decoder, loadModel, MixtralModel } from "../models/index.ts";
import { materialise } from "../nn/index.ts";
import { Device } from "../tensor/index.ts";
import { Engine } from "./engine.ts";
import { generate } from "./generate.ts";
import type { GeneratedToken, RequestOptions } from "./options.ts";

const folder = fileURLToPath(new URL("../../test/golden/mixtral", import.meta.url));
const golden: number[] = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")).ids[0];
const greedy = (maxTokens: number): RequestOptions => ({ maxTokens, eosIds: [] });

async function idsOf(tokens: AsyncIterable<GeneratedToken>, seen: number[] = []): Promise<number[]> {
  for await (const { id } of tokens) seen.push(id);
  return seen;
}

/** Kernels whose memory can be made short: for one block, or in all. */
function limited(kernels: Kernels): { kernels: Kernels; limit: { block: number; left: number } } {
  const limit = { block: Number.POSITIVE_INFINITY, left: Number.POSITIVE_INFINITY };
  return {
    limit,
    kernels: {
      ...kernels,
      alloc(bytes) {
        if (bytes > limit.block || bytes > limit.left) throw new Error(`no memory for ${bytes} bytes`);
        limit.left -= bytes;
        return kernels.alloc(bytes);
      },
      free(storage) {
        limit.left += storage.byteLength;
        kernels.free(storage);
      },
    },
  };
}

const native = (await selectKernels({ threads: 2 })).kernels;
const implementations: [string, Kernels][] = [["reference", createReferenceKernels()]];
if (native.name !== "reference") implementations.push([native.name, native]);

describe.each(implementations)("%s kernels", (_, inner) => {
  const { kernels, limit } = limited(inner);
  const device = new Device(kernels);
  let model: Decoder;
  beforeAll(async () => {
    const { config } = (await loadModel(folder, device)) as MixtralModel;
    model = new MixtralModel({ ...config, maxPositions: 1024, initStd: 0.3 }); // many pages for one text
    materialise(model, device, 1);
    await idsOf(generate(model, golden, greedy(300))); // its tables of positions are there
  });
  afterAll(() => device.dispose());
  const alone = (ids: readonly number[], options: RequestOptions): Promise<number[]> =>
    idsOf(generate(model, ids, options));

  test.each([
    [4, 16],
    [1, 16],
    [512, 3],
  ])(
    "with %i rows and %i places, ten requests that decode make progress in turn",
    async (maxRows, maxBatch) => {
      const prompts = Array.from({ length: 10 }, (_, i) => [i + 1]);
      const expected = await Promise.all(prompts.map((ids) => alone(ids, greedy(12))));
      const engine = new Engine(model, { maxRows, maxBatch });
      const seen: number[][] = prompts.map(() => []);
      let widest = 0;
      await Promise.all(
        prompts.map(async (ids, i) => {
          for await (const { id } of engine.add(ids, greedy(12))) {
            seen[i].push(id);
            const counts = seen.map(({ length }) => length);
            widest = Math.max(widest, Math.max(...counts) - Math.min(...counts));
          }
        }),
      );
      expect(seen).toEqual(expected);
      expect(widest).toBeLessThanOrEqual(1);
      await engine.dispose();
    },
  );

  test("a prompt is read though as many decode as there are rows, and they go on meanwhile", async () => {
    const engine = new Engine(model, { maxRows: 4, maxBatch: 16 });
    const decoding = Array.from({ length: 6 }, (_, i) => engine.add([i + 1], greedy(80)));
    const seen: number[][] = decoding.map(() => []);
    const going = decoding.map((request, i) => idsOf(request, seen[i]));
    while (seen.some(({ length }) => length < 2)) await null; // all of them decode
    const { value } = await engine.add(golden, greedy(1)).next();
    const counts = seen.map(({ length }) => length);
    expect(value.id).toBe((await alone(golden, greedy(1)))[0]);
    expect(Math.max(...counts)).toBeLessThan(80);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(3);
    for (const [i, ids] of (await Promise.all(going)).entries())
      expect(ids).toEqual(await alone([i + 1], greedy(80)));
    await engine.dispose();
  });

  test("no memory for one request's keys and values ends that one alone; the engine takes others after", async () => {
    const prompts = [golden, [7], golden.slice(2, 5), golden.slice(1, 9)];
    const tokens = [20, 220, 20, 20]; // pages of 32 positions: one each, but 7 for the second
    const expected = await Promise.all(prompts.map((ids, i) => alone(ids, greedy(tokens[i]))));
    device.trim();
    const before = device.memory.live;
    const { kvHeads, headDim } = model.config;
    limit.block = 6 * 32 * kvHeads * headDim * 4; // the keys of six pages
    const engine = new Engine(model);
    const seen: number[][] = prompts.map(() => []);
    const going = prompts.map((ids, i) => idsOf(engine.add(ids, greedy(tokens[i])), seen[i]));
    const ends = await Promise.allSettled(going);
    expect(ends.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect((ends[1] as PromiseRejectedResult).reason.message).toMatch(/^no memory for/);
    for (const i of [0, 2, 3]) expect(seen[i]).toEqual(expected[i]);
    expect(seen[1].length).toBeGreaterThan(100);
    expect(seen[1]).toEqual(expected[1].slice(0, seen[1].length));
    // It cannot be had a second time, what is smaller can, and when memory is there both.
    await expect(idsOf(engine.add([7], greedy(300)))).rejects.toThrow("no memory for");
    expect(await idsOf(engine.add(golden, greedy(20)))).toEqual(expected[0]);
    limit.block = Number.POSITIVE_INFINITY;
    expect(await idsOf(engine.add([7], greedy(220)))).toEqual(expected[1]);
    await engine.dispose();
    expect(device.memory.live).toBe(before);
  });

  test("allocations that fail at any moment end requests at most, and leave nothing behind", async () => {
    const prompts = [golden, [7], golden.slice(2, 5)];
    const expected = await Promise.all(prompts.map((ids) => alone(ids, greedy(40))));
    const before = device.memory.live;
    for (let fails = 0; fails < 36; fails += 3) {
      device.trim();
      const engine = new Engine(model);
      const going = prompts.map((ids) => idsOf(engine.add(ids, greedy(40))));
      let calls = 0;
      const { alloc } = kernels;
      (kernels as { alloc: Kernels["alloc"] }).alloc = (bytes) => {
        if (calls++ >= fails && calls < fails + 8) throw new Error("no memory");
        return alloc(bytes);
      };
      const ends = await Promise.allSettled(going);
      (kernels as { alloc: Kernels["alloc"] }).alloc = alloc;
      for (const [i, end] of ends.entries())
        if (end.status === "fulfilled") expect(end.value).toEqual(expected[i]);
        else expect(end.reason.message).toBe("no memory");
      expect(await idsOf(engine.add(golden, greedy(40)))).toEqual(expected[0]);
      await engine.dispose();
      expect(device.memory.live).toBe(before);
    }
  });
});
