import * as z from "zod";
import { bytesInOrder, bytesToSurface } from "./byte-level.ts";
import { splitPattern } from "./split.ts";
import type { BpeModel } from "./train.ts";

/** The two JSON files that Hugging Face libraries read a tokenizer from. */
export interface TokenizerFiles {
  readonly tokenizer: string;
  readonly config: string;
  /** special_tokens_map.json and added_tokens.json, which older models have. */
  readonly specialTokens?: string | undefined;
  readonly added?: string | undefined;
}

/**
 * Writes a trained vocabulary as tokenizer.json and tokenizer_config.json. The first special token is both bos and eos;
 * none is added to a text unless it is written there.
 */
export function tokenizerFiles(model: BpeModel, { maxLength }: { maxLength?: number } = {}): TokenizerFiles {
  const { specialTokens, merges } = model;
  const surfaces = [...specialTokens, ...bytesInOrder.map((byte) => bytesToSurface([byte]))];
  for (const [left, right] of merges) surfaces.push(surfaces[left]! + surfaces[right]!);
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: splitPattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(surfaces.map((surface, id) => [surface, id])),
      merges: merges.map(([left, right]) => `${surfaces[left]} ${surfaces[right]}`),
    },
  };
  const end = specialTokens[0];
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...(end === undefined ? {} : { bos_token: end, eos_token: end }),
    ...(maxLength === undefined ? {} : { model_max_length: maxLength }),
    clean_up_tokenization_spaces: false,
  };
  return {
    tokenizer: `${JSON.stringify(tokenizer, null, 1)}\n`,
    config: `${JSON.stringify(config, null, 2)}\n`,
  };
}

const off = z.union([z.null(), z.literal("")]).optional();
const split = z.strictObject({
  type: z.literal("Split"),
  pattern: z.strictObject({ Regex: z.string() }),
  behavior: z.literal("Isolated"),
  invert: z.literal(false).optional(),
});
const byteLevel = z.strictObject({
  type: z.literal("ByteLevel"),
  add_prefix_space: z.literal(false),
  trim_offsets: z.boolean().optional(),
  use_regex: z.boolean().optional(),
});
const byteLevelLoose = z.looseObject({ type: z.literal("ByteLevel") });
const specialPart = z.strictObject({ SpecialToken: z.strictObject({ id: z.string(), type_id: z.number() }) });
const textPart = z.strictObject({ Sequence: z.strictObject({ id: z.literal("A"), type_id: z.number() }) });
const template = z.strictObject({
  type: z.literal("TemplateProcessing"),
  single: z.array(z.union([specialPart, textPart])),
  pair: z.unknown(),
  special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(z.int()) })),
});

interface SplitJson {
  readonly type: "Split";
  readonly pattern: { readonly Regex: string };
  readonly behavior: "Isolated";
  readonly invert?: false;
}

interface ByteLevelJson {
  readonly type: "ByteLevel";
  readonly add_prefix_space: false;
  readonly trim_offsets?: boolean;
  readonly use_regex?: boolean;
}

interface TemplateJson {
  readonly type: "TemplateProcessing";
  readonly single: readonly (
    | { readonly SpecialToken: { readonly id: string; readonly type_id: number } }
    | { readonly Sequence: { readonly id: "A"; readonly type_id: number } }
  )[];
  readonly pair?: unknown;
  readonly special_tokens: Readonly<Record<string, { readonly ids: readonly number[] }>>;
}

type ProcessorJson = { readonly type: "ByteLevel" } | TemplateJson;

/** A tokenizer.json of the kind that Conclave's own encoder reads. */
export interface ByteBpeJson {
  readonly pre_tokenizer:
    | ByteLevelJson
    | { readonly type: "Sequence"; readonly pretokenizers: readonly (SplitJson | ByteLevelJson)[] };
  readonly post_processor:
    | null
    | ProcessorJson
    | { readonly type: "Sequence"; readonly processors: readonly ProcessorJson[] };
  readonly model: {
    readonly ignore_merges?: boolean;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly string[] | readonly (readonly [string, string])[];
  };
}

/** What Conclave's own byte-level BPE does exactly. Any tokenizer.json beyond it goes to Hugging Face's library. */
export const byteBpeSchema: z.ZodType<ByteBpeJson> = z.looseObject({
  truncation: z.unknown().optional(),
  padding: z.unknown().optional(),
  added_tokens: z.array(
    z.strictObject({
      id: z.int().nonnegative(),
      content: z.string().min(1),
      single_word: z.boolean(),
      lstrip: z.boolean(),
      rstrip: z.boolean(),
      normalized: z.boolean(),
      special: z.boolean(),
    }),
  ),
  normalizer: z.null(),
  pre_tokenizer: z.union([
    byteLevel,
    z.strictObject({ type: z.literal("Sequence"), pretokenizers: z.array(z.union([split, byteLevel])) }),
  ]),
  post_processor: z.union([
    z.null(),
    byteLevelLoose,
    template,
    z.strictObject({ type: z.literal("Sequence"), processors: z.array(z.union([byteLevelLoose, template])) }),
  ]),
  decoder: byteLevelLoose,
  model: z.looseObject({
    type: z.literal("BPE"),
    dropout: z.null().optional(),
    unk_token: z.null().optional(),
    continuing_subword_prefix: off,
    end_of_word_suffix: off,
    byte_fallback: z.literal(false).optional(),
    ignore_merges: z.boolean().optional(),
    vocab: z.record(z.string(), z.int().nonnegative()),
    merges: z.union([z.array(z.string()), z.array(z.tuple([z.string(), z.string()]))]),
  }),
});
