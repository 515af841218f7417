import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseRoutingSpec } from "../moe/index.ts";
import { countParameters } from "../nn/index.ts";
import { parameterCounts } from "./counts.ts";
import { readMistral } from "./families/mistral.ts";
import {
  beyondMixtral,
  MixtralModel,
  mixtralRouting,
  readMixtral,
  writeMixtral,
} from "./families/mixtral.ts";
import { describeConfig } from "./families.ts";
import { configText } from "./hf-config.ts";
import { publishedModels } from "./published.ts";
import { plainRope } from "./rope-config.ts";
import { countShape } from "./shape.ts";

/** The config.json of Mixtral-8x7B-v0.1, in transformers 4's spelling. */
const mixtral8x7b = {
  architectures: ["MixtralForCausalLM"],
  attention_dropout: 0.0,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: "silu",
  hidden_size: 4096,
  initializer_range: 0.02,
  intermediate_size: 14336,
  max_position_embeddings: 32768,
  model_type: "mixtral",
  num_attention_heads: 32,
  num_experts_per_tok: 2,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  num_local_experts: 8,
  output_router_logits: false,
  rms_norm_eps: 1e-5,
  rope_theta: 1000000.0,
  router_aux_loss_coef: 0.02,
  sliding_window: null,
  tie_word_embeddings: false,
  torch_dtype: "bfloat16",
  transformers_version: "4.36.0.dev0",
  use_cache: true,
  vocab_size: 32000,
};

test("Mixtral 8x7B is counted from its config alone, and as its published shape is", () => {
  const model = describeConfig(mixtral8x7b);
  const counts = parameterCounts(model);
  expect(counts).toEqual(countShape(publishedModels["mixtral-8x7b"]));
  expect(counts.total).toBe(46_702_792_704);
  expect(countParameters(model)).toBe(counts.total);
});

test("both spellings of transformers say the same, and what is written is read back", () => {
  const { rope_theta, torch_dtype, ...rest } = mixtral8x7b;
  const v5 = {
    ...rest,
    dtype: torch_dtype,
    rope_parameters: { rope_type: "default", rope_theta },
    head_dim: null,
  };
  const config = readMixtral(mixtral8x7b);
  expect(readMixtral(v5)).toEqual(config);
  expect(readMixtral(writeMixtral(config))).toEqual(config);
  expect(config).toMatchObject({
    headDim: 128,
    rope: plainRope(1e6),
    window: 0,
    eosIds: [2],
    balanceCoefficient: 0.02,
  });
  expect(config.routing).toEqual(mixtralRouting(8, 2));
});

test("floats are written as floats, which transformers 5 checks", () => {
  const text = configText(writeMixtral({ ...readMixtral(mixtral8x7b), balanceCoefficient: 1 }));
  expect(text).toContain('"router_jitter_noise": 0.0');
  expect(text).toContain('"router_aux_loss_coef": 1.0,');
  expect(text).toContain('"rope_theta": 1000000.0,');
  expect(text).toContain('"hidden_size": 4096,');
  expect(readMixtral(JSON.parse(text)).balanceCoefficient).toBe(1);
});

// transformers 5.18 refuses each of these where it is written as a whole number.
test.each([
  ["deepseek-v2-lite", "routed_scaling_factor", {}, 1],
  ["olmoe-1b-7b-0924", "clip_qkv", { clip_qkv: 8 }, 8],
])("%s: %s is a float to transformers", (name, key, change, value) => {
  const published = JSON.parse(
    readFileSync(new URL("../../test/golden/configs.json", import.meta.url), "utf8"),
  )[name];
  expect(configText(describeConfig({ ...published, ...change }).configJson())).toContain(
    `"${key}": ${value}.0,`,
  );
});

test("a Mistral that does not name its window has transformers' default", () => {
  const json = JSON.parse(
    readFileSync(new URL("../../test/golden/mistral/config.json", import.meta.url), "utf8"),
  );
  expect(readMistral(json).window).toBe(5);
  const { sliding_window: _, ...silent } = json;
  expect(readMistral(silent).window).toBe(4096);
  expect(readMistral({ ...json, sliding_window: null }).window).toBe(0);
});

test.each<[Record<string, unknown>, string]>([
  [{ quantization_config: { bits: 4 } }, "quantization_config.bits: unknown key"],
  [
    { quantization_config: { quant_method: "awq", weight_block_size: [128, 128] } },
    "quantization_config.quant_method: only fp8",
  ],
  [{ hidden_size: 4097 }, "hidden_size: 4097 is not divisible by num_attention_heads (32)"],
  [{ num_key_value_heads: 5 }, "num_key_value_heads: 5 does not divide num_attention_heads (32)"],
  [{ head_dim: 65 }, "head_dim: 65 is odd; rotary positions turn pairs"],
  [{ num_experts_per_tok: 9 }, "num_experts_per_tok: 9 is more than num_local_experts (8)"],
  [{ rope_parameters: { rope_type: "linear", rope_theta: 1e6 } }, "rope_parameters.factor: "],
  [{ rope_scaling: { type: "longrope", factor: 2 } }, "rope_scaling.rope_type: "],
  [{ hidden_act: "gelu" }, "hidden_act: "],
  [{ vocab_size: -1 }, "vocab_size: "],
  [{ intermediate_size: undefined }, "intermediate_size: "],
  [
    { conclave: { routing: { experts: 4, k: 2 } } },
    "conclave.routing.experts: 4 is not num_local_experts (8)",
  ],
  [
    { conclave: { routing: { experts: 8, k: 2, gate: { kind: "hash", vocabulary: 31999 } } } },
    "conclave.routing.gate.vocabulary: 31999 is less than vocab_size (32000)",
  ],
  [{ conclave: { routing: { experts: 8, k: 2, colour: 1 } } }, "conclave.routing.colour: unknown key"],
])("%j is refused by its key", (change, message) => {
  const read = (): unknown => readMixtral({ ...mixtral8x7b, ...change }, "x/config.json");
  expect(read).toThrow(
    expect.objectContaining({
      code: "config",
      message: expect.stringContaining(`x/config.json: ${message}`),
    }),
  );
});

test("a family or architecture that is not supported is named", () => {
  expect(() => describeConfig({ model_type: "t5", architectures: ["T5Model"] })).toThrow(
    'config.json: model_type is "t5"; supported: llama, mistral, ',
  );
  expect(() => describeConfig(null)).toThrow("model_type is missing");
  expect(() =>
    describeConfig({ ...mixtral8x7b, architectures: ["MixtralForSequenceClassification"] }, "x/config.json"),
  ).toThrow(
    'x/config.json: architectures is ["MixtralForSequenceClassification"]; a mixtral that can be run is MixtralForCausalLM',
  );
});

test.each<[string, Record<string, unknown>, string[]]>([
  ["Mixtral's own", { normalise: true }, []],
  ["softmax over the chosen, which is the same", { order: "select-then-score" }, []],
  ["training noise", { normalise: true, noise: "gaussian" }, []],
  ["weights left as they are", {}, ["normalise"]],
  ["a capacity of training", { normalise: true, capacity: { factor: 1.25 } }, []],
  [
    "a capacity that acts at inference",
    { normalise: true, capacity: { factor: 1, evaluation: 2 } },
    ["capacity"],
  ],
])("other libraries run %s routing as told, but for %j %j", (_, fields, beyond) => {
  const routing = parseRoutingSpec({ experts: 8, k: 2, ...fields });
  expect(beyondMixtral({ ...readMixtral(mixtral8x7b), routing })).toEqual(beyond);
});

test("a block's shares of active experts follow the routing", () => {
  const share = (spec: object): number =>
    new MixtralModel({ ...readMixtral(mixtral8x7b), routing: parseRoutingSpec({ experts: 8, ...spec }) })
      .expertShare;
  expect(share({ k: 2 })).toBe(0.25);
  expect(share({ select: { by: "token", topP: 0.9, maxK: 4 } })).toBe(0.5);
  expect(share({ select: { by: "expert", capacityFactor: 2 } })).toBe(0.25);
  expect(share({ select: { by: "soft" } })).toBe(1);
});
