import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { GgufMetadata, type GgufValue } from "../../formats/gguf/metadata.ts";
import { bytesSource, type GgufStore, openGguf, type StoredTensor } from "../../formats/index.ts";
import { createReferenceKernels } from "../../kernels/reference/index.ts";
import { Device } from "../../tensor/index.ts";
import { placedParts } from "../layout.ts";
import { ggufLayout } from "./layout.ts";
import { ggufConfig, readGguf } from "./model.ts";

const device = new Device(createReferenceKernels());

/** A golden file whose metadata and tensors are changed. */
async function changed(
  name: string,
  change: (entries: Map<string, GgufValue>, tensors: Map<string, StoredTensor>) => void,
): Promise<GgufStore> {
  const bytes = new Uint8Array(
    await readFile(new URL(`../../../test/golden/gguf/${name}.gguf`, import.meta.url)),
  );
  const store = await openGguf(bytesSource(bytes));
  const entries = new Map(store.gguf.keys().map((key) => [key, store.gguf.get(key)!]));
  const tensors = new Map(store.tensors);
  change(entries, tensors);
  return { ...store, tensors, gguf: new GgufMetadata(entries, "x.gguf") };
}

test.each<[string, string, (entries: Map<string, GgufValue>, tensors: Map<string, StoredTensor>) => void]>([
  [
    "no architecture",
    "x.gguf: the metadata has no general.architecture",
    (entries) => entries.delete("general.architecture"),
  ],
  [
    "an unknown architecture",
    'x.gguf: the architecture "toString" is not supported; supported: llama,',
    (entries) => entries.set("general.architecture", "toString"),
  ],
  [
    "a key that is not known",
    "x.gguf: qwen3moe.expert_dance: this key is not known",
    (entries) => entries.set("qwen3moe.expert_dance", 3),
  ],
  [
    "a key that is missing",
    "x.gguf: qwen3moe.expert_count: the metadata has no such key",
    (entries) => entries.delete("qwen3moe.expert_count"),
  ],
  [
    "a size that is none",
    "x.gguf: qwen3moe.block_count: 1.5 is no whole number of 1 or more",
    (entries) => entries.set("qwen3moe.block_count", 1.5),
  ],
  [
    "a key of another kind",
    "x.gguf: the metadata key qwen3moe.block_count is not a number",
    (entries) => entries.set("qwen3moe.block_count", "two"),
  ],
  [
    "stretched positions of an unknown kind",
    'x.gguf: qwen3moe.rope.scaling.type: "longrope" is not supported',
    (entries) => entries.set("qwen3moe.rope.scaling.type", "longrope"),
  ],
  [
    "heads of which only a part turns",
    "x.gguf: qwen3moe.rope.dimension_count: 6 is not the width of a head (12)",
    (entries) => entries.set("qwen3moe.rope.dimension_count", 6),
  ],
  [
    "more picks than experts",
    "num_experts_per_tok: 9 is more than num_experts (8)",
    (entries) => entries.set("qwen3moe.expert_used_count", 9),
  ],
  [
    "an expert that the family does not share",
    "x.gguf: qwen3moe.expert_shared_feed_forward_length: 12; a Qwen3-MoE has no shared expert",
    (entries) => entries.set("qwen3moe.expert_shared_feed_forward_length", 12),
  ],
  [
    "a missing tensor",
    "the weights have no tensor blk.1.ffn_up_exps.weight (for layers.1.moe.experts.gateUp)",
    (_, tensors) => tensors.delete("blk.1.ffn_up_exps.weight"),
  ],
  [
    "a surplus tensor",
    "the weights hold blk.7.attn_norm.weight, which the model has no place for",
    (_, tensors) => tensors.set("blk.7.attn_norm.weight", tensors.get("blk.0.attn_norm.weight")!),
  ],
  [
    "a tensor of another shape",
    "the tensor blk.0.attn_norm.weight has shape [31]; its config makes it [32]",
    (_, tensors) =>
      tensors.set("blk.0.attn_norm.weight", { ...tensors.get("blk.0.attn_norm.weight")!, shape: [31] }),
  ],
])("%s is named", async (_, message, change) => {
  const store = await changed("qwen3moe", change);
  await expect(readGguf(store, "x.gguf", device)).rejects.toThrow(message);
});

test("whether weights are divided by their sum: the file's word goes before the architecture's rule", async () => {
  const norm = async (name: string, value?: boolean) => {
    const store = await changed(name, (entries) => {
      if (value !== undefined) entries.set(`${name}.expert_weights_norm`, value);
    });
    return (await ggufConfig(store, "x.gguf")).norm_topk_prob;
  };
  expect(await norm("qwen3moe")).toBe(true);
  expect(await norm("qwen2moe")).toBe(false);
  expect(await norm("qwen2moe", true)).toBe(true);
});

test("what YaRN multiplies cosines and sines with", async () => {
  const factor = async (keys: Record<string, number>): Promise<unknown> => {
    const store = await changed("qwen3moe", (entries) => {
      entries.set("qwen3moe.rope.scaling.type", "yarn");
      entries.set("qwen3moe.rope.scaling.factor", 4);
      for (const [key, value] of Object.entries(keys)) entries.set(`qwen3moe.rope.scaling.${key}`, value);
    });
    const { rope_scaling } = await ggufConfig(store, "x.gguf");
    return (rope_scaling as { attention_factor?: number }).attention_factor;
  };
  const own = 0.1 * Math.log(4) + 1; // llama.cpp: ops.cpp, rope_yarn
  expect(await factor({})).toBeUndefined();
  expect(await factor({ yarn_attn_factor: 1.5 })).toBe(1.5);
  expect(await factor({ attn_factor: 2 })).toBeCloseTo(2 * own, 12);
  expect(await factor({ attn_factor: 2, yarn_attn_factor: 1.5 })).toBe(3);
  const plain = await changed("qwen3moe", (entries) => entries.set("qwen3moe.rope.scaling.attn_factor", 2));
  await expect(ggufConfig(plain, "x.gguf")).rejects.toThrow("attn_factor: 2 is supported with yarn only");
  // A DeepSeek's scores are multiplied with its square in llama.cpp, which transformers has nothing like.
  const latent = await changed("deepseek2", (entries) => {
    entries.set("deepseek2.rope.scaling.type", "yarn");
    entries.set("deepseek2.rope.scaling.factor", 4);
    entries.set("deepseek2.rope.scaling.attn_factor", 2);
  });
  await expect(ggufConfig(latent, "x.gguf")).rejects.toThrow("attn_factor: 2 is not supported, only 1");
});

test("keys that published files have and that change nothing are passed over", async () => {
  const coder = await changed("qwen3moe", (entries) =>
    entries.set("qwen3moe.expert_shared_feed_forward_length", 0),
  );
  expect(await ggufConfig(coder, "x.gguf")).toEqual(
    await ggufConfig(await changed("qwen3moe", () => {}), "x.gguf"),
  );
  const early = await changed("llama", (entries) =>
    entries.set("llama.tensor_data_layout", "Meta AI original pth"),
  );
  expect(await ggufConfig(early, "x.gguf")).toEqual(
    await ggufConfig(await changed("llama", () => {}), "x.gguf"),
  );
});

test("a text ends with the end of a turn too", async () => {
  const store = await changed("llama", (entries) => entries.set("tokenizer.ggml.eot_token_id", 7));
  expect((await ggufConfig(store, "x.gguf")).eos_token_id).toEqual([2, 7]);
});

test("fused queries, keys and values are runs of one tensor, and old files have a tensor an expert", async () => {
  const model = await readGguf(await changed("qwen3moe", () => {}), "x.gguf", device);
  const layout = ggufLayout(model.config);
  const ways = (name: string) => {
    const { shape } = new Map(model.tensors()).get(name)!;
    return placedParts(layout, name, shape).map((way) => way.map(({ run }) => run));
  };
  const { heads, kvHeads, headDim, width } = model.config;
  const rows = (heads + 2 * kvHeads) * headDim;
  const size = kvHeads * headDim * width;
  expect(ways("layers.1.attention.v.weight")[1]).toEqual([
    { file: "blk.1.attn_qkv.weight", shape: [rows, width], start: (heads + kvHeads) * headDim * width, size },
  ]);
  expect(
    ways("layers.0.moe.experts.gateUp")[2]!
      .map(({ file }) => file)
      .slice(0, 3),
  ).toEqual(["blk.0.ffn_gate.0.weight", "blk.0.ffn_up.0.weight", "blk.0.ffn_gate.1.weight"]);
  model.dispose();
});
