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
export { describeConfig, type FamilyName, families, familyNames } from "./families.ts";
export { describeModel, loadModel, type SaveOptions, saveModel } from "./folder.ts";
export type { FileLayout, FileParts } from "./layout.ts";
export {
  countShape,
  type ModelShape,
  type PublishedName,
  type PublishedShape,
  publishedModels,
  publishedNames,
} from "./published.ts";
