import { afterAll, describe, expect, test } from "vitest";
import type { Kernels } from "../kernels/index.ts";
import { selectKernels } from "../kernels/select.ts";
import { Device } from "../tensor/index.ts";
import { type Json, resolveConfig } from "./config.ts";
import type { TokenCorpus } from "./data.ts";
import { evaluate } from "./evaluate.ts";
import type { StepRecord } from "./events.ts";
import { Learner } from "./learner.ts";
import { modelOf } from "./model.ts";

/** Training steps that are recorded and done again, against the same steps without. */

const { kernels } = await selectKernels({ threads: 2 });
afterAll(() => kernels.dispose());

const stream = (domain: string, stride: number) => ({
  domain,
  ids: Int32Array.from({ length: 200 }, (_, i) => (i * i * stride) % 257),
});
const corpus: TokenCorpus = {
  train: [stream("a", 3), stream("b", 7)],
  heldOut: [stream("a", 5)],
  tokenBytes: new Int32Array(257).fill(1),
};

interface Trained {
  readonly records: readonly StepRecord[];
  readonly weights: ArrayLike<number>;
  readonly replayed: number;
}

/** Six steps, with an evaluation before the last two. */
async function trained(routing: Json, records: boolean): Promise<Trained> {
  let replayed = 0;
  const counting: Kernels["record"] = (body) => {
    const recording = kernels.record(body);
    if (!recording || !records) return null;
    const replay = (): void => {
      replayed++;
      recording.replay();
    };
    return { ...recording, replay };
  };
  const device = new Device({ ...kernels, record: counting });
  const json = {
    model: { width: 8, heads: 2, kvHeads: 1, expertWidth: 8, routing },
    data: { sequence: 8, batch: 2 },
  };
  const config = resolveConfig({ preset: "tiny", file: { path: "test", json }, overrides: {} });
  const ends = { vocabSize: 257, bosId: null, eosId: 256 };
  const learner = new Learner(modelOf(config, ends, "moe"), config, corpus, device);
  const steps: StepRecord[] = [];
  for (let step = 1; step <= 6; step++) {
    if (step === 5)
      await evaluate(learner.model, corpus, { device, precision: "f32", sequence: 8, batch: 3, limit: 5 });
    steps.push(await learner.step(step));
  }
  const weights = await learner.optimizer.arena.values.data();
  learner.dispose();
  return { records: steps, weights, replayed };
}

describe.runIf(kernels.name !== "reference")("training passes", () => {
  test.each<[string, Json]>([
    ["token choice", {}],
    ["a selection bias that moves", { bias: { kind: "selection-only", rate: 0.01 } }],
    ["soft routing", { order: "score-then-select", select: { by: "soft", slots: 2 } }],
    ["a capacity", { capacity: { factor: 1 } }],
    [
      "a capacity with next best by score",
      { capacity: { factor: 1, overflow: "next-best", priority: "score" } },
    ],
    ["top-p", { order: "score-then-select", select: { by: "token", topP: 0.6 } }],
    ["expert choice", { order: "score-then-select", select: { by: "expert", capacityFactor: 1.5 } }],
    ["groups", { groups: { count: 2, keep: 1, score: "top2-sum" } }],
    ["gaussian noise", { noise: { kind: "gaussian" } }],
    ["labels", { select: { by: "label", table: { a: [0, 1, 2], b: [2, 3] } } }],
    ["places of each sequence", { k: 1, capacity: { places: 2, over: "sequence" } }],
    ["jitter", { noise: { kind: "jitter", epsilon: 0.1 } }],
  ])("with %s: done again they make the same weights and figures, bit for bit", async (_, routing) => {
    const { replayed, ...again } = await trained(routing, true);
    const { replayed: none, ...plain } = await trained(routing, false);
    expect(again).toEqual(plain);
    expect([replayed, none]).toEqual([4, 0]); // the first writes constants, the second is recorded
  });
});
