import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseRoutingSpec } from "../moe/index.ts";
import { parameterCounts } from "./counts.ts";
import { readOlmoe, writeOlmoe } from "./families/olmoe.ts";
import { describeConfig, families } from "./families.ts";
import { familyNames } from "./family-names.ts";
import { configText } from "./hf-config.ts";

type Json = Record<string, unknown>;
const golden = (name: string): Record<string, Json> =>
  JSON.parse(readFileSync(new URL(`../../test/golden/${name}.json`, import.meta.url), "utf8"));

/** Published config.json files, in transformers 4's spelling. */
const configs = golden("configs");
/** Counted by transformers' own modules: test/golden/configs.py. */
const counts = golden("configs_counts");

describe.each(Object.keys(configs))("%s", (name) => {
  test("has transformers' weights, part by part", () => {
    const { total, byPart } = parameterCounts(describeConfig(configs[name]));
    const mine = Object.entries(byPart).map(([part, count]) => [part, count.total] as const);
    expect({ total, ...Object.fromEntries(mine.filter(([, n]) => n > 0)) }).toEqual(counts[name]);
  });

  test("is written so that it reads the same", () => {
    const model = describeConfig(configs[name]);
    expect(describeConfig(JSON.parse(configText(model.configJson()))).config).toEqual(model.config);
  });

  test("refuses a key it does not know", () => {
    expect(() => describeConfig({ ...configs[name], colour: 1 }, "a.json")).toThrow(
      "a.json: colour: unknown key",
    );
  });
});

test.each([
  ["mixtral-8x7b-v0.1", 12_879_925_248],
  ["qwen3-30b-a3b", 3_353_032_704],
] as const)("%s: a token passes %d weights", (name, active) => {
  expect(parameterCounts(describeConfig(configs[name])).active).toBe(active);
});

test.each<[string, Json, string]>([
  ["llama-3.1-8b", { mlp_bias: true }, "mlp_bias: feed-forward layers with offsets are not supported"],
  ["llama-3.1-8b", { rope_scaling: { rope_type: "longrope" } }, "rope_scaling.rope_type: "],
  [
    "llama-3.1-8b",
    { rope_scaling: { type: "linear", factor: 2, colour: 1 } },
    "rope_scaling.colour: unknown key",
  ],
  ["qwen2.5-0.5b", { use_mrope: true }, "use_mrope: positions of images are not supported"],
  ["qwen2.5-0.5b", { layer_types: ["full_attention"] }, "layer_types: 1 for num_hidden_layers 24"],
  [
    "qwen2.5-0.5b",
    { layer_types: Array(24).fill("sliding_attention") },
    "layer_types: layer 0 slides, but use_sliding_window or sliding_window says no",
  ],
  ["olmoe-1b-7b-0924", { head_dim: 64 }, "head_dim: OLMoE's heads share the width evenly, so it is 128"],
  ["olmoe-1b-7b-0924", { num_experts_per_tok: 65 }, "num_experts_per_tok: 65 is more than num_experts (64)"],
  ["qwen3-30b-a3b", { num_experts: undefined }, "num_experts: missing"],
  ["qwen3-coder-30b-a3b", { shared_expert_intermediate_size: 768 }, "shared_expert_intermediate_size: "],
  ["qwen3-30b-a3b", { num_local_experts: 64 }, "num_local_experts: 64 is not num_experts (128)"],
  ["qwen3-30b-a3b", { mlp_only_layers: [48] }, "mlp_only_layers: there is no layer 48"],
  ["granite-3.0-1b-a400m", { shared_intermediate_size: 8 }, "shared_intermediate_size: unknown key"],
  ["granite-3.0-1b-a400m", { logits_scaling: 0 }, "logits_scaling: "],
])("%s with %j is refused", (name, change, message) => {
  expect(() => describeConfig({ ...configs[name], ...change }, "a.json")).toThrow(
    expect.objectContaining({ code: "config", message: expect.stringContaining(`a.json: ${message}`) }),
  );
});

test("a config that cannot say a routing is not written", () => {
  const config = readOlmoe(configs["olmoe-1b-7b-0924"]);
  const routing = parseRoutingSpec({ experts: 64, k: 8, score: "sigmoid", capacity: { factor: 2 } });
  expect(() => writeOlmoe({ ...config, routing })).toThrow(
    "config.json of olmoe: it cannot say the routing's score, capacity",
  );
});

test("windows stand in the layers that transformers gives them", () => {
  const windows = (name: string, change: Json): unknown =>
    (describeConfig({ ...configs[name], num_hidden_layers: 5, ...change }).config as { windows?: unknown })
      .windows;
  const sliding = { use_sliding_window: true, sliding_window: 100, max_window_layers: 3 };
  expect(windows("qwen2.5-0.5b", sliding)).toEqual([0, 0, 0, 100, 100]);
  expect(windows("qwen1.5-moe-a2.7b", sliding)).toEqual([100, 0, 100, 0, 0]);
  expect(windows("qwen2.5-0.5b", { sliding_window: 100, max_window_layers: 3 })).toEqual([0, 0, 0, 0, 0]);
});

test("the names that the command lists are those of the families", () => {
  expect(Object.keys(families)).toEqual(familyNames);
});
