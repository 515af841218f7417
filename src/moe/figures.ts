import {
  affine,
  cast,
  concat,
  full,
  max,
  reshape,
  scope,
  sum,
  type Tensor,
  withoutTape,
} from "../tensor/index.ts";
import { entropy } from "./balance.ts";
import { choiceCounts } from "./losses.ts";
import { probabilities, type Route } from "./route.ts";
import { countExperts, named } from "./select.ts";

/**
 * What a route says about itself, whatever the spec. Measuring stays on the device and off the tape; reading is one
 * small copy to the host.
 *
 * T tokens, E experts.
 */

/** Figures of one route, still on the device. */
export interface RouteMeasure {
  readonly by: Route["by"];
  readonly tokens: number;
  readonly experts: number;
  /** counts [E], kept [E], mean probability [E], token entropy, unserved tokens. */
  readonly packed: Tensor;
}

export interface RouteFigures {
  readonly tokens: number;
  readonly experts: number;
  /** Places each expert was chosen for, before capacity; in soft routing, its slots. */
  readonly counts: readonly number[];
  /** Places it has after capacity. */
  readonly kept: readonly number[];
  /** Places dropped; in expert choice, tokens that no expert took. */
  readonly dropped: number;
  /** `dropped` over all places (in expert choice, over all tokens). */
  readonly droppedShare: number;
  /** Tokens that reach no routed expert at all. */
  readonly unserved: number;
  /** Standard deviation of `counts` over their mean. */
  readonly cv: number;
  readonly maxOverMean: number;
  /** Mean over tokens of H(p), nats: 0 when sure, ln E when not. */
  readonly entropy: number;
  /** H of the mean p, nats. */
  readonly marginalEntropy: number;
  /** Mean probability of each expert. */
  readonly probability: readonly number[];
}

/** Measures a route. Call it in the scope the route lives in; keep the result. */
export function measureRoute(route: Route): RouteMeasure {
  const { experts } = route.spec;
  return withoutTape(() => {
    const p_TE = probabilities(route);
    const [tokens] = p_TE.shape;
    const { counts_E, kept_E, unserved } = measureLoad(route, tokens);
    // The mean over tokens; 0 of none.
    const perToken = (total: Tensor): Tensor => affine(total, 1 / Math.max(1, tokens), 0);
    const sureness_1 = perToken(sum(entropy(p_TE), 0, { keep: true }));
    const packed = concat([counts_E, kept_E, perToken(sum(p_TE, 0)), sureness_1, reshape(unserved, [1])], 0);
    return { by: route.by, tokens, experts, packed };
  });
}

function measureLoad(route: Route, tokens: number): { counts_E: Tensor; kept_E: Tensor; unserved: Tensor } {
  const { experts } = route.spec;
  switch (route.by) {
    case "token": {
      const counts_E = cast(choiceCounts(route), "f32");
      const kept_E =
        route.kept_TK === route.ids_TK ? counts_E : cast(countExperts(route.kept_TK, experts), "f32");
      return { counts_E, kept_E, unserved: unservedTokens(route.kept_TK, tokens) };
    }
    case "expert": {
      const counts_E = full(route.row_TE.device, [experts], route.capacity);
      return { counts_E, kept_E: counts_E, unserved: unservedTokens(route.row_TE, tokens) };
    }
    case "soft": {
      const { device, shape } = route.logits_TN;
      const counts_E = full(device, [experts], shape[1] / experts);
      return { counts_E, kept_E: counts_E, unserved: full(device, [], 0) };
    }
  }
}

function unservedTokens(ids_TK: Tensor, tokens: number): Tensor {
  return affine(sum(max(named(ids_TK), -1)), -1, tokens);
}

/** Reads the figures of a route, or of a {@link measureRoute} made in a scope that has ended. */
export async function routeFigures(source: Route | RouteMeasure): Promise<RouteFigures> {
  const measure = "packed" in source ? source : scope(() => measureRoute(source));
  const { by, tokens, experts, packed } = measure;
  const values = Array.from(await packed.data());
  if (measure !== source) packed.dispose();
  const counts = values.slice(0, experts);
  const kept = values.slice(experts, 2 * experts);
  const probability = values.slice(2 * experts, 3 * experts);
  const [tokenEntropy, unserved] = values.slice(3 * experts);
  const chosen = total(counts);
  const dropped = by === "expert" ? unserved : chosen - total(kept);
  return {
    tokens,
    experts,
    counts,
    kept,
    dropped,
    unserved,
    probability,
    droppedShare: dropped / Math.max(1, by === "expert" ? tokens : chosen),
    ...spread(counts),
    entropy: tokenEntropy,
    marginalEntropy: total(probability.map((p) => (p > 0 ? -p * Math.log(p) : 0))),
  };
}

/** Coefficient of variation, and the largest load over the mean, of loads; 0 of no load at all. */
export function spread(loads: readonly number[]): { cv: number; maxOverMean: number } {
  const mean = total(loads) / loads.length;
  if (mean === 0) return { cv: 0, maxOverMean: 0 };
  const variance = total(loads.map((load) => (load - mean) ** 2)) / loads.length;
  return { cv: Math.sqrt(variance) / mean, maxOverMean: Math.max(...loads) / mean };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
