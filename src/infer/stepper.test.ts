import { readFileSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kernels } from "../kernels/index.ts";
import { selectKernels } from "../kernels/select.ts";
import { type Decoder, loadModel } from "../models/index.ts";
import { context, Device, MadeTensor, makeTensors } from "../tensor/index.ts";
import { Engine } from "./engine.ts";
import { generate } from "./generate.ts";
import type { GeneratedToken, RequestOptions } from "./options.ts";

async function all(tokens: AsyncIterable<GeneratedToken>): Promise<GeneratedToken[]> {
  const list: GeneratedToken[] = [];
  for await (const token of tokens) list.push(token);
  return list;
}

/** Steps that are recorded and done again, against the same steps computed each time, which a tap makes them. */

const folder = fileURLToPath(new URL("../../test/golden/mixtral", import.meta.url));
const golden: number[] = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")).ids[0];
const { kernels } = await selectKernels({ threads: 2 });

describe.runIf(kernels.name !== "reference")("steps done again", () => {
  let device: Device;
  let model: Decoder;
  /** Recordings made and replayed. */
  const counts = { made: 0, replayed: 0 };
  beforeAll(async () => {
    const counted: Kernels = {
      ...kernels,
      record(body) {
        const recording = kernels.record(body);
        counts.made++;
        return (
          recording && {
            ...recording,
            replay() {
              counts.replayed++;
              recording.replay();
            },
          }
        );
      },
    };
    device = new Device(counted);
    model = await loadModel(folder, device);
    await all(generate(model, golden, { maxTokens: 100, eosIds: [] })); // the model keeps its tables of positions
  });
  afterAll(() => {
    model.dispose();
    kernels.dispose();
  });

  /** For a model that routes by label: texts of either label side by side, the last one's of both. */
  const labelsOf = (ids: readonly number[], request: number): string[] | undefined =>
    model.routers[0].spec.select.by === "label"
      ? ids.map((_, place) => ["text", "code"][request === 3 ? place % 2 : request % 2])
      : undefined;

  const prompts = [golden, golden.slice(2, 5), [7], golden.slice(1, 9)];

  /** The requests of batches, one after the other, in which one leaves after the other, on pages that are few at first. */
  async function generated(
    tapped: boolean,
    options: Partial<RequestOptions>,
    batches = [prompts],
  ): Promise<GeneratedToken[][]> {
    const before = device.memory.live;
    counts.made = 0;
    counts.replayed = 0;
    const engine = new Engine(model, tapped ? { ctx: context({ tap: () => {} }) } : {});
    const tokens: GeneratedToken[][] = [];
    for (const batch of batches) {
      const requests = batch.map((ids, i) =>
        engine.add(ids, { maxTokens: 20 + 25 * i, eosIds: [], ...options, labels: labelsOf(ids, i) }),
      );
      tokens.push(...(await Promise.all(requests.map(all))));
    }
    await engine.dispose();
    expect(device.memory.live).toBe(before);
    return tokens;
  }

  test.each([
    ["greedy", {}],
    ["with routes", { routes: true }],
    ["sampled", { temperature: 1, seed: 3, topP: 0.9 }],
  ])("%s: give the same tokens, as sequences grow and leave", async (_, options) => {
    const expected = await generated(true, options);
    expect(counts.made).toBe(0);
    expect(await generated(false, options)).toEqual(expected);
    expect(counts.replayed).toBeGreaterThan(60); // of 95 steps
  });

  test("end with the pages that the first of them made, when those are replaced by more", async () => {
    const batches = [[[7]], prompts, [golden]];
    const expected = await generated(true, {}, batches);
    expect(await generated(false, {}, batches)).toEqual(expected);
  });

  test.each([
    ["top-p", { experts: 4, select: { by: "token", topP: 0.5 } }],
    ["labels", { experts: 4, select: { by: "label", table: { code: [1, 2], text: [0, 1, 3] }, k: 2 } }],
    ["groups", { experts: 4, k: 1, groups: { count: 2, keep: 1 } }],
  ])("with %s in the model's routing: give the same tokens", async (_, routing) => {
    const copy = await mkdtemp(join(tmpdir(), "conclave-stepper-"));
    await cp(folder, copy, { recursive: true });
    const config = JSON.parse(readFileSync(`${folder}/config.json`, "utf8"));
    await writeFile(join(copy, "config.json"), JSON.stringify({ ...config, conclave: { routing } }));
    const mixtral = model;
    model = await loadModel(copy, device);
    try {
      await all(generate(model, golden, { maxTokens: 100, eosIds: [], labels: labelsOf(golden, 0) }));
      const expected = await generated(true, { routes: true });
      expect(await generated(false, { routes: true })).toEqual(expected);
      expect(counts.replayed).toBeGreaterThan(60);
    } finally {
      model.dispose();
      model = mixtral;
      await rm(copy, { recursive: true });
    }
  });

  test("are not tried for ever where a step cannot be done again", async () => {
    const { record } = device.kernels;
    const inVain = (body: () => void): null => {
      record(body);
      return null;
    };
    Object.assign(device.kernels, { record: inVain });
    await generated(false, {}, [[[7]]]); // 20 steps of one kind
    Object.assign(device.kernels, { record });
    expect(counts.made).toBe(3);
  });

  test.runIf(kernels.mapping)("begin when all that is made on demand is made", async () => {
    const made = await loadModel(`${folder}/../models/gpt-oss-mxfp4`, device);
    const pieces = [...made.tensors()].flatMap(([, { pieces }]) => pieces ?? []);
    const replayed = async (): Promise<number> => {
      counts.made = 0;
      counts.replayed = 0;
      await all(generate(made, [7], { maxTokens: 8, temperature: 0, eosIds: [] }));
      return counts.replayed;
    };
    expect([await replayed(), counts.made]).toEqual([0, 0]);
    expect(pieces.some((piece) => piece instanceof MadeTensor && !piece.there)).toBe(true);
    makeTensors(pieces);
    expect([await replayed(), counts.made]).toEqual([7, 1]);
    made.dispose();
  });
});
