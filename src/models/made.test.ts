/** Weights that lie otherwise in their files, with kernels that map these: nothing is made before it is used. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fail } from "../errors.ts";
import { openTensors, writeTensors } from "../formats/files.ts";
import type { TensorToStore } from "../formats/index.ts";
import type { Kernels } from "../kernels/index.ts";
import { createNativeKernels } from "../kernels/native.ts";
import type { TokenRoute } from "../moe/index.ts";
import { sizeClass } from "../tensor/device.ts";
import { byteLength, context, Device, MadeTensor, Random, scope, tensor } from "../tensor/index.ts";
import type { Decoder } from "./decoder.ts";
import { loadModel, saveModel } from "./folder.ts";

let kernels: Kernels | null = null;
try {
  kernels = await createNativeKernels({ threads: 2 });
} catch {
  // No compiler here: the suite of the kernels says so.
}
const golden = (name: string): string =>
  fileURLToPath(new URL(`../../test/golden/models/${name}`, import.meta.url));
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-made-"));
  await withFp8(golden("deepseek-v3"), join(folder, "fp8"));
});
afterAll(async () => {
  kernels?.dispose();
  await rm(folder, { recursive: true });
});

/** A DeepSeek-V3 with its matrices as any e4m3 numbers, and their scales. */
async function withFp8(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  const config = JSON.parse(await readFile(join(from, "config.json"), "utf8"));
  config.quantization_config = { quant_method: "fp8", weight_block_size: [128, 128], fmt: "e4m3" };
  await writeFile(join(to, "config.json"), JSON.stringify(config));
  const store = await openTensors(from);
  const tensors: TensorToStore[] = [];
  for (const [name, { dtype, shape }] of store.tensors) {
    const random = new Random(1, name);
    if (!/_proj(_with_mqa)?\.weight$/.test(name))
      tensors.push({ name, dtype, shape, bytes: await store.read(name) });
    else {
      const codes = random
        .normals(shape[0] * shape[1], 1)
        .map((value) => (value < 0 ? 0xb0 : 0x30) + ((value * 8) & 7));
      tensors.push({ name, dtype: "F8_E4M3", shape, bytes: Uint8Array.from(codes) });
      const scale = new Uint8Array(Float32Array.of(0.2).buffer);
      tensors.push({ name: `${name}_scale_inv`, dtype: "F32", shape: [1, 1], bytes: scale });
    }
  }
  await store.close();
  await writeTensors(join(to, "model.safetensors"), tensors);
}

/** The pieces of each expert of a model that are made on demand, by layer. */
function madeExperts(model: Decoder): Map<number, MadeTensor[][]> {
  const layers = new Map<number, MadeTensor[][]>();
  for (const { moe } of model.blocks) {
    if (!moe) continue;
    const { count } = moe.experts;
    const own: MadeTensor[][] = Array.from({ length: count }, () => []);
    for (const [, { pieces, shape }] of moe.experts.tensors())
      if (shape.length === 3)
        for (const [i, piece] of pieces!.entries())
          own[Math.floor((i * count) / pieces!.length)].push(piece as MadeTensor);
    layers.set(moe.router.layer, own);
  }
  return layers;
}

const pieces = (model: Decoder): MadeTensor[] =>
  [...model.tensors()].flatMap(([, parameter]) =>
    (parameter.pieces ?? []).filter((piece) => piece instanceof MadeTensor),
  );

/** The logits of a pass, and the experts that each layer ran. */
async function pass(
  model: Decoder,
  device: Device,
  ids: number[],
): Promise<[Uint8Array, Map<number, Set<number>>]> {
  const routed = new Map<number, Set<number>>();
  const tap = (name: string, layer: number, value: unknown): void => {
    if (name !== "moe.route") return;
    const { kept_TK } = value as TokenRoute;
    routed.set(layer, new Set(device.kernels.mapping?.integers(kept_TK.buf, kept_TK.size)));
  };
  const ids_BS = tensor(device, Int32Array.from(ids), [1, ids.length]);
  try {
    const logits = scope(() => model.forward(ids_BS, context({ tap })).logits_TV);
    const { buffer } = await logits.data();
    logits.dispose();
    return [new Uint8Array(buffer), routed];
  } finally {
    ids_BS.dispose();
  }
}

/** A device keeps integers that every pass needs; less than any weight that is made here. */
const constants = 512;

const models = ["gpt-oss-mxfp4", "gpt-oss", "gpt-oss-tied", "llama4", "llama4-top2-tied", "fp8"] as const;

describe.skipIf(kernels === null).each(models)("%s", (name) => {
  const path = (): string => (name === "fp8" ? join(folder, "fp8") : golden(name));

  test("is opened with nothing made, runs the experts that tokens choose, and gives the bits of one read whole", async () => {
    const device = new Device(kernels!);
    const model = await loadModel(path(), device);
    expect(pieces(model).length).toBeGreaterThan(0);
    expect(pieces(model).filter(({ there }) => there)).toEqual([]);

    const reader = new Device({ ...kernels!, mapping: null });
    const whole = await loadModel(path(), reader);
    expect(pieces(whole)).toEqual([]);

    const used = new Map<number, Set<number>>();
    for (const ids of [[7], [7, 30, 2], [5]]) {
      const [logits, routed] = await pass(model, device, ids);
      for (const [layer, chosen] of routed) used.set(layer, new Set([...(used.get(layer) ?? []), ...chosen]));
      for (const [layer, experts] of madeExperts(model))
        expect(experts.map((own) => own.map(({ there }) => there))).toEqual(
          experts.map((own, id) => own.map(() => used.get(layer)!.has(id))),
        );
      expect(Buffer.compare(logits, (await pass(whole, reader, ids))[0])).toBe(0);
    }
    const made = pieces(model).filter(({ there }) => there);
    const { live } = device.memory;
    for (const piece of made) piece.letGo();
    const bytes = made.reduce((sum, { shape, dtype }) => sum + sizeClass(byteLength(shape, dtype)), 0);
    expect(live - device.memory.live).toBe(bytes);
    whole.dispose();
    model.dispose();
    expect([device.memory.live, device.memory.mapped]).toEqual([reader.memory.live, 0]);
    expect(device.memory.live).toBeLessThan(constants);
  });

  test("is saved with the values of one read whole, and stays unmade", async () => {
    const saved: Buffer[] = [];
    for (const mapping of [kernels!.mapping, null]) {
      const device = new Device({ ...kernels!, mapping });
      const model = await loadModel(path(), device);
      const to = join(folder, `saved-${name}`);
      await saveModel(to, model);
      expect(pieces(model).filter(({ there }) => there)).toEqual([]);
      model.dispose();
      saved.push(await readFile(join(to, "model.safetensors")));
    }
    expect(saved[0].equals(saved[1])).toBe(true);
  });
});

test.skipIf(kernels === null)(
  "where there is no memory for an expert, it is named, and later passes run",
  async () => {
    let full = false;
    const alloc: Kernels["alloc"] = (bytes) => {
      if (!full || bytes < 2000) return kernels!.alloc(bytes);
      return fail("memory", `alloc: no memory for ${bytes} bytes`);
    };
    const device = new Device({ ...kernels!, alloc });
    const model = await loadModel(golden("gpt-oss-mxfp4"), device);
    full = true;
    await expect(pass(model, device, [7])).rejects.toMatchObject({
      code: "memory",
      message: expect.stringMatching(
        /^making model\.layers\.0\.mlp\.experts\.gate_up_proj_blocks: alloc: no memory/,
      ),
    });
    expect(pieces(model).filter(({ there }) => there)).toEqual([]);
    full = false;
    expect((await pass(model, device, [7]))[0].length).toBeGreaterThan(0);
    model.dispose();
    expect(device.memory.live).toBeLessThan(constants);
  },
);
