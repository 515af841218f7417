import { z } from "zod";
import { fail } from "../errors.ts";
import { firstIssue } from "./schema.ts";
import type { RoutingSpec } from "./spec.ts";

/**
 * Which auxiliary losses a router is trained with, as data: a weight for each, and for some a choice of kind. A weight of 0 leaves a loss out; a negative
 * one rewards: `"marginalEntropy": -0.01` spreads the load.
 */
export interface LossSpec {
  readonly balance: BalanceSpec;
  readonly importance: ImportanceSpec;
  readonly load: number;
  readonly z: number;
  readonly tokenEntropy: number;
  readonly marginalEntropy: MarginalEntropySpec;
  readonly orthogonality: number;
}

export interface BalanceSpec {
  readonly weight: number;
  /** Balanced over all tokens, within each sequence (DeepSeek-V3, equation 17), or within each label's tokens. */
  readonly over: "batch" | "sequence" | "label";
  /** What P is the mean of: softmax of the logits, or the scores as shares of their sum (DeepSeek-V3, equation 19). */
  readonly of: "softmax" | "scores";
}

export interface ImportanceSpec {
  readonly weight: number;
  /** An expert's importance is the sum of its weights (Shazeer et al. 2017), or of its probability over all tokens without noise (V-MoE). */
  readonly of: "weights" | "probabilities";
}

export interface MarginalEntropySpec {
  readonly weight: number;
  /** With one, the loss is what the entropy lacks of it: max(0, threshold - H), nats (LIMoE). Null: the entropy itself. */
  readonly threshold: number | null;
  readonly over: "batch" | "label";
}

export const lossNames = [
  "balance",
  "importance",
  "load",
  "z",
  "tokenEntropy",
  "marginalEntropy",
  "orthogonality",
] as const;
export type LossName = (typeof lossNames)[number];

const number = z.number().default(0);

/** A kind of loss with its choices, for which its weight alone may stand. */
function weighed<Shape extends z.ZodRawShape>(choices: Shape) {
  const object = z.strictObject({ weight: z.number(), ...choices });
  return z
    .preprocess((value) => (typeof value === "number" ? { weight: value } : value), object)
    .prefault({ weight: 0 });
}

/** Checks and completes a loss spec. Whether a loss fits the routing is for {@link misfitOf}. */
export const lossSpecSchema: z.ZodType<LossSpec> = z.strictObject({
  balance: weighed({
    over: z.enum(["batch", "sequence", "label"]).default("batch"),
    of: z.enum(["softmax", "scores"]).default("softmax"),
  }),
  importance: weighed({ of: z.enum(["weights", "probabilities"]).default("weights") }),
  load: number,
  z: number,
  tokenEntropy: number,
  marginalEntropy: weighed({
    threshold: z.number().gt(0).nullable().default(null),
    over: z.enum(["batch", "label"]).default("batch"),
  }),
  orthogonality: number,
}) as z.ZodType<LossSpec>;

/** No auxiliary loss. */
export const noLosses: LossSpec = lossSpecSchema.parse({});

/** What a loss is multiplied with. */
export function weightOf(losses: LossSpec, name: LossName): number {
  const given = losses[name];
  return typeof given === "number" ? given : given.weight;
}

/** Reads a loss spec for a router of `spec`. Throws a one-line error with code "spec" that names the key. */
export function parseLossSpec(json: unknown, spec: RoutingSpec): LossSpec {
  const result = lossSpecSchema.safeParse(json);
  if (!result.success) fail("spec", `losses: ${firstIssue(result.error)}`);
  const misfit = misfitOf(result.data, spec);
  if (misfit) fail("spec", `losses: ${misfit.name}: ${misfit.why}`);
  return result.data;
}

/** The first loss with a weight that `spec` leaves without a meaning, or null. */
export function misfitOf(losses: LossSpec, spec: RoutingSpec): { name: LossName; why: string } | null {
  for (const name of lossNames) {
    const why = weightOf(losses, name) === 0 ? null : whyNot(name, spec);
    if (why) return { name, why };
  }
  return null;
}

/** Why a loss cannot act on routes of `spec`; null where it can. */
export function whyNot(name: LossName, spec: RoutingSpec): string | null {
  const { select, gate, noise, groups, bias } = spec;
  if (gate.kind === "hash") return "a hash gate has nothing to train";
  if (name === "balance" && (select.by === "expert" || select.by === "soft")) {
    return `always 1 when select.by is "${select.by}": every expert takes equally much`;
  }
  if (name !== "load") return null;
  if (noise?.kind !== "gaussian") return "the smooth load is that of gaussian noise; set noise";
  const plainTopK = select.by === "token" && !("topP" in select) && !groups && !bias;
  return plainTopK
    ? null
    : "the smooth load is defined for plain top-k selection (no topP, labels, groups or bias)";
}
