import type { Decoder } from "../models/index.ts";
import type { RequestOptions } from "./options.ts";

/**
 * What the model's files ask for where a request says nothing: `generate(model, ids, { ...samplingDefaults(model), maxTokens: 64 })`.
 * Which keys it comes from stands in `model.generation.taken`, and what is not done in `model.generation.notes`.
 */
export function samplingDefaults(model: Decoder): Partial<RequestOptions> {
  const { maxLength: _, stop: __, forbidden = [], ...drawing } = model.generation.sampling;
  const never = forbidden.filter((id) => id < model.config.vocabulary);
  return {
    ...drawing,
    ...(never.length > 0 && { logitBias: new Map(never.map((id) => [id, Number.NEGATIVE_INFINITY])) }),
  };
}
