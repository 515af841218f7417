import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { type Decoder, loadModel, MixtralModel } from "../models/index.ts";
import { parseRoutingSpec } from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import { Device } from "../tensor/index.ts";
import { Engine } from "./engine.ts";
import { generate, generateBatch } from "./generate.ts";
import type { GeneratedToken, RequestOptions } from "./options.ts";
import { Session } from "./session.ts";

const device = new Device(createReferenceKernels());
const folder = fileURLToPath(new URL("../../test/golden/mixtral", import.meta.url));
const golden: number[] = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")).ids[0];
let model: Decoder;
beforeAll(async () => {
  model = await loadModel(folder, device);
});

const prompts = [golden, golden.slice(2, 5), [7], golden.slice(1, 9)];
const greedy = (maxTokens: number): RequestOptions => ({ maxTokens, eosIds: [] });

async function idsOf(tokens: AsyncIterable<GeneratedToken>): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of tokens) ids.push(id);
  return ids;
}
const alone = (ids: readonly number[], options: RequestOptions): Promise<number[]> =>
  idsOf(generate(model, ids, options));

test("several prompts at once, with fewer places than requests and prompts in pieces, continue as each alone", async () => {
  const expected = await Promise.all(prompts.map((ids) => alone(ids, greedy(10))));
  const before = device.memory.live;
  const engine = new Engine(model, { maxBatch: 3, maxRows: 5 });
  const requests = prompts.map((ids) => engine.add(ids, greedy(10)));
  expect(await Promise.all(requests.map(idsOf))).toEqual(expected);
  expect(engine.load).toBe(0);
  await engine.dispose();
  expect(device.memory.live).toBe(before);
});

test("a request joins others under way, another is left early, and none of the rest notices", async () => {
  const engine = new Engine(model, { ahead: 0 });
  const first = engine.add(prompts[0], greedy(8));
  const seen = [(await first.next()).value.id, (await first.next()).value.id];
  const left = engine.add(prompts[1], greedy(50));
  await left.next();
  const joined = idsOf(engine.add(prompts[3], greedy(6)));
  const rest = idsOf(first);
  await left.return();
  expect([...seen, ...(await rest)]).toEqual(await alone(prompts[0], greedy(8)));
  expect(await joined).toEqual(await alone(prompts[3], greedy(6)));
  expect((await left.next()).done).toBe(true);
  await engine.dispose();
});

test("a request that nobody reads holds up no other", async () => {
  const engine = new Engine(model, { maxBatch: 1, ahead: 0 });
  const first = engine.add(prompts[0], greedy(4));
  const second = engine.add(prompts[1], greedy(4));
  const turns: number[][] = [[], []];
  for (let i = 0; i < 4; i++)
    for (const [r, request] of [first, second].entries()) turns[r].push((await request.next()).value.id);
  expect(turns).toEqual([await alone(prompts[0], greedy(4)), await alone(prompts[1], greedy(4))]);
  await engine.dispose();
});

test("a sequence that leaves nothing to read is refused", async () => {
  const engine = new Engine(model);
  const sequence = engine.openSequence();
  await idsOf(engine.add(prompts[0], greedy(1), sequence));
  expect(sequence.length).toBe(prompts[0].length);
  expect(() => engine.add(prompts[0], greedy(1), sequence)).toThrow("leave none to read");
  await engine.dispose();
});

test("labels that the model does not route by are refused before they reach others; a session re-reads what they change", async () => {
  const routing = parseRoutingSpec({
    experts: 4,
    select: { by: "label", table: { text: [0, 1], code: [2, 3] }, k: 2 },
  });
  const labelled = new MixtralModel({ ...(model as MixtralModel).config, routing, initStd: 0.3 });
  const arena = materialise(labelled, device, 1);
  const engine = new Engine(labelled);
  expect(() => engine.add([3, 4], greedy(1))).toThrow("labels: none are given; block 0 routes by text, code");
  expect(() => engine.add([3, 4], { ...greedy(1), labels: ["text", "prose"] })).toThrow('not by "prose"');
  await engine.dispose();

  const session = new Session(labelled);
  const turn = async (labels: string[]): Promise<void> => {
    const tokens: GeneratedToken[][] = [[], []];
    const options = { ...greedy(3), labels };
    for await (const token of session.generate([3, 4, 5], options)) tokens[0].push(token);
    for await (const token of generate(labelled, [3, 4, 5], options)) tokens[1].push(token);
    expect(tokens[0]).toEqual(tokens[1]);
  };
  await turn(["text", "text", "text"]);
  await turn(["code", "code", "text"]);
  await session.dispose();
  arena.dispose();
});

test("generateBatch tells which prompt a token continues; its requests may draw", async () => {
  const options = { ...greedy(6), temperature: 1, seed: 4 };
  const got: number[][] = prompts.map(() => []);
  for await (const { prompt, id } of generateBatch(model, prompts, options)) got[prompt].push(id);
  expect(got).toEqual(await Promise.all(prompts.map((ids) => alone(ids, options))));
});

test("an error of one request is its own", async () => {
  const engine = new Engine(model);
  const good = idsOf(engine.add(prompts[0], greedy(4)));
  const bad = engine.add(prompts[1], {
    ...greedy(4),
    logitBias: new Map(Array.from({ length: 64 }, (_, id) => [id, Number.NEGATIVE_INFINITY])),
  });
  await expect(bad.next()).rejects.toMatchObject({ code: "usage", message: "logitBias forbids every token" });
  expect(await good).toEqual(await alone(prompts[0], greedy(4)));
  await engine.dispose();
  expect(() => engine.add(prompts[0], greedy(1))).toThrow("disposed");
});

test("each request has its own experts, alone and in a batch", async () => {
  const choices: (RequestOptions["experts"] | undefined)[] = [
    undefined,
    { active: 1 },
    { without: [{ expert: 0 }, { layer: 1, expert: 2 }] },
    { active: 3, without: [{ expert: 3 }] },
  ];
  const options = choices.map((experts) => ({ ...greedy(5), experts, routes: true }));
  const tokensOf = async (tokens: AsyncIterable<GeneratedToken>): Promise<GeneratedToken[]> => {
    const all: GeneratedToken[] = [];
    for await (const token of tokens) all.push(token);
    return all;
  };
  const each = await Promise.all(options.map((one) => tokensOf(generate(model, golden, one))));
  const picks = each.map((tokens) => tokens.flatMap(({ routes }) => routes!));
  expect(picks.map((routes) => new Set(routes.map(({ experts }) => experts.length)))).toEqual([
    new Set([2]),
    new Set([1]),
    new Set([2]),
    new Set([3]),
  ]);
  for (const { layer, experts } of picks[2]) {
    expect(experts).not.toContain(0);
    if (layer === 1) expect(experts).not.toContain(2);
  }
  // Mixtral's weights are normalised over the experts that are taken.
  for (const { weights } of picks.flat()) expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);

  const engine = new Engine(model);
  const batched = await Promise.all(options.map((one) => tokensOf(engine.add(golden, one))));
  const where = (tokens: readonly GeneratedToken[]): unknown =>
    tokens.map(({ id, routes }) => [id, routes!.map(({ layer, experts }) => [layer, experts])]);
  expect(batched.map(where)).toEqual(each.map(where));
  await engine.dispose();
});

test.each<[RequestOptions["experts"], string]>([
  [{ active: 0 }, "0 active experts"],
  [{ active: 5 }, "5 active experts: it is a whole number from 1 to 4"],
  [{ without: [{ expert: 4 }] }, "no expert 4"],
  [{ without: [{ layer: 9, expert: 0 }] }, "block 9 has none"],
  [{ without: [0, 1, 2, 3].map((expert) => ({ layer: 1, expert })) }, "none of block 1's 4 is left"],
])("experts %j are refused", async (experts, message) => {
  await expect(alone(golden, { ...greedy(1), experts })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining(message),
  });
});

test("a session reads only what is new, whatever the turns share, and answers as without one", async () => {
  const rows: number[] = [];
  const session = new Session(model, {
    ctx: {
      training: false,
      precision: "f32",
      draws: null,
      tap: (name, _, value) => {
        if (name === "embedding") rows.push((value as { shape: number[] }).shape[0]);
      },
    },
  });
  const turn = async (ids: number[], options = greedy(4)): Promise<number[]> => {
    rows.length = 0;
    const got = await idsOf(session.generate(ids, options));
    expect(got).toEqual(await alone(ids, options));
    return got;
  };
  const first = await turn(golden);
  expect(rows).toEqual([golden.length, 1, 1, 1]);
  const second = [...golden, ...first, 5, 9];
  await turn(second); // the last answer's last token was never read
  expect(rows[0]).toBe(3);
  await turn(second);
  expect(rows[0]).toBe(1);
  await turn([...golden.slice(0, 6), 1, 2]);
  expect(rows[0]).toBe(2);
  await turn(second, { ...greedy(4), experts: { active: 1 } });
  expect(rows[0]).toBe(second.length);
  session.reset();
  expect(session.length).toBe(0);
  await session.dispose();
});
