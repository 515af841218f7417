import { z } from "zod";
import { fail } from "../errors.ts";
import { firstFault, firstIssue } from "../moe/index.ts";
import { meaningfulKeys } from "./config-keys.ts";
import type { DecoderConfig } from "./decoder.ts";
import { type Fp8Json, fp8Schema } from "./fp8.ts";
import { type RopeJson, readRope, ropeKeys, writeRope } from "./rope-config.ts";

/** A size: a whole number of 1 or more. */
export const size: z.ZodType<number> = z.int().min(1);
/** Old tools write -1 where there is none. */
const id = z
  .int()
  .min(-1)
  .transform((one) => (one < 0 ? null : one));

/**
 * What config.json holds for all our decoder families, in both the spellings of transformers 4 and 5;
 * undefined: not given.
 */
export interface DecoderJson extends RopeJson {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number | null | undefined;
  readonly head_dim: number | null | undefined;
  readonly max_position_embeddings: number;
  readonly hidden_act: "silu";
  readonly initializer_range: number;
  readonly rms_norm_eps: number | undefined;
  readonly tie_word_embeddings: boolean;
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | number[] | null;
  readonly pad_token_id: number | null;
}

/** The schemas of those keys, to be spread into a family's own. */
export const decoderKeys: { readonly [Key in keyof DecoderJson]: z.ZodType<DecoderJson[Key]> } & {
  readonly quantization_config: z.ZodType<Fp8Json | undefined>;
} = {
  vocab_size: size,
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullable().optional(),
  head_dim: size.nullable().optional(),
  max_position_embeddings: size,
  hidden_act: z.literal("silu").default("silu"),
  initializer_range: z.number().gt(0).default(0.02),
  rms_norm_eps: z.number().gt(0).optional(),
  ...ropeKeys,
  tie_word_embeddings: z.boolean().default(false),
  bos_token_id: id.nullable().default(null),
  eos_token_id: z
    .union([id, z.array(id).transform((list) => list.filter((one) => one !== null))])
    .nullable()
    .default(null),
  pad_token_id: id.nullable().default(null),
  quantization_config: fp8Schema.optional(),
};

/** What a family does not say in the file where another does: transformers' own defaults. */
export interface FamilyDefaults {
  /** "heads": as many as there are heads. */
  readonly kvHeads: number | "heads";
  readonly ropeTheta: number;
  readonly normEps: number;
}

/**
 * Reads config.json by `schema`, without the keys that change no result (config-keys.ts) and those that this family does not need
 * (`unused`). Errors ("config") name `source`, the key and what is wrong.
 */
export function parseConfig<Schema extends z.ZodObject>(
  schema: Schema,
  json: unknown,
  source: string,
  unused: readonly string[] = [],
): z.output<Schema> {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    fail("config", `${source}: not a JSON object`);
  const known = meaningfulKeys(json, (key) => Object.hasOwn(schema.shape, key), unused);
  const result = schema.safeParse(known);
  if (result.success) return result.data;
  const { isUnknown } = firstFault(result.error);
  return fail(
    "config",
    `${source}: ${firstIssue(result.error)}`,
    isUnknown ? "if it changes nothing that the model computes, delete it from the file" : undefined,
  );
}

/** A list with an entry for each layer, where there is one. Errors: "config". */
export function checkLength(
  key: string,
  list: readonly unknown[] | null | undefined,
  layers: number,
  source: string,
): void {
  if (list && list.length !== layers)
    fail("config", `${source}: ${key}: ${list.length} for num_hidden_layers ${layers}`);
}

/** The shared part of a config, checked for sizes that do not fit each other. */
export function readDecoder(json: DecoderJson, defaults: FamilyDefaults, source: string): DecoderConfig {
  const refuse = (key: string, what: string): never => fail("config", `${source}: ${key}: ${what}`);
  const width = json.hidden_size;
  const heads = json.num_attention_heads;
  const given = json.num_key_value_heads === undefined ? defaults.kvHeads : json.num_key_value_heads;
  const kvHeads = given === null || given === "heads" ? heads : given;
  const headDim = json.head_dim ?? width / heads;
  if (heads % kvHeads !== 0)
    refuse("num_key_value_heads", `${kvHeads} does not divide num_attention_heads (${heads})`);
  if (!Number.isInteger(headDim))
    refuse("hidden_size", `${width} is not divisible by num_attention_heads (${heads})`);
  if (headDim % 2 !== 0) refuse("head_dim", `${headDim} is odd; rotary positions turn pairs`);
  const eos = json.eos_token_id;
  return {
    vocabulary: json.vocab_size,
    width,
    layers: json.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    maxPositions: json.max_position_embeddings,
    rope: readRope(json, defaults.ropeTheta, json.max_position_embeddings),
    normEps: json.rms_norm_eps ?? defaults.normEps,
    tied: json.tie_word_embeddings,
    initStd: json.initializer_range,
    bosId: json.bos_token_id,
    eosIds: eos === null ? [] : Array.isArray(eos) ? eos : [eos],
    padId: json.pad_token_id,
  };
}

/**
 * The shared part of config.json, in the spelling that transformers 4 and 5, vLLM and llama.cpp's converter
 * all read.
 */
export function writeDecoder(config: DecoderConfig): Record<string, unknown> {
  const { eosIds } = config;
  return {
    vocab_size: config.vocabulary,
    hidden_size: config.width,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    max_position_embeddings: config.maxPositions,
    hidden_act: "silu",
    initializer_range: config.initStd,
    rms_norm_eps: config.normEps,
    ...writeRope(config.rope),
    tie_word_embeddings: config.tied,
    bos_token_id: config.bosId,
    eos_token_id: eosIds.length === 0 ? null : eosIds.length === 1 ? eosIds[0] : eosIds,
    pad_token_id: config.padId,
  };
}

/** sliding_window as we say it: 0 where there is none. */
export function readWindow(slidingWindow: number | null): number {
  return slidingWindow ?? 0;
}

export function writeWindow(window: number): number | null {
  return window === 0 ? null : window;
}

const floatKeys = [
  "attention_factor",
  "attention_multiplier",
  "attn_scale",
  "clip_qkv",
  "embedding_multiplier",
  "initializer_range",
  "logits_scaling",
  "residual_multiplier",
  "rms_norm_eps",
  "rope_theta",
  "routed_scaling_factor",
  "router_aux_loss_coef",
  "router_jitter_noise",
];
const wholeFloats = new RegExp(`^( +"(?:${floatKeys.join("|")})": -?\\d+)(,?)$`, "gm");

/**
 * The text of a config.json. transformers 5 takes no 1 where it wants a float, so these are written as 1.0.
 */
export function configText(json: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(json, null, 2).replace(wholeFloats, "$1.0$2")}\n`;
}
