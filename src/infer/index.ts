export { type CachedSequence, PagedCache, type SequenceRows } from "./cache.ts";
export { type GeneratedToken, type GenerateOptions, generate, logits } from "./generate.ts";
export { argmax, checkSampling, type Sample, type SamplingOptions, sample } from "./sampler.ts";
