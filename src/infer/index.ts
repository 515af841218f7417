export { type CachedSequence, PagedCache, type SequenceRows } from "./cache.ts";
export { type AnswerOptions, Chat, type ChatSetup } from "./chat.ts";
export { samplingDefaults } from "./defaults.ts";
export { Engine, type EngineOptions } from "./engine.ts";
export { ExpertCache, type ExpertCacheFigures } from "./expert-cache.ts";
export { type BatchToken, generate, generateBatch, logits } from "./generate.ts";
export {
  type ExpertChoice,
  type GeneratedToken,
  type GenerateOptions,
  positionNote,
  type RequestOptions,
  type TokenExperts,
} from "./options.ts";
export { type PenaltyOptions, TokenHistory } from "./penalties.ts";
export { Generation } from "./request.ts";
export {
  argmax,
  checkSampling,
  type Sample,
  type SamplingOptions,
  type ScoredToken,
  sample,
} from "./sampler.ts";
export { Session } from "./session.ts";
export { knowsToken, StopCutter, type TextPiece, textOf } from "./text.ts";
