import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readTokenizer, tokenizerFiles, trainBpe } from "../formats/index.ts";
import type { Kernels } from "../kernels/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "../tensor/index.ts";
import { resolveConfig } from "./config.ts";
import { Course } from "./course.ts";
import { Learner } from "./learner.ts";
import { modelOf } from "./model.ts";

/** Kernels whose optimizer still runs after its call, until another kernel is called or somebody waits. */
function withLateOptimizer(kernels: Kernels): { kernels: Kernels; runs: () => boolean } {
  let late = false;
  const run = Object.fromEntries(
    Object.entries(kernels.run).map(([name, kernel]) => [
      name,
      (args: never) => {
        (kernel as (args: never) => void)(args);
        late = name === "adamw";
      },
    ]),
  ) as unknown as Kernels["run"];
  const finish = (): void => {
    late = false;
  };
  return { kernels: { ...kernels, run, finish }, runs: () => late };
}

test("a step's time ends with its optimizer before anything but another step", async () => {
  const folder = await mkdtemp(join(tmpdir(), "conclave-course-"));
  const late = withLateOptimizer(createReferenceKernels());
  const device = new Device(late.kernels);
  const json = {
    model: { width: 4, heads: 1, kvHeads: 1, expertWidth: 4, layers: 1 },
    data: { sequence: 4, batch: 1 },
  };
  const config = resolveConfig({
    preset: "tiny",
    file: { path: "test", json },
    overrides: { steps: 4, evalEvery: 3, checkpointEvery: 2 },
  });
  const tokenizer = readTokenizer(tokenizerFiles(trainBpe(["abc"], { vocabSize: 257 })));
  const ids = Int32Array.from({ length: 12 }, (_, i) => i);
  const corpus = {
    train: [{ domain: "a", ids }],
    heldOut: [{ domain: "a", ids }],
    tokenBytes: new Int32Array(257).fill(1),
  };
  const learner = new Learner(modelOf(config, tokenizer, "moe"), config, corpus, device);
  const runs: boolean[] = [];
  const course = await Course.open({
    role: "moe",
    folder,
    learner,
    config,
    corpus,
    device,
    alarm: null,
    onEvent: (event) => event.type === "step" && runs.push(late.runs()),
  });
  await course.run(undefined);
  expect(runs).toEqual([true, false, false, false]); // saves after step 2, evaluates after 3, both after 4
  await course.close();
  learner.dispose();
  device.dispose();
  await rm(folder, { recursive: true });
});
