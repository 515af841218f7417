export { Attention, type AttentionOptions, type QkNorm } from "./attention.ts";
export type { AttentionCache, CachedAttention, CachedPass } from "./cache.ts";
export { Embedding } from "./embedding.ts";
export { LatentAttention, type LatentAttentionOptions } from "./latent-attention.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { SwigluMlp } from "./mlp.ts";
export {
  countParameters,
  disposeWeights,
  type Init,
  type Module,
  type NamedParameter,
  Parameter,
  within,
} from "./module.ts";
export { RmsNorm } from "./norm.ts";
export { allocate, materialise, type ParameterArena } from "./parameters.ts";
export { consecutive, PositionTable, type Sequence } from "./positions.ts";
export { Rotary, type RotaryOptions, rotate } from "./rope.ts";
export {
  type RotaryAngles,
  type RotaryScaling,
  type RotarySpec,
  rotaryAngles,
  yarnMagnitude,
} from "./rope-scaling.ts";
