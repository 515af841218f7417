/** What the configs of DeepSeek, gpt-oss and Llama 4 may not say, and what of their files is not read. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { describeConfig } from "./index.ts";

const config = (name: string): Record<string, unknown> =>
  JSON.parse(
    readFileSync(new URL(`../../test/golden/models/${name}/config.json`, import.meta.url), "utf8"),
  ) as Record<string, unknown>;

test.each([
  ["deepseek-v2", { norm_topk_prob: true }, "norm_topk_prob: transformers does not obey it"],
  ["deepseek-v2", { topk_method: "group_limited_greedy" }, "topk_method: group_limited_greedy needs n_group"],
  ["deepseek-v2", { scoring_func: "sigmoid" }, "scoring_func"],
  ["deepseek-v3", { topk_method: "greedy" }, "topk_method"],
  ["deepseek-v3", { num_key_value_heads: 2 }, "num_key_value_heads: 2; all 4 heads have keys of their own"],
  ["deepseek-v3", { qk_head_dim: 16 }, "qk_head_dim: 16 is not qk_nope_head_dim + qk_rope_head_dim (12)"],
  ["deepseek-v3", { moe_layer_freq: 2 }, "moe_layer_freq"],
  ["gpt-oss", { rope_parameters: undefined }, "rope_scaling: missing"],
  ["gpt-oss", { sliding_window: null }, "sliding_window: null, but layer 0 has a window"],
  ["gpt-oss", { layer_types: ["full_attention"] }, "layer_types: 1 for num_hidden_layers 3"],
  ["gpt-oss", { swiglu_limit: 5 }, "swiglu_limit"],
  ["llama4", { attention_chunk_size: null }, "attention_chunk_size: null, but some layers look at chunks"],
  ["llama4", { no_rope_layers: [1] }, "no_rope_layers: 1 for num_hidden_layers 4"],
  ["llama4", { num_experts_per_tok: 9 }, "num_experts_per_tok: 9 is more than num_local_experts (4)"],
  ["llama4-seeing", { audio_config: {} }, "audio_config: unknown key"],
])("%s with %o is refused by name", (name, change, message) => {
  expect(() => describeConfig({ ...config(name), ...change })).toThrow(message);
});

test("a vision tower and drafting layers are left out, and nothing else", () => {
  const seeing = describeConfig(config("llama4-seeing"));
  expect(seeing.leavesOut("vision_model.layernorm_pre.weight")).toBe(true);
  expect(seeing.leavesOut("language_model.model.norm.weight")).toBe(false);
  expect(describeConfig(config("llama4")).leavesOut("vision_model.layernorm_pre.weight")).toBe(false);
  const drafting = describeConfig({ ...config("deepseek-v3"), num_nextn_predict_layers: 1 });
  expect(drafting.leavesOut("model.layers.2.eh_proj.weight")).toBe(true);
  expect(drafting.leavesOut("model.layers.1.eh_proj.weight")).toBe(false);
});
