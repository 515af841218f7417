/** Greedy generation of every family, token for token as transformers': over the cache, without one, alone and in a batch. */
import { afterAll, describe, expect, test } from "vitest";
import { argmax, Engine, generate, logits, type RequestOptions } from "../../src/infer/index.ts";
import { selectKernels } from "../../src/kernels/index.ts";
import { loadModel } from "../../src/models/index.ts";
import { Device } from "../../src/tensor/index.ts";
import { fixtureFolder, fixtureNames, goldenOf, promptLength } from "./fixtures.ts";

// One thread: a token of these models is microseconds of work, and threads that wait for each other are slow where tests run side by side.
const device = new Device((await selectKernels({ env: {}, threads: 1 })).kernels);
/** Tokens of those who generate beside the one that is known: they leave the batch before it. */
const besideTokens = 20;
afterAll(() => device.dispose());

async function idsOf(tokens: AsyncIterable<{ id: number }>): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of tokens) ids.push(id);
  return ids;
}

describe.each(fixtureNames)("%s", (name) => {
  test("continues greedily as transformers does", async () => {
    const golden = await goldenOf(name);
    const model = await loadModel(fixtureFolder(name), device);
    const prompt = golden.ids.slice(0, promptLength);
    const options: RequestOptions = { maxTokens: golden.greedy.length, eosIds: [] };
    expect(golden.greedy).toHaveLength(64);
    expect(await idsOf(generate(model, prompt, options)), "over the cache").toEqual(golden.greedy);

    // Whole passes with no cache: given the tokens before it, each position's likeliest is the next.
    const V = model.config.vocabulary;
    const all = await logits(model, [...prompt, ...golden.greedy.slice(0, -1)]);
    const uncached = golden.greedy.map((_, i) =>
      argmax(all.subarray((prompt.length - 1 + i) * V, (prompt.length + i) * V)),
    );
    expect(uncached, "without a cache").toEqual(golden.greedy);

    // Beside shorter and longer prompts, read in pieces of at most 7 rows a step.
    const others = [golden.ids.slice(3, 4), golden.ids.slice(0, 21), golden.ids.slice(5, 10)];
    const brief = { ...options, maxTokens: besideTokens };
    const alone: number[][] = [];
    for (const ids of others) alone.push(await idsOf(generate(model, ids, brief)));
    const engine = new Engine(model, { maxRows: 7 });
    const batch = [engine.add(prompt, options), ...others.map((ids) => engine.add(ids, brief))];
    expect(await Promise.all(batch.map(idsOf)), "in a batch").toEqual([golden.greedy, ...alone]);
    await engine.dispose();
    model.dispose();
  });
});
