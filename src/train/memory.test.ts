import { expect, test } from "vitest";
import { readTokenizer, tokenizerFiles, trainBpe } from "../formats/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "../tensor/index.ts";
import { type Json, resolveConfig } from "./config.ts";
import { Learner } from "./learner.ts";
import { leastStepBytes } from "./memory.ts";
import { modelOf } from "./model.ts";

const tokenizer = readTokenizer(tokenizerFiles(trainBpe(["abc"], { vocabSize: 257 })));
const ids = Int32Array.from({ length: 200 }, (_, i) => i % 257);

test.each([
  [{ model: { layers: 3 } }],
  [{ model: { layers: 1, width: 8, heads: 2, kvHeads: 1, expertWidth: 64 }, precision: "bf16" }],
  [{ model: { sharedExperts: 1, headDim: 16 } }],
] as readonly [Json][])(
  "a step takes what it is said to take at least, and less than twice as much: %j",
  async (json) => {
    const overrides = { data: { vocabSize: 257, sequence: 32, batch: 4 } };
    const config = resolveConfig({ preset: "tiny", file: { path: "test", json }, overrides });
    const corpus = {
      train: [{ domain: "a", ids }],
      heldOut: [{ domain: "a", ids }],
      tokenBytes: new Int32Array(257),
    };
    const device = new Device(createReferenceKernels());
    const learner = new Learner(modelOf(config, tokenizer, "moe"), config, corpus, device);
    const before = device.memory.live;
    device.resetPeak();
    await learner.step(1);
    const took = device.memory.peak - before;
    expect(leastStepBytes(config)).toBeLessThanOrEqual(took);
    expect(leastStepBytes(config)).toBeGreaterThan(took / 2);
    learner.dispose();
    device.dispose();
  },
);
