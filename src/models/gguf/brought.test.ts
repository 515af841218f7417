/** GGUF files as they are found: with a tensor for each expert, with recommended sampling, and of other kinds than models. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openGgufFile } from "../../formats/files.gguf.ts";
import { encodeGguf, type TypedValue } from "../../formats/gguf/write.ts";
import { bytesSource, type GgufStore, openGguf, type StoredTensor } from "../../formats/index.ts";
import { logits } from "../../infer/index.ts";
import { createReferenceKernels } from "../../kernels/index.ts";
import { Device } from "../../tensor/index.ts";
import { readGgufSampling } from "../generation-config.ts";
import { ArchitectureKeys } from "./keys.ts";
import { readGguf } from "./model.ts";

const folder = new URL("../../../test/golden/gguf/", import.meta.url).pathname;

/** The stacked experts of a file as files of 2023 have them: blk.N.ffn_gate.E.weight. */
function apart(store: GgufStore): GgufStore {
  const tensors = new Map<string, StoredTensor>();
  const slices = new Map<string, { of: string; begin: number }>();
  for (const [name, tensor] of store.tensors) {
    const match = /^(blk\.\d+\.ffn_(?:gate|up|down))_exps\.weight$/.exec(name);
    if (!match) {
      tensors.set(name, tensor);
      continue;
    }
    const [experts, ...shape] = tensor.shape as [number, ...number[]];
    const byteLength = tensor.byteLength / experts;
    for (let e = 0; e < experts; e++) {
      const own = `${match[1]}.${e}.weight`;
      tensors.set(own, { name: own, dtype: tensor.dtype, shape, byteLength });
      slices.set(own, { of: name, begin: e * byteLength });
    }
  }
  return {
    ...store,
    tensors,
    read: (name, begin = 0, end) => {
      const slice = slices.get(name);
      if (!slice) return store.read(name, begin, end);
      return store.read(slice.of, slice.begin + begin, slice.begin + (end ?? tensors.get(name)!.byteLength));
    },
  };
}

test("a Mixtral with a tensor for each expert gives transformers' logits", async () => {
  const { ids, logits: expected } = JSON.parse(readFileSync(`${folder}expected.json`, "utf8")).mixtral as {
    ids: number[];
    logits: string;
  };
  const wanted = new Float32Array(new Uint8Array(Buffer.from(expected, "base64")).buffer);
  const file = await openGgufFile(`${folder}mixtral.gguf`);
  const store = apart(file);
  expect(store.tensors.has("blk.0.ffn_gate.3.weight")).toBe(true);
  const model = await readGguf(store, "old.gguf", new Device(createReferenceKernels()));
  await file.close();
  const got = await logits(model, ids);
  expect(got.length).toBe(wanted.length);
  expect(Math.max(...got.map((value, i) => Math.abs(value - wanted[i]!)))).toBeLessThan(1e-4);
});

async function storeWith(metadata: Record<string, TypedValue>): Promise<GgufStore> {
  return await openGguf(bytesSource(await encodeGguf([], metadata), "a.gguf"));
}

test("recommended sampling is taken, and what is not done is told", async () => {
  const { gguf } = await storeWith({
    "general.sampling.temp": { type: "f32", value: 0.6 },
    "general.sampling.top_p": { type: "f32", value: 0.95 },
    "general.sampling.top_k": { type: "i32", value: 20 },
    "general.sampling.mirostat": { type: "i32", value: 2 },
    "general.sampling.xtc_probability": { type: "f32", value: 0 },
  });
  expect(readGgufSampling(gguf, "a.gguf")).toEqual({
    sampling: { temperature: 0.6, topP: 0.95, topK: 20 },
    taken: { temperature: 0.6, top_p: 0.95, top_k: 20 },
    notes: ["a.gguf asks for what is not done: general.sampling.mirostat 2"],
  });
});

test.each<[Record<string, TypedValue>, RegExp]>([
  [{ "general.architecture": { type: "string", value: "clip" } }, /a\.gguf is the image or audio encoder/],
  [{ "general.type": { type: "string", value: "mmproj" } }, /a\.gguf is the image or audio encoder/],
  [{ "general.type": { type: "string", value: "imatrix" } }, /a\.gguf is an importance matrix/],
  [{ "general.type": { type: "string", value: "adapter" } }, /a\.gguf is a LoRA adapter/],
])("%j is refused by what it is", async (metadata, message) => {
  const store = await storeWith(metadata);
  expect(() => new ArchitectureKeys(store, "a.gguf")).toThrow(message);
});
