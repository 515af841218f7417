/**
 * The routing spec: how tokens find experts, as data. Loaders, trainers, the simulator, converters and tests read the
 * same spec. docs/routing.md explains every field with its equation and paper.
 *
 * E experts, K picks a token, T tokens, C capacity.
 */
import type { Seed } from "../tensor/index.ts";

/** Cosine routers never divide by a temperature below this (X-MoE's logits would otherwise grow without bound). */
export const leastTemperature = 0.01;
/** Nor above this, where all experts are scored the same. */
export const mostTemperature = 100;

export type GateSpec =
  | { readonly kind: "linear"; readonly bias: boolean }
  | { readonly kind: "cosine"; readonly width: number; readonly temperature: number }
  | { readonly kind: "mlp"; readonly width: number }
  | { readonly kind: "hash"; readonly vocabulary: number; readonly seed: Seed };

export type SelectSpec =
  | { readonly by: "token"; readonly k: number }
  | { readonly by: "token"; readonly topP: number; readonly maxK: number }
  | { readonly by: "expert"; readonly capacityFactor: number }
  | { readonly by: "soft"; readonly slots: number }
  | {
      readonly by: "label";
      readonly table: Readonly<Record<string, readonly number[]>>;
      readonly k: number | null;
    };

export interface GroupsSpec {
  readonly count: number;
  readonly keep: number;
  readonly score: "max" | "top2-sum";
}

export interface BiasSpec {
  readonly kind: "selection-only";
  /** How far each expert's bias moves after a training step. */
  readonly rate: number;
}

export type NoiseSpec =
  | {
      readonly kind: "gaussian";
      /** The standard deviation of every logit's noise (V-MoE: 1/E); null: learned for each token and expert (Shazeer et al. 2017). */
      readonly sigma: number | null;
    }
  | { readonly kind: "jitter"; readonly epsilon: number };

/** The places an expert has: max(min, ceil(factor * T * K / E)) rounded up to a multiple, or a fixed number. */
export type CapacityBound =
  | { readonly factor: number; readonly min: number; readonly multiple: number }
  | { readonly places: number };

export type CapacitySpec = CapacityBound & {
  readonly overflow: "drop" | "next-best";
  /** Who is given a place first, within a rank: by position, by first-choice score, or by a number given for each token. */
  readonly priority: "position" | "score" | "given";
  /** The tokens that share an expert's places: all of the batch, each sequence's, or groups of so many neighbours. */
  readonly over: "batch" | "sequence" | number;
  /** What bounds an expert outside training, in place of `factor` or `places`; null: nothing does. */
  readonly evaluation: number | null;
};

/** A whole spec: every default filled in, null where a step is left out. Written as JSON it parses to itself. */
export interface RoutingSpec {
  readonly experts: number;
  readonly gate: GateSpec;
  readonly score: "softmax" | "sigmoid" | "sqrt-softplus";
  readonly order: "score-then-select" | "select-then-score";
  readonly select: SelectSpec;
  readonly groups: GroupsSpec | null;
  readonly bias: BiasSpec | null;
  readonly noise: NoiseSpec | null;
  readonly normalise: { readonly epsilon: number } | null;
  readonly scale: number;
  readonly weightAt: "output" | "input";
  readonly capacity: CapacitySpec | null;
}

/** The most experts a token can have: the K of every [T,K] tensor. Null for expert choice and soft routing. */
export function picksOf(spec: RoutingSpec): number | null {
  const { select } = spec;
  switch (select.by) {
    case "token":
      return "topP" in select ? select.maxK : select.k;
    case "label": {
      const longest = Math.max(...Object.values(select.table).map((row) => row.length));
      return Math.min(select.k ?? longest, longest);
    }
    case "expert":
    case "soft":
      return null;
  }
}

/** The share of the experts that a token passes: at most (top-p), on average (expert choice), or exactly. */
export function activeShare(spec: RoutingSpec): number {
  const { select, experts } = spec;
  if (select.by === "soft") return 1;
  return Math.min(1, (select.by === "expert" ? select.capacityFactor : picksOf(spec)!) / experts);
}

/** Columns of the gate's logits: E, or one for each slot (an expert's slots together). */
export function columnsOf(spec: RoutingSpec): number {
  return spec.select.by === "soft" ? spec.experts * spec.select.slots : spec.experts;
}

/** The bound on an expert's places in this pass; null: it takes as many tokens as choose it. */
export function actingBound(capacity: CapacitySpec | null, training: boolean): CapacityBound | null {
  if (capacity === null || training) return capacity;
  const { evaluation } = capacity;
  if (evaluation === null) return null;
  if ("places" in capacity) return { places: evaluation };
  return { factor: evaluation, min: capacity.min, multiple: capacity.multiple };
}

/** Places an expert has among `tokens` with `picks` choices each. */
export function placesOf(bound: CapacityBound, tokens: number, picks: number, experts: number): number {
  if ("places" in bound) return bound.places;
  const { factor, min, multiple } = bound;
  return Math.ceil(Math.max(min, Math.ceil((factor * tokens * picks) / experts)) / multiple) * multiple;
}

/** Places an expert takes in expert choice: min(T, ceil(capacityFactor * T / E)) (Zhou et al. 2022, section 3.2). */
export function expertChoiceCapacity(capacityFactor: number, tokens: number, experts: number): number {
  return Math.min(tokens, Math.ceil((capacityFactor * tokens) / experts));
}
