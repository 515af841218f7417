/**
 * Rotary positions as config.json says them: `rope_theta` and `rope_scaling` in transformers 4, `rope_parameters` in
 * transformers 5.
 */
import { z } from "zod";
import { fail } from "../errors.ts";
import { type RotaryScaling, yarnMagnitude } from "../nn/index.ts";

/** All that a family's rotary needs besides the width of a head. */
export interface RopeConfig {
  readonly theta: number;
  readonly scaling: RotaryScaling;
  /** Pairs are (2i, 2i + 1), not (i, i + C/2): GGUF files of some families are laid out for that. */
  readonly interleaved: boolean;
}

/** Plain rotary positions. */
export function plainRope(theta: number): RopeConfig {
  return { theta, scaling: { kind: "none" }, interleaved: false };
}

/** The object under `rope_parameters` or `rope_scaling`; what is left out is undefined or null. */
export type RopeParameters = { readonly rope_theta?: number | undefined } & (
  | { readonly rope_type: "default" }
  | { readonly rope_type: "linear" | "dynamic"; readonly factor: number }
  | Llama3Parameters
  | YarnParameters
);

interface Llama3Parameters {
  readonly rope_type: "llama3";
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings?: number | undefined;
}

interface YarnParameters {
  readonly rope_type: "yarn";
  readonly factor?: number | null | undefined;
  readonly original_max_position_embeddings?: number | undefined;
  readonly attention_factor?: number | null | undefined;
  readonly beta_fast?: number | null | undefined;
  readonly beta_slow?: number | null | undefined;
  readonly mscale?: number | null | undefined;
  readonly mscale_all_dim?: number | null | undefined;
  readonly truncate: boolean;
}

const positive = z.number().gt(0);
const common = { rope_theta: positive.optional(), partial_rotary_factor: z.literal(1).optional() };
const positions = z.int().min(1).optional();
/** transformers reads it for neither of these: both begin from max_position_embeddings. */
const unread = { original_max_position_embeddings: positions };
const parameters = z.discriminatedUnion("rope_type", [
  z.strictObject({ ...common, ...unread, rope_type: z.literal("default") }),
  z.strictObject({ ...common, ...unread, rope_type: z.literal(["linear", "dynamic"]), factor: positive }),
  z.strictObject({
    ...common,
    rope_type: z.literal("llama3"),
    factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: positions,
  }),
  z.strictObject({
    ...common,
    rope_type: z.literal("yarn"),
    factor: positive.nullable().optional(),
    original_max_position_embeddings: positions,
    attention_factor: positive.nullable().optional(),
    beta_fast: positive.nullable().optional(),
    beta_slow: positive.nullable().optional(),
    mscale: z.number().nullable().optional(),
    mscale_all_dim: z.number().nullable().optional(),
    truncate: z.boolean().default(true),
  }),
]);

export interface RopeJson {
  readonly rope_theta: number | undefined;
  readonly rope_scaling: RopeParameters | null | undefined;
  readonly rope_parameters: RopeParameters | null | undefined;
  /** What only a GGUF file says: the layout of its queries and keys, and a divisor of each pair's frequency. */
  readonly gguf_rope:
    | { readonly interleaved: boolean; readonly factors: readonly number[] | null }
    | undefined;
}

/**
 * transformers 4 wrote `type`, and left it out where nothing is scaled; a null says nothing. `finetuned` records that a model was
 * trained with the scaling.
 */
const ropeObject: z.ZodType<RopeParameters | null> = z
  .preprocess((value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const said = Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null));
    const { type, finetuned: _, ...rest } = said as Record<string, unknown>;
    return { rope_type: type ?? "default", ...rest };
  }, parameters)
  .nullable();

export const ropeKeys: { readonly [Key in keyof RopeJson]: z.ZodType<RopeJson[Key]> } = {
  rope_theta: positive.optional(),
  rope_scaling: ropeObject.optional(),
  rope_parameters: ropeObject.optional(),
  gguf_rope: z.strictObject({ interleaved: z.boolean(), factors: z.array(positive).nullable() }).optional(),
};

/** Whichever of the two objects counts. */
export function ropeParametersOf(json: RopeJson): RopeParameters | null {
  return json.rope_scaling ?? json.rope_parameters ?? null;
}

/** Reads them in transformers' order of precedence. `maxPositions` is the model's own length. */
export function readRope(json: RopeJson, defaultTheta: number, maxPositions: number): RopeConfig {
  const given = ropeParametersOf(json);
  const theta = given?.rope_theta ?? json.rope_theta ?? defaultTheta;
  const { interleaved = false, factors = null } = json.gguf_rope ?? {};
  const scaling: RotaryScaling = given ? scalingOf(given, maxPositions) : { kind: "none" };
  return {
    theta,
    scaling: factors ? { kind: "factors", factors, attentionFactor: 1 } : scaling,
    interleaved,
  };
}

function scalingOf(given: RopeParameters, maxPositions: number): RotaryScaling {
  switch (given.rope_type) {
    case "default":
      return { kind: "none" };
    case "linear":
    case "dynamic":
      return { kind: given.rope_type, factor: given.factor };
    case "llama3":
      return {
        kind: "llama3",
        factor: given.factor,
        lowFrequency: given.low_freq_factor,
        highFrequency: given.high_freq_factor,
        originalPositions: given.original_max_position_embeddings ?? maxPositions,
      };
    case "yarn":
      return yarnOf(given, maxPositions);
  }
}

function yarnOf(given: YarnParameters, maxPositions: number): RotaryScaling {
  const originalPositions = given.original_max_position_embeddings ?? maxPositions;
  const factor = given.factor ?? maxPositions / originalPositions;
  const { mscale, mscale_all_dim: allDim } = given;
  const magnitude =
    mscale && allDim ? yarnMagnitude(factor, mscale) / yarnMagnitude(factor, allDim) : yarnMagnitude(factor);
  return {
    kind: "yarn",
    factor,
    attentionFactor: given.attention_factor ?? magnitude,
    betaFast: given.beta_fast ?? 32,
    betaSlow: given.beta_slow ?? 1,
    originalPositions,
    truncate: given.truncate,
  };
}

/**
 * How many positions a model reaches that was trained on `maxPositions`: further where its rotary scaling stretches them. Positions beyond
 * can be computed, but no training or scaling was for them.
 */
export function reachOf({ scaling }: RopeConfig, maxPositions: number): number {
  switch (scaling.kind) {
    case "none":
    case "factors": // of GGUF files, whose context length is that of the stretched model
    case "dynamic": // each length has frequencies of its own: see mostPositions
      return maxPositions;
    case "linear":
      return Math.max(maxPositions, Math.floor(scaling.factor * maxPositions));
    case "llama3":
    case "yarn":
      return Math.max(maxPositions, Math.floor(scaling.factor * scaling.originalPositions));
  }
}

/** The keys for config.json, in the spelling that transformers 4 and 5 both read. */
export function writeRope({ theta, scaling }: RopeConfig): Record<string, unknown> {
  const scaled = writtenScaling(scaling);
  return scaled ? { rope_theta: theta, rope_scaling: scaled } : { rope_theta: theta };
}

function writtenScaling(scaling: RotaryScaling): Record<string, unknown> | null {
  switch (scaling.kind) {
    case "none":
      return null;
    case "linear":
    case "dynamic":
      return { rope_type: scaling.kind, factor: scaling.factor };
    case "llama3":
      return {
        rope_type: "llama3",
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequency,
        high_freq_factor: scaling.highFrequency,
        original_max_position_embeddings: scaling.originalPositions,
      };
    case "yarn":
      return {
        rope_type: "yarn",
        factor: scaling.factor,
        attention_factor: scaling.attentionFactor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        original_max_position_embeddings: scaling.originalPositions,
        truncate: scaling.truncate,
      };
    case "factors":
      return fail(
        "model",
        "config.json: rotary frequencies with a factor each can be read from GGUF files but not written to config.json",
      );
  }
}
