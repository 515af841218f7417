export {
  type Block,
  type BlockInputs,
  type BlockOutput,
  PreNormBlock,
  type PreNormOptions,
  type SelfAttention,
  type SwigluMixtureOptions,
  swigluMixture,
} from "./block.ts";
export {
  modelTensors,
  type ReadOptions,
  readModel,
  readWeights,
  type WeightPrecision,
} from "./checkpoint.ts";
export {
  type Countable,
  type CountedPrecision,
  type ParameterCounts,
  type Part,
  type PartCount,
  parameterCounts,
  partOf,
  parts,
  precisions,
  weightBytes,
} from "./counts.ts";
export {
  Decoder,
  type DecoderConfig,
  type DecoderParts,
  type ForwardOptions,
  type HiddenStates,
  type ModelOutput,
} from "./decoder.ts";
export type { DeepseekConfig } from "./deepseek.ts";
export { DeepseekV2Model, readDeepseekV2, writeDeepseekV2 } from "./families/deepseek-v2.ts";
export { DeepseekV3Model, readDeepseekV3, writeDeepseekV3 } from "./families/deepseek-v3.ts";
export { type GptOssConfig, GptOssModel, readGptOss, writeGptOss } from "./families/gpt-oss.ts";
export {
  type GraniteMoeConfig,
  GraniteMoeModel,
  readGraniteMoe,
  writeGraniteMoe,
} from "./families/granite-moe.ts";
export { type LlamaConfig, LlamaModel, readLlama, writeLlama } from "./families/llama.ts";
export {
  type Llama4Config,
  Llama4Model,
  readLlama4,
  readLlama4Text,
  writeLlama4,
} from "./families/llama4.ts";
export { type MistralConfig, MistralModel, readMistral, writeMistral } from "./families/mistral.ts";
export {
  beyondMixtral,
  inMixtralForm,
  type MixtralConfig,
  MixtralModel,
  mixtralRouting,
  readMixtral,
  writeMixtral,
} from "./families/mixtral.ts";
export { type OlmoeConfig, OlmoeModel, readOlmoe, writeOlmoe } from "./families/olmoe.ts";
export { type Qwen2Config, Qwen2Model, readQwen2, writeQwen2 } from "./families/qwen2.ts";
export { type Qwen2MoeConfig, Qwen2MoeModel, readQwen2Moe, writeQwen2Moe } from "./families/qwen2-moe.ts";
export { type Qwen3Config, Qwen3Model, readQwen3, writeQwen3 } from "./families/qwen3.ts";
export { type Qwen3MoeConfig, Qwen3MoeModel, readQwen3Moe, writeQwen3Moe } from "./families/qwen3-moe.ts";
export { describeConfig, families } from "./families.ts";
export { type FamilyName, familyNames } from "./family-names.ts";
export { describeModel, loadModel, type SaveOptions, saveModel } from "./folder.ts";
export { ggufConfig, readGguf } from "./gguf/model.ts";
export type { FileLayout, FileParts } from "./layout.ts";
export {
  findPublished,
  type PublishedName,
  publishedModels,
  publishedNames,
  type RumouredName,
  rumouredModels,
} from "./published.ts";
export { plainRope, type RopeConfig } from "./rope-config.ts";
export {
  type CountRange,
  countRumour,
  countShape,
  type ModelShape,
  type PublishedShape,
  type RumouredShape,
} from "./shape.ts";
