/** What a model keeps besides its weights goes with it: tables of positions and of hashes, numbers that passes share. */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { MoeLayer, parseRoutingSpec, SwigluExperts } from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import { context, Device, scope, tensor } from "../tensor/index.ts";
import { type Decoder, loadModel, MixtralModel } from "./index.ts";

const golden = fileURLToPath(new URL("../../test/golden", import.meta.url));
const families = readdirSync(`${golden}/models`, { withFileTypes: true }).filter((entry) =>
  entry.isDirectory(),
);

async function pass(device: Device, model: Decoder, length: number): Promise<void> {
  const ids = tensor(device, new Int32Array(2 * length).fill(1), [2, length]);
  const { logits_TV } = scope(() => ({ logits_TV: model.forward(ids, context()).logits_TV }));
  await logits_TV.data();
  logits_TV.dispose();
  ids.dispose();
}

test.each(families.map(({ name }) => name))("%s: its memory is given back", async (name) => {
  const device = new Device(createReferenceKernels());
  const model = await loadModel(`${golden}/models/${name}`, device).catch(() => null);
  if (!model) return; // no whole model lies there
  await pass(device, model, 3);
  await pass(device, model, 7);
  model.dispose();
  expect(device.memory.live).toBe(0);
});

const routings = [
  { experts: 4, gate: { kind: "hash", vocabulary: 64, seed: 3 }, select: { by: "token", k: 2 } },
  { experts: 4, k: 2, capacity: { factor: 1, over: "sequence" } },
  { experts: 4, select: { by: "soft", slots: 2 } },
];

test.each(routings)("routing by %j: a model's and a layer's memory is given back", async (json) => {
  const device = new Device(createReferenceKernels());
  const { config } = (await loadModel(`${golden}/mixtral`, device)) as MixtralModel;
  const spec = parseRoutingSpec(json);
  const before = device.memory.live;
  const models = [1, 2].map((seed) => {
    const model = new MixtralModel({ ...config, routing: spec });
    return { model, arena: materialise(model, device, seed) };
  });
  for (const { model } of models) await pass(device, model, 5);
  models[0].model.dispose();
  models[0].arena.dispose();
  await pass(device, models[1].model, 5); // which shared what the first used
  models[1].model.dispose();
  models[1].arena.dispose();
  expect(device.memory.live).toBe(before);

  const layer = new MoeLayer({
    spec,
    width: 8,
    experts: new SwigluExperts({ count: 4, width: 8, hidden: 16 }),
  });
  const arena = materialise(layer, device, 1);
  const x = tensor(device, new Float32Array(6 * 8).fill(0.1), [2, 3, 8]);
  const tokenIds = tensor(device, new Int32Array(6));
  scope(() => void layer.forward(x, context(), { tokenIds }));
  x.dispose();
  tokenIds.dispose();
  layer.dispose();
  arena.dispose();
  expect(device.memory.live).toBe(before);
});
