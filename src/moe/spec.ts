/**
 * The routing spec: how tokens find experts, as data. Loaders, trainers, the simulator, converters and tests read the
 * same spec. docs/routing.md explains every field with its equation and paper.
 *
 * E experts, K picks a token, T tokens, C capacity.
 */

/** Cosine routers never divide by a temperature below this (X-MoE's logits would otherwise grow without bound). */
export const leastTemperature = 0.01;
/** Nor above this, where all experts are scored the same. */
export const mostTemperature = 100;

export type GateSpec =
  | { readonly kind: "linear"; readonly bias: boolean }
  | { readonly kind: "cosine"; readonly width: number; readonly temperature: number }
  | { readonly kind: "mlp"; readonly width: number }
  | { readonly kind: "hash"; readonly vocabulary: number; readonly seed: number };

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

export type NoiseSpec = { readonly kind: "gaussian" } | { readonly kind: "jitter"; readonly epsilon: number };

export interface CapacitySpec {
  readonly factor: number;
  readonly min: number;
  readonly overflow: "drop" | "next-best";
  readonly priority: "position" | "score";
}

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

/** Places an expert has under `capacity`, for tokens with `picks` choices each: max(min, ceil(factor * T * K / E)). */
export function capacityOf(capacity: CapacitySpec, tokens: number, picks: number, experts: number): number {
  return Math.max(capacity.min, Math.ceil((capacity.factor * tokens * picks) / experts));
}

/** Places an expert takes in expert choice: min(T, ceil(capacityFactor * T / E)) (Zhou et al. 2022, section 3.2). */
export function expertChoiceCapacity(capacityFactor: number, tokens: number, experts: number): number {
  return Math.min(tokens, Math.ceil((capacityFactor * tokens) / experts));
}
