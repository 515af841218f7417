/** Every family against transformers 5.18: logits, routes, and what is saved again. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { bytesSource, encodeSafetensors, openSafetensors, toFloat32 } from "../../src/formats/index.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { configText } from "../../src/models/hf-config.ts";
import { familyNames, loadModel, modelTensors, readModel } from "../../src/models/index.ts";
import { valuesOf } from "../../src/models/pieces.ts";
import type { Route } from "../../src/moe/index.ts";
import { context, Device, keep, scope, type Tap, type Tensor, tensor } from "../../src/tensor/index.ts";
import { fixtureFolder, fixtureNames, goldenOf } from "./fixtures.ts";

const device = new Device(createReferenceKernels());

test("every family has a fixture", async () => {
  const types = new Set<string>();
  for (const name of fixtureNames)
    types.add(JSON.parse(await readFile(`${fixtureFolder(name)}/config.json`, "utf8")).model_type);
  expect([...types].sort()).toEqual([...familyNames].sort());
});

/** Their experts are one tensor in their files, with rows for columns, and are written so. */
const rearranged = /^(gpt-oss|gpt-oss-tied|llama4.*)$/;

describe.each(fixtureNames)("%s", (name) => {
  test("has transformers' logits and routes", async () => {
    const golden = await goldenOf(name);
    const model = await loadModel(fixtureFolder(name), device);
    const routed = new Map<number, Tensor>();
    const tap: Tap = (what, layer, value) => {
      const route = value as Route;
      if (what === "moe.route" && route.by === "token")
        routed.set(layer, keep(route.ids_TK.view(route.ids_TK.shape)));
    };
    const ids_BS = tensor(device, Int32Array.from(golden.ids), [1, golden.ids.length]);
    const logits_TV = scope(() => model.forward(ids_BS, context({ tap })).logits_TV);

    expect(worstDifference(await logits_TV.data(), golden.logits_TV)).toBeLessThan(1e-4);
    expect([...routed.keys()]).toEqual([...golden.routes.keys()].sort((a, b) => a - b));
    for (const [layer, ids_TK] of routed)
      expect(await inRisingOrder(ids_TK), `layer ${layer}`).toEqual([...golden.routes.get(layer)!]);
    model.dispose();
  });

  test("is saved as it was read, and reads as it was saved", async () => {
    const model = await loadModel(fixtureFolder(name), device);
    const saved = await openBytes(await encodeSafetensors(modelTensors(model)));
    const original = await openBytes(await readFile(`${fixtureFolder(name)}/model.safetensors`));
    // Fused experts are written apart, those in MXFP4 as the numbers they stand for (src/models/saving.test.ts), and of one that sees the text model.
    const files = [...original.tensors.keys()].filter((file) => !model.leavesOut(file));
    const fused =
      files.some((file) => /experts\.(gate_up_proj_blocks|gate_up_proj)$/.test(file)) &&
      !rearranged.test(name);
    const ownName = (file: string): string => file.replace(/^language_model\./, "");
    for (const file of files) {
      if (fused && file.includes(".mlp.")) continue;
      const values = toFloat32(original.tensors.get(file)!.dtype, await original.read(file));
      expect(sameBits(values, toFloat32("F32", await saved.read(ownName(file)))), file).toBe(true);
    }
    if (!fused) expect([...saved.tensors.keys()].sort()).toEqual(files.map(ownName).sort());

    const again = await readModel(JSON.parse(configText(model.configJson())), saved, device);
    const { sees, ...config } = model.config as typeof model.config & { sees?: boolean };
    expect(again.config).toEqual(sees === undefined ? config : { ...config, sees: false });
    expect(again.constructor).toBe(model.constructor);
    const mine = new Map(again.tensors());
    for (const [parameter, read] of model.tensors()) {
      const [before, after] = [
        await valuesOf(read, 0, read.size),
        await valuesOf(mine.get(parameter)!, 0, read.size),
      ];
      expect(sameBits(before, after), parameter).toBe(true);
    }
    for (const one of [model, again]) one.dispose();
  });
});

const openBytes = (bytes: Uint8Array): ReturnType<typeof openSafetensors> =>
  openSafetensors(bytesSource(new Uint8Array(bytes)));

const bitsOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);

const sameBits = (a: ArrayBufferView, b: ArrayBufferView): boolean => bitsOf(a).equals(bitsOf(b));

function worstDifference(mine: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(mine.length).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < mine.length; i++) worst = Math.max(worst, Math.abs(mine[i] - expected[i]));
  return worst;
}

/** The values of [T, K], each row sorted, one after the other. */
async function inRisingOrder(ids_TK: Tensor): Promise<number[]> {
  const k = ids_TK.shape[1];
  const ids = Array.from(await ids_TK.data());
  return ids.flatMap((_, i) => (i % k === 0 ? ids.slice(i, i + k).sort((a, b) => a - b) : []));
}
