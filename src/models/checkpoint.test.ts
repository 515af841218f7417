import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  bytesSource,
  encodeSafetensors,
  openSafetensors,
  type TensorStore,
  type TensorToStore,
} from "../formats/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { parseRoutingSpec } from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import { Device } from "../tensor/index.ts";
import { modelTensors, readModel, readWeights } from "./checkpoint.ts";
import { MixtralModel, readMixtral } from "./families/mixtral.ts";
import { loadModel, saveModel } from "./folder.ts";

const golden = (name: string): string => fileURLToPath(new URL(`../../test/golden/${name}`, import.meta.url));
const device = new Device(createReferenceKernels());
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-models-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** The golden Mixtral's file, with its tensors changed. */
async function changed(change: (tensors: Map<string, TensorToStore>) => void): Promise<TensorStore> {
  const file = await openSafetensors(
    bytesSource(new Uint8Array(await readFile(`${golden("mixtral")}/model.safetensors`))),
  );
  const tensors = new Map<string, TensorToStore>();
  for (const [name, { dtype, shape }] of file.tensors)
    tensors.set(name, { name, dtype, shape, bytes: await file.read(name) });
  change(tensors);
  return openSafetensors(bytesSource(await encodeSafetensors([...tensors.values()])));
}

const configOf = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(`${golden(name)}/config.json`, "utf8"));

test.each(["mixtral", "mistral"])(
  "%s: what is loaded and saved again is the file that transformers wrote, byte for byte",
  async (name) => {
    const notes = await saveModel(`${folder}/${name}`, await loadModel(golden(name), device));
    const mine = await readFile(`${folder}/${name}/model.safetensors`);
    expect(mine.equals(await readFile(`${golden(name)}/model.safetensors`))).toBe(true);
    expect(notes).toEqual([]);
  },
);

test("bf16: the fused file of transformers, held as bf16 or as f32, gives the same bits in our file", async () => {
  const saved: Buffer[] = [];
  for (const weights of ["bf16", "f32"] as const) {
    const model = await loadModel(golden("mixtral-fused"), device, { weights });
    await saveModel(`${folder}/${weights}`, model, { precision: "bf16" });
    saved.push(await readFile(`${folder}/${weights}/model.safetensors`));
  }
  expect(saved[0].equals(saved[1])).toBe(true);
  const fused = await openSafetensors(
    bytesSource(new Uint8Array(await readFile(`${golden("mixtral-fused")}/model.safetensors`))),
  );
  const split = await openSafetensors(bytesSource(new Uint8Array(saved[0])));
  const all = Buffer.from(await fused.read("model.layers.1.mlp.experts.gate_up_proj"));
  const up = Buffer.from(await split.read("model.layers.1.block_sparse_moe.experts.2.w3.weight"));
  expect(all.subarray(5 * up.length, 6 * up.length).equals(up)).toBe(true);
});

test.each<[string, string, (tensors: Map<string, TensorToStore>) => void]>([
  [
    "missing",
    "the weights have no tensor model.layers.1.block_sparse_moe.experts.3.w1.weight (for layers.1.moe.experts.gateUp)",
    (tensors) => {
      tensors.delete("model.layers.1.block_sparse_moe.experts.3.w1.weight");
    },
  ],
  [
    "surplus",
    "the weights hold model.layers.2.input_layernorm.weight, which the model has no place for",
    (tensors) => {
      const name = "model.layers.2.input_layernorm.weight";
      tensors.set(name, { ...tensors.get("model.norm.weight")!, name });
    },
  ],
  [
    "wrongly shaped",
    "the tensor model.layers.0.self_attn.k_proj.weight has shape [32, 16]; its config makes it [16, 32]",
    (tensors) => {
      const name = "model.layers.0.self_attn.k_proj.weight";
      tensors.set(name, { ...tensors.get(name)!, shape: [32, 16] });
    },
  ],
  [
    "of whole numbers",
    "the tensor model.norm.weight is stored as I32; F32, F16, BF16 and F64 can be read",
    (tensors) => {
      tensors.set("model.norm.weight", { ...tensors.get("model.norm.weight")!, dtype: "I32" });
    },
  ],
])("a tensor that is %s is named", async (_, message, change) => {
  const store = await changed(change);
  await expect(readModel(await configOf("mixtral"), store, device)).rejects.toMatchObject({
    code: "model",
    message,
  });
});

test("a checkpoint loads into a model in training, and its weights come back", async () => {
  const store = await changed(() => {});
  const model = new MixtralModel(readMixtral(await configOf("mixtral")));
  materialise(model, device, 1);
  await readWeights(model, store);
  const file = await encodeSafetensors(modelTensors(model));
  expect(Buffer.from(file).equals(await readFile(`${golden("mixtral")}/model.safetensors`))).toBe(true);
});

describe("routing beyond Mixtral's", () => {
  const routing = parseRoutingSpec({
    experts: 4,
    k: 2,
    score: "sigmoid",
    groups: { count: 2, keep: 1 },
    bias: "selection-only",
    noise: "gaussian",
    normalise: true,
  });

  test("is saved whole, with the router's own parameters, and said", async () => {
    const config = { ...readMixtral(await configOf("mixtral")), routing, sharedHidden: 8 };
    const model = new MixtralModel(config);
    materialise(model, device, 5);
    const notes = await saveModel(`${folder}/beyond`, model);
    expect(notes).toEqual(["score", "groups", "bias", "sharedHidden"]);
    const back = (await loadModel(`${folder}/beyond`, device)) as MixtralModel;
    expect(back.config).toEqual(config);
    const names = [...model.tensors()].map(([name]) => name);
    expect(names.some((name) => name.includes("router.noise"))).toBe(true);
    expect(
      Buffer.from(await encodeSafetensors(modelTensors(back))).equals(
        await readFile(`${folder}/beyond/model.safetensors`),
      ),
    ).toBe(true);
  });
});

test("a folder with a weights file cut short is an error, not a model", async () => {
  await cp(golden("mixtral"), `${folder}/short`, { recursive: true });
  const bytes = await readFile(`${folder}/short/model.safetensors`);
  await writeFile(`${folder}/short/model.safetensors`, bytes.subarray(0, bytes.length - 100));
  await expect(loadModel(`${folder}/short`, device)).rejects.toMatchObject({ code: "file-damaged" });
});
