/** What the configs of DeepSeek, gpt-oss and Llama 4 may not say, and what of their files is not read. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConclaveError } from "../errors.ts";
import { describeConfig } from "./index.ts";

const config = (name: string): Record<string, unknown> =>
  JSON.parse(
    readFileSync(new URL(`../../test/golden/models/${name}/config.json`, import.meta.url), "utf8"),
  ) as Record<string, unknown>;

test.each([
  ["deepseek-v2", { norm_topk_prob: true }, "norm_topk_prob: transformers does not obey it"],
  ["deepseek-v2", { topk_method: "group_limited_greedy" }, "n_group: missing, and topk_method is group"],
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

/** Each mixture of experts, with its key for the number of experts and where its text model's keys are. */
const mixtures = [
  ["mixtral", "num_local_experts"],
  ["olmoe", "num_experts"],
  ["qwen2-moe", "num_experts"],
  ["qwen3-moe", "num_experts"],
  ["granite-moe", "num_local_experts"],
  ["granite-moe-shared", "num_local_experts"],
  ["deepseek-v2", "n_routed_experts"],
  ["deepseek-v2-groups-yarn", "n_routed_experts"],
  ["deepseek-v3", "n_routed_experts"],
  ["gpt-oss", "num_local_experts"],
  ["llama4", "num_local_experts"],
  ["llama4-seeing", "num_local_experts"],
] as const;

/** What `name` with `change` is refused with. */
function refusal(name: string, change: Readonly<Record<string, unknown>>): unknown {
  const json = config(name);
  const text = json.text_config as Record<string, unknown> | undefined;
  const changed = text ? { ...json, text_config: { ...text, ...change } } : { ...json, ...change };
  try {
    describeConfig(changed, "m/config.json");
  } catch (error) {
    return error;
  }
  return undefined;
}

describe.each(mixtures)("%s names file and key", (name, experts) => {
  const wrong: (readonly [string, unknown])[] = ["num_experts_per_tok", experts].flatMap((key) =>
    [0, -1, null, "2", 1.5, true, 1e6].map((value) => [key, value] as const),
  );
  const others = {
    n_group: [3, -1, 0, "2", 1e6],
    topk_group: [99, 0, -1, "2"],
    scoring_func: ["tanh", null, 3],
    topk_method: ["best", null, 3],
    routed_scaling_factor: [0, -1, null, "2"],
    norm_topk_prob: ["yes", 3], // null is the default, as in transformers
    router_aux_loss_coef: ["0.1", -1],
    router_jitter_noise: [null, "0.1", -1, 1],
  };
  const own = config(name);
  const known = { ...own, ...(own.text_config as object | undefined) };
  for (const [key, values] of Object.entries(others)) {
    const isIgnored =
      (/^(deepseek|llama4)/.test(name) && /aux|jitter/.test(key)) ||
      (name === "deepseek-v2" && /_group$/.test(key)); // greedy has no groups
    if (key in known && !isIgnored) wrong.push(...values.map((value) => [key, value] as const));
  }

  test.each(wrong)("%s: %o", (key, value) => {
    const error = refusal(name, { [key]: value });
    expect(error).toBeInstanceOf(ConclaveError);
    const { code, exit, message } = error as ConclaveError;
    expect([code, exit]).toEqual(["config", 2]);
    expect(message).toMatch(/^m\/config\.json: (text_config: )?\w+: ./);
    // Too many experts or too few groups show at either of the keys that do not fit each other.
    const kin = [key, "num_experts_per_tok", "n_group", "topk_group", "num_local_experts", experts];
    expect(kin).toContain(/(\w+): /.exec(message.replace(/^m\/config\.json: (text_config: )?/, ""))?.[1]);
    expect(message).not.toMatch(/groups\.|select\.|\bspec\b/);
  });
});

test.each([
  [{ num_experts_per_tok: 99 }, "num_experts_per_tok: 99 is more than n_routed_experts (8)"],
  [{ n_group: 3 }, "n_group: 3 groups do not divide 8 experts"],
  [{ n_group: 2, topk_group: 3 }, "topk_group: 3 is more than n_group (2)"],
  [{ n_group: 8, topk_group: 4 }, "n_group: top2-sum takes groups of at least 2 experts, not 1"],
  [{ scoring_func: "softmax" }, 'scoring_func: expected "sigmoid"'],
  [{ num_experts_per_tok: undefined }, "num_experts_per_tok: missing"],
])("DeepSeek-V3's %o is told in its own keys", (change, message) => {
  expect((refusal("deepseek-v3", change) as Error).message).toBe(`m/config.json: ${message}`);
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
