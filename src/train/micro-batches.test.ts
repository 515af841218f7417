import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "../tensor/index.ts";
import { resolveConfig } from "./config.ts";
import { splitBatch, type TokenCorpus, trainingBatch } from "./data.ts";
import { Learner } from "./learner.ts";
import { BatchTensors } from "./micro-batches.ts";
import { modelOf } from "./model.ts";

const device = new Device(createReferenceKernels());
const stream = (domain: string, stride: number) => ({
  domain,
  ids: Int32Array.from({ length: 60 }, (_, i) => (i * stride) % 50),
});
const streams = [stream("prose", 3), stream("code", 7)];

test("a batch in parts is the batch, and its tensors are written anew for each part", async () => {
  const whole = trainingBatch(streams, { batch: 6, sequence: 4 }, 3, 1);
  const parts = splitBatch(whole, 3);
  expect(parts.flatMap(({ inputs }) => [...inputs])).toEqual([...whole.inputs]);
  expect(parts.flatMap(({ targets }) => [...targets])).toEqual([...whole.targets]);
  expect(parts.flatMap(({ domains }) => domains)).toEqual(whole.domains);
  expect(new Set(whole.domains).size).toBe(2);
  const before = device.memory.live;
  const tensors = new BatchTensors(device, parts[0], ["prose", "code"], [5, -2]);
  for (const part of parts) {
    tensors.write(part);
    const domains = part.domains.flatMap((domain) => new Array<number>(4).fill(domain));
    expect([...(await tensors.ids_BS.data())]).toEqual([...part.inputs]);
    expect([...(await tensors.targets_T.data())]).toEqual([...part.targets]);
    expect([...(await tensors.labels.ids_T.data())]).toEqual(domains);
    expect([...(await tensors.priority_T!.data())]).toEqual(domains.map((domain) => [5, -2][domain]));
  }
  tensors.dispose();
  expect(device.memory.live).toBe(before);
});

test("each step draws its own noise, also where all batches are the same", async () => {
  const same = { domain: "same", ids: new Int32Array(100).fill(7) };
  const corpus: TokenCorpus = { train: [same], heldOut: [same], tokenBytes: new Int32Array(50).fill(1) };
  const lossAt = async (step: number, noise: string | null): Promise<number> => {
    const json = { model: { routing: { k: 2, noise }, initStd: 0.5 }, data: { sequence: 8, batch: 2 } };
    const config = resolveConfig({ preset: "tiny", file: { path: "test", json } });
    const learner = new Learner(
      modelOf(config, { vocabSize: 50, bosId: null, eosId: null }, "moe"),
      config,
      corpus,
      device,
    );
    const { loss } = await learner.step(step);
    learner.dispose();
    return loss;
  };
  expect(await lossAt(2, null)).toBe(await lossAt(1, null));
  expect(await lossAt(2, "gaussian")).not.toBe(await lossAt(1, "gaussian"));
  expect(await lossAt(2, "gaussian")).toBe(await lossAt(2, "gaussian"));
});
