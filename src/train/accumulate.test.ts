import { afterAll, describe, expect, test } from "vitest";
import { selectKernels } from "../kernels/select.ts";
import { Device } from "../tensor/index.ts";
import { type Json, resolveConfig } from "./config.ts";
import type { TokenCorpus } from "./data.ts";
import type { StepRecord } from "./events.ts";
import { Learner } from "./learner.ts";
import { modelOf } from "./model.ts";

/** A step in micro-batches moves the weights as one large batch does: the same windows, counts, draws and losses, and their gradients. */

const { kernels } = await selectKernels({ threads: 2 });
const device = new Device(kernels);
afterAll(() => device.dispose());

const stream = (domain: string, stride: number) => ({
  domain,
  ids: Int32Array.from({ length: 300 }, (_, i) => (i * i * stride + i) % 257),
});
const corpus: TokenCorpus = {
  train: [stream("prose", 3), stream("code", 7)],
  heldOut: [stream("prose", 5), stream("code", 11)],
  tokenBytes: new Int32Array(257).fill(1),
};
const windows = 4;
const steps = 3;

async function trained(
  accumulate: number,
  routing: Json,
  losses: Json,
): Promise<{ records: StepRecord[]; weights: number[] }> {
  const json = {
    model: { width: 16, heads: 2, kvHeads: 1, expertWidth: 16, initStd: 0.3, routing },
    data: { sequence: 8, batch: windows / accumulate, accumulate },
    losses: { balance: 0, z: 0, ...losses },
    optimizer: { lr: 0.01, minLr: 0.01, warmup: 0 },
    steps,
  };
  const config = resolveConfig({ preset: "tiny", file: { path: "test", json } });
  const ends = { vocabSize: 257, bosId: null, eosId: 256 };
  const learner = new Learner(modelOf(config, ends, "moe"), config, corpus, device);
  const records: StepRecord[] = [];
  for (let step = 1; step <= steps; step++) records.push(await learner.step(step));
  const weights = Array.from(await learner.optimizer.arena.values.data());
  learner.dispose();
  return { records, weights };
}

/** AdamW divides a gradient by its own size, so that rounding of a gradient near 0 moves a weight by up to the learning rate times it. */
const rounding = 2e-4;

describe("micro-batches of a step", () => {
  test.each<[string, Json, Json]>([
    ["no losses of the router", { k: 2 }, {}],
    ["balance, importance and z", { k: 2 }, { balance: 0.5, importance: 0.3, z: 0.1 }],
    [
      "balance within each sequence, by scores",
      { k: 2, score: "sigmoid" },
      { balance: { weight: 0.5, over: "sequence", of: "scores" } },
    ],
    [
      "balance and marginal entropy of each label",
      { k: 2 },
      {
        balance: { weight: 0.5, over: "label" },
        marginalEntropy: { weight: 0.5, threshold: 1.3, over: "label" },
      },
    ],
    [
      "learned noise and its load",
      { k: 1, noise: "gaussian" },
      { load: 0.3, importance: { weight: 0.3, of: "probabilities" } },
    ],
    [
      "jitter, and entropies",
      { k: 2, noise: { kind: "jitter", epsilon: 0.2 } },
      { tokenEntropy: 0.2, marginalEntropy: -0.4 },
    ],
    ["a selection bias", { k: 2, bias: { kind: "selection-only", rate: 0.05 } }, { orthogonality: 0.2 }],
    ["places of each sequence", { k: 1, capacity: { factor: 1, over: "sequence" } }, { balance: 0.5 }],
    ["a fixed spread of noise", { k: 2, noise: { kind: "gaussian", sigma: "1/E" } }, { load: 0.3 }],
  ])("%s: the weights of one large batch", async (_, routing, losses) => {
    const whole = await trained(1, routing, losses);
    for (const accumulate of [2, 4]) {
      const parts = await trained(accumulate, routing, losses);
      whole.records.forEach((record, i) => {
        const other = parts.records[i];
        expect(other.layers.map(({ counts }) => counts)).toEqual(record.layers.map(({ counts }) => counts));
        expect(other.loss).toBeCloseTo(record.loss, 4);
        expect(other.gradNorm / record.gradNorm).toBeCloseTo(1, 4);
        for (const [name, value] of Object.entries(record.losses))
          expect(other.losses[name as keyof typeof other.losses], name).toBeCloseTo(value, 4);
      });
      const apart = Math.max(...whole.weights.map((weight, i) => Math.abs(weight - parts.weights[i])));
      expect(apart).toBeLessThan(rounding);
    }
  });

  test("in parts it is not what a batch of one part's size gives: the test can fail", async () => {
    const whole = await trained(1, { k: 2 }, { balance: 0.5 });
    const other = await trained(2, { k: 2 }, { balance: 0.4 });
    expect(
      Math.max(...whole.weights.map((weight, i) => Math.abs(weight - other.weights[i]))),
    ).toBeGreaterThan(20 * rounding);
  });

  test.each<[string, Json]>([
    ['select.by "expert" compares all tokens', { select: { by: "expert", capacityFactor: 1 } }],
    ['select.by "soft" compares all tokens', { select: { by: "soft" } }],
    ["places are shared by more tokens than a micro-batch has", { k: 1, capacity: { factor: 1 } }],
  ])("routing that compares the whole batch is refused: %s", (what, routing) => {
    const json = { model: { routing }, data: { accumulate: 2 } };
    expect(() => resolveConfig({ file: { path: "run.json", json } })).toThrow(`run.json: data.accumulate: `);
    expect(() => resolveConfig({ file: { path: "run.json", json } })).toThrow(what);
  });
});
