import { type RequestOptions, samplingDefaults } from "../infer/index.ts";
import type { Decoder } from "../models/index.ts";
import { drawSeed, type Seed } from "../tensor/index.ts";
import { harmless, remark } from "./output.ts";
import { type SamplingFlags, usualSampling as usual } from "./sampling-flags.ts";

/** What a command asks of {@link generate} but for the seed, by its flags and where they say nothing by the model's files. */
export interface Sampling {
  readonly options: RequestOptions;
  readonly stop: readonly string[];
  /** What of it comes from the model's files, in their spelling. */
  readonly defaults: Readonly<Record<string, unknown>>;
}

/** Keys of generation_config.json, and the flag that takes their place. */
const flagOf: Readonly<Record<string, keyof SamplingFlags>> = {
  do_sample: "temperature",
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  min_p: "minP",
  repetition_penalty: "repetitionPenalty",
  max_new_tokens: "maxTokens",
  max_length: "maxTokens",
  stop_strings: "stop",
};

/** `maxTokens`: the command's own default; `promptTokens`: what the prompt takes of the file's max_length. */
export function samplingOf(
  flags: SamplingFlags,
  model: Decoder,
  { maxTokens: most, promptTokens }: { maxTokens: number; promptTokens: number },
): Sampling {
  const { activeExperts: active, maskExperts: without } = flags;
  const { presencePenalty, frequencyPenalty } = flags;
  const { maxLength = Number.POSITIVE_INFINITY, stop = [] } = model.generation.sampling;
  const own = samplingDefaults(model);
  // What is left of the file's length; one token is written in any case.
  const room = Math.max(1, maxLength - promptTokens);
  const maxTokens = flags.maxTokens ?? own.maxTokens ?? Math.min(most, room);
  const drawing = {
    temperature: flags.temperature ?? own.temperature ?? usual.temperature,
    topK: flags.topK ?? own.topK,
    topP: flags.topP ?? own.topP ?? usual.topP,
    minP: flags.minP ?? own.minP,
  };
  const logitBias =
    flags.logitBias || own.logitBias
      ? new Map([...(own.logitBias ?? []), ...(flags.logitBias ?? [])])
      : undefined;
  const repetitionPenalty = flags.repetitionPenalty ?? own.repetitionPenalty;
  const penalties = { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias };
  const experts = active === undefined && without === undefined ? undefined : { active, without };
  return {
    options: { maxTokens, ...drawing, ...penalties, experts },
    stop: flags.stop ?? stop,
    defaults: Object.fromEntries(
      Object.entries(model.generation.taken).filter(([key]) => flags[flagOf[key]] === undefined),
    ),
  };
}

/** Says what of the sampling comes from the model's files. */
export function tellDefaults({ defaults }: Sampling): void {
  const said = Object.entries(defaults).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
  if (said.length > 0) remark(harmless(`from the model's files: ${said.join(", ")}`, process.stderr));
}

/** The seed of a command that was given none, or the one given. */
export function seedFor({ seed }: Pick<SamplingFlags, "seed">): Seed {
  return seed ?? drawSeed();
}
