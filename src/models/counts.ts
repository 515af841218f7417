import { fail } from "../errors.ts";
import type { Module } from "../nn/index.ts";

/**
 * What a weight is for. "embedding": all that makes vectors of ids or image patches, and learned positions;
 * "mlp": dense feed-forward layers and shared experts; "other": what no text token passes (a vision tower).
 */
export const parts = [
  "embedding",
  "attention",
  "experts",
  "mlp",
  "router",
  "norms",
  "head",
  "other",
] as const;
export type Part = (typeof parts)[number];

export interface PartCount {
  /** Weights there are. */
  readonly total: number;
  /** Weights one token is multiplied with. */
  readonly active: number;
}

export interface ParameterCounts extends PartCount {
  /**
   * `active` without the tables of which a token reads one row: the input embedding, unless it is the head
   * too, and learned positions.
   */
  readonly activeWithoutEmbedding: number;
  readonly byPart: Readonly<Record<Part, PartCount>>;
}

/** Sums parts up; `lookedUp` is the weights of the tables that {@link ParameterCounts} sets apart. */
export function summarise(byPart: Readonly<Record<Part, PartCount>>, lookedUp: number): ParameterCounts {
  const sum = (of: keyof PartCount): number => parts.reduce((all, part) => all + byPart[part][of], 0);
  const active = sum("active");
  return { total: sum("total"), active, activeWithoutEmbedding: active - lookedUp, byPart };
}

/** Each part's weights in all and for one token, which passes `expertShare` of the experts. */
export function withActive(
  totals: Readonly<Record<Part, number>>,
  expertShare: number,
): Record<Part, PartCount> {
  const active = (part: Part): number => {
    if (part === "experts") return Math.round(totals.experts * expertShare);
    return part === "other" ? 0 : totals[part];
  };
  const counts = parts.map((part) => [part, { total: totals[part], active: active(part) }]);
  return Object.fromEntries(counts) as Record<Part, PartCount>;
}

export function noParts(): Record<Part, number> {
  return { embedding: 0, attention: 0, experts: 0, mlp: 0, router: 0, norms: 0, head: 0, other: 0 };
}

/**
 * What can be counted: a model knows what share of its experts a token passes, and whether its embedding is
 * also its head.
 */
export interface Countable extends Module {
  readonly expertShare: number;
  readonly tied: boolean;
}

/**
 * Counts a model by part, from the shapes of its parameters alone: no memory is needed. `active` of a
 * router that picks a varying number of experts is the most it can be (top-p) or its mean (expert choice).
 */
export function parameterCounts(model: Countable): ParameterCounts {
  const totals = noParts();
  for (const [name, parameter] of model.tensors()) totals[partOf(name)] += parameter.size;
  return summarise(withActive(totals, model.expertShare), model.tied ? 0 : totals.embedding);
}

/** The last of these that stands in a parameter's dotted name decides its part. */
const segments: Readonly<Record<string, Part>> = {
  attentionNorm: "norms",
  mlpNorm: "norms",
  qNorm: "norms",
  kNorm: "norms",
  kvNorm: "norms",
  norm: "norms",
  embedding: "embedding",
  head: "head",
  attention: "attention",
  router: "router",
  experts: "experts",
  shared: "mlp",
  mlp: "mlp",
};

/** The part of a parameter of one of our decoders. */
export function partOf(name: string): Part {
  const segment = name.split(".").findLast((one) => Object.hasOwn(segments, one));
  if (segment) return segments[segment];
  return fail("model", `parameterCounts: no part is known for the parameter ${name}`);
}

/** Bits a weight, by name; block formats' scales (up to 0.5 bit more a weight) are not counted. */
export const precisions = { f32: 32, bf16: 16, int8: 8, int4: 4 } as const;
export type CountedPrecision = keyof typeof precisions;

/** Bytes of the weights at each precision: with every expert in memory, and of only those one token needs. */
export function weightBytes(
  counts: PartCount,
): Record<CountedPrecision, { resident: number; active: number }> {
  const at = (bits: number): { resident: number; active: number } => ({
    resident: Math.ceil((counts.total * bits) / 8),
    active: Math.ceil((counts.active * bits) / 8),
  });
  return { f32: at(32), bf16: at(16), int8: at(8), int4: at(4) };
}
