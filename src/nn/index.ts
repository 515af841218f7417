export { Attention, type AttentionOptions, type KeyValueCache } from "./attention.ts";
export type { AttentionCache, CachedAttention, CachedPass } from "./cache.ts";
export { Embedding } from "./embedding.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { SwigluMlp } from "./mlp.ts";
export { countParameters, type Init, type Module, type NamedParameter, Parameter, within } from "./module.ts";
export { RmsNorm } from "./norm.ts";
export { allocate, materialise, type ParameterArena } from "./parameters.ts";
export { Rotary, rotate, type Sequence } from "./rope.ts";
