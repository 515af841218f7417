import { fail } from "../errors.ts";
import { toldKeys } from "./config-keys.ts";
import type { Decoder } from "./decoder.ts";
import { DeepseekV2Model, readDeepseekV2 } from "./families/deepseek-v2.ts";
import { DeepseekV3Model, readDeepseekV3 } from "./families/deepseek-v3.ts";
import { GptOssModel, readGptOss } from "./families/gpt-oss.ts";
import { GraniteMoeModel, readGraniteMoe } from "./families/granite-moe.ts";
import { LlamaModel, readLlama } from "./families/llama.ts";
import { Llama4Model, readLlama4, readLlama4Text } from "./families/llama4.ts";
import { MistralModel, readMistral } from "./families/mistral.ts";
import { MixtralModel, readMixtral } from "./families/mixtral.ts";
import { OlmoeModel, readOlmoe } from "./families/olmoe.ts";
import { Qwen2Model, readQwen2 } from "./families/qwen2.ts";
import { Qwen2MoeModel, readQwen2Moe } from "./families/qwen2-moe.ts";
import { Qwen3Model, readQwen3 } from "./families/qwen3.ts";
import { Qwen3MoeModel, readQwen3Moe } from "./families/qwen3-moe.ts";
import { type FamilyName, familyNames } from "./family-names.ts";

/** A family as config.json names it, and how to make its model from there. */
interface Family {
  /** What `architectures` may say. */
  readonly architectures: readonly string[];
  /** The model that a parsed config.json describes. Errors: "config". */
  readonly describe: (json: unknown, source: string) => Decoder;
}

/** What each family is made with, by its `model_type`. */
export const families = {
  llama: {
    architectures: ["LlamaForCausalLM"],
    describe: (json: unknown, source: string): LlamaModel => new LlamaModel(readLlama(json, source)),
  },
  mistral: {
    architectures: ["MistralForCausalLM"],
    describe: (json: unknown, source: string): MistralModel => new MistralModel(readMistral(json, source)),
  },
  qwen2: {
    architectures: ["Qwen2ForCausalLM"],
    describe: (json: unknown, source: string): Qwen2Model => new Qwen2Model(readQwen2(json, source)),
  },
  qwen3: {
    architectures: ["Qwen3ForCausalLM"],
    describe: (json: unknown, source: string): Qwen3Model => new Qwen3Model(readQwen3(json, source)),
  },
  mixtral: {
    architectures: ["MixtralForCausalLM"],
    describe: (json: unknown, source: string): MixtralModel => new MixtralModel(readMixtral(json, source)),
  },
  olmoe: {
    architectures: ["OlmoeForCausalLM"],
    describe: (json: unknown, source: string): OlmoeModel => new OlmoeModel(readOlmoe(json, source)),
  },
  qwen2_moe: {
    architectures: ["Qwen2MoeForCausalLM"],
    describe: (json: unknown, source: string): Qwen2MoeModel => new Qwen2MoeModel(readQwen2Moe(json, source)),
  },
  qwen3_moe: {
    architectures: ["Qwen3MoeForCausalLM"],
    describe: (json: unknown, source: string): Qwen3MoeModel => new Qwen3MoeModel(readQwen3Moe(json, source)),
  },
  granitemoe: {
    architectures: ["GraniteMoeForCausalLM"],
    describe: (json: unknown, source: string): GraniteMoeModel =>
      new GraniteMoeModel(readGraniteMoe(json, source)),
  },
  granitemoeshared: {
    architectures: ["GraniteMoeSharedForCausalLM"],
    describe: (json: unknown, source: string): GraniteMoeModel =>
      new GraniteMoeModel(readGraniteMoe(json, source)),
  },
  deepseek_v2: {
    architectures: ["DeepseekV2ForCausalLM"],
    describe: (json: unknown, source: string): DeepseekV2Model =>
      new DeepseekV2Model(readDeepseekV2(json, source)),
  },
  deepseek_v3: {
    architectures: ["DeepseekV3ForCausalLM"],
    describe: (json: unknown, source: string): DeepseekV3Model =>
      new DeepseekV3Model(readDeepseekV3(json, source)),
  },
  gpt_oss: {
    architectures: ["GptOssForCausalLM"],
    describe: (json: unknown, source: string): GptOssModel => new GptOssModel(readGptOss(json, source)),
  },
  llama4_text: {
    architectures: ["Llama4ForCausalLM"],
    describe: (json: unknown, source: string): Llama4Model => new Llama4Model(readLlama4Text(json, source)),
  },
  llama4: {
    architectures: ["Llama4ForConditionalGeneration"],
    describe: (json: unknown, source: string): Llama4Model => new Llama4Model(readLlama4(json, source)),
  },
} as const;

families satisfies Readonly<Record<FamilyName, Family>>;

/**
 * The model that a parsed config.json describes: shapes only, no memory yet. Errors: "model" where its
 * model_type or architecture is not supported, "config" where a key is unknown or does not fit.
 */
export function describeConfig(json: unknown, source = "config.json"): Decoder {
  const { model_type: type, architectures } = (json ?? {}) as Record<string, unknown>;
  const { describe, architectures: known } = familyOf(type, source);
  const architecture = (Array.isArray(architectures) ? architectures[0] : architectures) ?? undefined;
  // A checkpoint that was saved without its head, of which transformers makes the same model.
  const withoutHead = known.map((name) => name.replace(/For[A-Za-z]+$/, "Model"));
  if (architecture !== undefined && ![...known, ...withoutHead].includes(architecture)) {
    const given = JSON.stringify(architectures);
    fail("model", `${source}: architectures is ${given}; a ${type} that can be run is ${known.join(" or ")}`);
  }
  const model = describe(json, source);
  model.notes = notesOf(json as Readonly<Record<string, unknown>>, source);
  return model;
}

function notesOf(json: Readonly<Record<string, unknown>>, source: string): string[] {
  const { text_config: text } = json;
  const told = [json, ...(typeof text === "object" && text !== null ? [text] : [])].flatMap(toldKeys);
  return told.length > 0 ? [`${source}: passed over, as they change no result: ${told.join(", ")}`] : [];
}

function familyOf(type: unknown, source: string): Family {
  const family = Object.entries<Family>(families).find(([name]) => name === type)?.[1];
  const given = type === undefined ? "is missing" : `is ${JSON.stringify(type)}`;
  return family ?? fail("model", `${source}: model_type ${given}; supported: ${familyNames.join(", ")}`);
}
