/**
 * How the makers of a model say it should be sampled: generation_config.json beside config.json, and `general.sampling.*` of GGUF files.
 * Ids that end a text are read as transformers 5.18 reads them: a generation_config.json replaces config.json's, whatever it says.
 */
import { z } from "zod";
import { fail } from "../errors.ts";
import type { GgufMetadata } from "../formats/index.ts";
import { firstIssue } from "../moe/index.ts";

/** Sampling that a file asks for; undefined: it does not say. */
export interface SamplingDefaults {
  readonly temperature?: number;
  /** 0: no limit. */
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** Tokens to write. */
  readonly maxTokens?: number;
  /** Tokens of prompt and answer together. */
  readonly maxLength?: number;
  /** Ids that are never written. */
  readonly forbidden?: readonly number[];
  /** Texts that end the answer. */
  readonly stop?: readonly string[];
}

export interface GenerationDefaults {
  /** Ids that end a text; undefined: config.json's count. */
  readonly eosIds?: readonly number[];
  readonly sampling: SamplingDefaults;
  /** The keys that `sampling` comes from, in the file's spelling. */
  readonly taken: Readonly<Record<string, unknown>>;
  /** A line for each thing that the file asks for and that is not done. */
  readonly notes: readonly string[];
  /** The text of generation_config.json as parsed, to be written again with the model; undefined: there was none. */
  readonly json?: Readonly<Record<string, unknown>>;
}

export const noGenerationDefaults: GenerationDefaults = { sampling: {}, taken: {}, notes: [] };

/** -1 stands for "none" in files of old tools. */
const id = z.int().min(-1);
const ids = z.array(z.int().min(0));
const positive = z.number().gt(0);
const share = z.number().min(0).max(1);

/** The keys that are obeyed. A null says nothing, as in transformers. */
const obeyed = {
  eos_token_id: z.union([id, z.array(id)]),
  do_sample: z.boolean(),
  temperature: z.number().min(0),
  top_k: id,
  top_p: share,
  min_p: share,
  repetition_penalty: positive,
  max_new_tokens: z.int().min(0),
  max_length: z.int().min(0),
  suppress_tokens: ids,
  bad_words_ids: z.array(ids),
  stop_strings: z.union([z.string(), z.array(z.string())]),
};
const schema = z.object(obeyed).partial();
type Obeyed = z.infer<typeof schema>;

/** What keys say where they change nothing: transformers' own defaults for those that it gives one. */
const idle: Readonly<Record<string, readonly unknown[]>> = {
  num_beams: [1],
  num_beam_groups: [1],
  num_return_sequences: [1],
  no_repeat_ngram_size: [0],
  encoder_no_repeat_ngram_size: [0],
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  top_h: [1],
  penalty_alpha: [0],
  encoder_repetition_penalty: [1],
  diversity_penalty: [0],
  length_penalty: [1],
  min_length: [0],
  min_new_tokens: [0],
  guidance_scale: [1],
  early_stopping: [false],
  remove_invalid_values: [false],
  token_healing: [false],
  constraints: [[]],
  force_words_ids: [[]],
  begin_suppress_tokens: [[]],
  sequence_bias: [{}, []],
};

/** Keys about how transformers runs and reports, about what is not drawn, and notes of the file's maker. */
const silent =
  /^(_.*|transformers_version|(bos|pad|unk|sep|decoder_start)_token_id|use_cache|cache_.*|output_.*|return_.*|renormalize_logits|low_memory|compile_config|disable_compile|is_assistant|num_assistant.*|assistant_.*|target_lookbehind|prompt_lookup.*|max_matching_ngram_size|speculative.*|continuous_batching_config|prefill_chunk_size|trust_remote_code|chat_format|generation_kwargs|use_model_defaults|task_specific_params)$/;

/** What transformers draws by where a file says that it samples and no more. */
const sampled = { temperature: 1, topK: 50, topP: 1 } as const;

/**
 * Reads a parsed generation_config.json. Errors: "config", naming `source` and the key, where an obeyed key has a value that it cannot have.
 *
 * @param configEos the ids that config.json ends by, to say so where this file takes their part away
 */
export function readGenerationConfig(
  json: unknown,
  source: string,
  configEos: readonly number[] = [],
): GenerationDefaults {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    return fail("config", `${source}: not a JSON object`, `write it again, or delete ${source}`);
  const given = parse(json as Readonly<Record<string, unknown>>, source);
  const eosIds = endsOf(given.eos_token_id);
  const lost = configEos.filter((one) => !eosIds.includes(one));
  const silenced =
    eosIds.length === 0 && lost.length > 0
      ? [`${source} names no eos_token_id, so config.json's (${lost.join(", ")}) does not end a text`]
      : [];
  return {
    ...readSampling(given, json as Readonly<Record<string, unknown>>, source, silenced),
    eosIds,
    json: json as Readonly<Record<string, unknown>>,
  };
}

/** The generation keys that old files have in config.json, where there is no generation_config.json: those that say more than the defaults. */
export function readOldGenerationKeys(
  json: Readonly<Record<string, unknown>>,
  source: string,
): GenerationDefaults {
  const own = Object.entries(json).filter(
    ([key, value]) => oldGenerationKeys.has(key) && !isDefault(key, value),
  );
  if (own.length === 0) return noGenerationDefaults;
  const kept = Object.fromEntries(own);
  return readSampling(parse(kept, source), kept, source, []);
}

/** transformers' defaults of the keys that are obeyed: old tools wrote all of them into every config.json. */
const defaults: Readonly<Record<string, unknown>> = {
  do_sample: false,
  temperature: 1,
  top_k: 50,
  top_p: 1,
  repetition_penalty: 1,
  max_length: 20,
};

function isDefault(key: string, value: unknown): boolean {
  return value === null || value === defaults[key];
}

/** Keys of generation that transformers 4 wrote into config.json. */
export const oldGenerationKeys: ReadonlySet<string> = new Set([
  ...Object.keys(obeyed).filter((key) => key !== "eos_token_id"),
  ...Object.keys(idle),
  "cache_implementation",
  "exponential_decay_length_penalty",
  "forced_bos_token_id",
  "forced_eos_token_id",
  "output_scores",
  "return_dict_in_generate",
]);

function parse(json: Readonly<Record<string, unknown>>, source: string): Obeyed {
  const known = Object.entries(json).filter(([key, value]) => Object.hasOwn(obeyed, key) && value !== null);
  const result = schema.safeParse(Object.fromEntries(known));
  if (result.success) return result.data;
  const issue = firstIssue(result.error);
  return fail(
    "config",
    `${source}: ${issue}`,
    `correct ${issue.split(":")[0]} in ${source}, or delete it there`,
  );
}

function endsOf(given: number | readonly number[] | undefined): number[] {
  return [given ?? []].flat().filter((one) => one >= 0);
}

function readSampling(
  given: Obeyed,
  json: Readonly<Record<string, unknown>>,
  source: string,
  before: readonly string[],
): Omit<GenerationDefaults, "eosIds" | "json"> {
  const { bad_words_ids: bad = [], suppress_tokens: suppressed = [], stop_strings: stop } = given;
  const forbidden = [...suppressed, ...bad.filter((word) => word.length === 1).flat()];
  const phrases = bad.some((word) => word.length > 1);
  const unmet = Object.entries(json)
    .filter(([key, value]) => !Object.hasOwn(obeyed, key) && !isIdle(key, value))
    .map(([key, value]) => `${key} ${brief(value)}`);
  if (phrases) unmet.push("bad_words_ids of several tokens");
  const sampling: SamplingDefaults = {
    ...drawing(given),
    ...(given.repetition_penalty !== undefined && { repetitionPenalty: given.repetition_penalty }),
    ...(given.max_new_tokens !== undefined && { maxTokens: given.max_new_tokens }),
    ...(given.max_length !== undefined && { maxLength: given.max_length }),
    ...(forbidden.length > 0 && { forbidden }),
    ...(stop !== undefined && { stop: [stop].flat().filter((text) => text !== "") }),
  };
  const { eos_token_id: _, ...taken } = given;
  return {
    sampling,
    taken,
    notes:
      unmet.length > 0 ? [...before, `${source} asks for what is not done: ${unmet.join(", ")}`] : before,
  };
}

/** do_sample false is temperature 0. What a file says of drawing without a word on do_sample is what its makers want where one draws. */
function drawing(given: Obeyed): SamplingDefaults {
  if (given.do_sample === false) return { temperature: 0 };
  const { temperature, top_k: k, top_p: topP, min_p: minP } = given;
  const own: SamplingDefaults = {
    ...(temperature !== undefined && { temperature }),
    ...(k !== undefined && { topK: Math.max(0, k) }),
    // 0 would leave no token, and llama.cpp's and vLLM's readers take it for the likeliest alone.
    ...(topP !== undefined && (topP > 0 ? { topP } : { topK: 1 })),
    ...(minP !== undefined && { minP }),
  };
  return given.do_sample ? { ...sampled, ...own } : own;
}

function isIdle(key: string, value: unknown): boolean {
  if (value === null || silent.test(key)) return true;
  return (idle[key] ?? []).some((one) => JSON.stringify(one) === JSON.stringify(value));
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

const ggufPrefix = "general.sampling.";
const ggufKeys = {
  temp: "temperature",
  top_k: "top_k",
  top_p: "top_p",
  min_p: "min_p",
  penalty_repeat: "repetition_penalty",
} as const;

/** The sampling that a GGUF file recommends, which llama.cpp's converter takes from generation_config.json. Errors: "config". */
export function readGgufSampling(metadata: GgufMetadata, source: string): GenerationDefaults {
  const json: Record<string, unknown> = {};
  const unmet: string[] = [];
  for (const key of metadata.keys().filter((one) => one.startsWith(ggufPrefix))) {
    const name = key.slice(ggufPrefix.length);
    const value = metadata.get(key);
    if (Object.hasOwn(ggufKeys, name)) {
      const number = metadata.number(key);
      // Shares are stored in single precision: 0.95 comes as 0.949999988.
      json[ggufKeys[name as keyof typeof ggufKeys]] =
        number === undefined ? number : Number.parseFloat(number.toPrecision(6));
    } else if (!isIdleInGguf(name, value)) unmet.push(`${key} ${String(value)}`);
  }
  const { sampling, taken } = readSampling(parse(json, source), json, source, []);
  const notes = unmet.length > 0 ? [`${source} asks for what is not done: ${unmet.join(", ")}`] : [];
  return { sampling, taken, notes };
}

/** Zero turns each of these off; without mirostat and XTC their other numbers say nothing. `sequence` names samplers in an order of its own. */
function isIdleInGguf(name: string, value: unknown): boolean {
  return value === 0 || /^(xtc_threshold|mirostat_(tau|eta))$/.test(name);
}
