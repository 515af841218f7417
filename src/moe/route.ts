import { fail } from "../errors.ts";
import {
  add,
  affine,
  assignCapacity,
  div,
  invertChoice,
  log,
  max,
  maximum,
  mul,
  reshape,
  selectExperts,
  show,
  sigmoid,
  softmax,
  softplus,
  sqrt,
  sum,
  type Tensor,
  takeAlong,
  transpose,
  withoutTape,
} from "../tensor/index.ts";
import { dropPastActive, type ExpertLimits, limitedPicks, maskExperts } from "./limits.ts";
import type { NoisyLogits } from "./noise.ts";
import { limitToGroups, limitToLabels, named } from "./select.ts";
import { capacityOf, columnsOf, expertChoiceCapacity, picksOf, type RoutingSpec } from "./spec.ts";

/**
 * A routing spec, run step by step on logits: score, bias, groups, labels, selection, weights, normalise, scale, capacity.
 * Selection is constant to the gradient; weights carry it back to the gate.
 *
 * T tokens, E experts, K picks a token, C capacity, N = E * slots.
 */

/** Token choice, label-level routing included. */
export interface TokenRoute {
  readonly by: "token";
  readonly spec: RoutingSpec;
  /** What was routed on, noise included. */
  readonly logits_TE: Tensor;
  /** With gaussian noise on: its parts, for the load loss. */
  readonly noise: NoisyLogits | null;
  /** score(logits), or the logits where selection comes before the score. */
  readonly scores_TE: Tensor;
  /** What the choice was made on: scores_TE with bias, -inf where not allowed. Constant to the gradient. */
  readonly selection_TE: Tensor;
  /** i32: each token's experts in order of choice, -1 past the last. Before capacity. */
  readonly ids_TK: Tensor;
  /** i32: the expert each place ends with, -1 where dropped. Without a capacity it is `ids_TK`. */
  readonly kept_TK: Tensor;
  /** 0 at dropped and absent places. */
  readonly weights_TK: Tensor;
  /** The weights before places were dropped, which the importance loss evens out. */
  readonly intended_TK: Tensor;
  /** Places an expert has; null: as many as it takes. */
  readonly capacity: number | null;
}

/** Expert choice. */
export interface ExpertRoute {
  readonly by: "expert";
  readonly spec: RoutingSpec;
  readonly logits_TE: Tensor;
  /** i32: the tokens each expert takes, best first. */
  readonly chosen_EC: Tensor;
  /** i32: the row e*C+c of a token at an expert, -1 where not taken. */
  readonly row_TE: Tensor;
  /** 0 where not taken. */
  readonly weights_TE: Tensor;
  readonly capacity: number;
}

/** Soft MoE. */
export interface SoftRoute {
  readonly by: "soft";
  readonly spec: RoutingSpec;
  readonly logits_TN: Tensor;
  /** softmax over tokens: each slot is a mean of tokens. */
  readonly dispatch_TN: Tensor;
  /** softmax over slots: each token is a mean of slot outputs. */
  readonly combine_TN: Tensor;
}

export type Route = TokenRoute | ExpertRoute | SoftRoute;

/** What routing reads besides logits; null for what the spec does not use. */
export interface RouteInputs {
  readonly noise: NoisyLogits | null;
  readonly bias_E: Tensor | null;
  readonly labels: readonly string[] | null;
  /** What the tokens' requests rule out, at inference. */
  readonly limits?: ExpertLimits | null;
}

/** Runs `spec` on the gate's logits, [T, E] or [T, E*slots]. */
export function routeLogits(spec: RoutingSpec, logits: Tensor, inputs: RouteInputs): Route {
  if (logits.rank !== 2 || logits.shape[1] !== columnsOf(spec)) {
    fail("shape", `route: logits ${show(logits.shape)}, but the spec takes [T, ${columnsOf(spec)}]`);
  }
  const { by } = spec.select;
  if (inputs.limits && by !== "token" && by !== "label")
    fail("state", `route: the spec selects by ${by}, and limits on a token's experts fit selection by token`);
  switch (spec.select.by) {
    case "token":
    case "label":
      return routeTokens(spec, logits, inputs);
    case "expert":
      return routeByExpert(spec, spec.select.capacityFactor, logits);
    case "soft":
      return {
        by: "soft",
        spec,
        logits_TN: logits,
        dispatch_TN: softmaxOverTokens(logits),
        combine_TN: softmax(logits),
      };
  }
}

/** Below it the square root's slope would leave f32. */
const leastSoftplus = 1e-30;

/** Scores of logits. sqrt-softplus is sqrt(ln(1 + e^logit)). */
export function score(logits: Tensor, kind: RoutingSpec["score"]): Tensor {
  switch (kind) {
    case "softmax":
      return softmax(logits);
    case "sigmoid":
      return sigmoid(logits);
    case "sqrt-softplus":
      return sqrt(maximum(softplus(logits), leastSoftplus));
  }
}

function routeTokens(
  spec: RoutingSpec,
  logits_TE: Tensor,
  { noise, bias_E, labels, limits = null }: RouteInputs,
): TokenRoute {
  const scores_TE = spec.order === "score-then-select" ? score(logits_TE, spec.score) : logits_TE;
  const { selection_TE, ids_TK, kept_TK, capacity } = withoutTape(() => {
    const selection_TE = maskExperts(selectionScores(spec, scores_TE, bias_E, labels, limits), limits);
    const ids_TK = choose(spec, selection_TE, limits);
    return { selection_TE, ids_TK, ...fitCapacity(spec, ids_TK, selection_TE) };
  });
  // A next-best expert is weighed like a chosen one; a dropped place keeps its share of the weight, which is then lost.
  const dropping = spec.capacity?.overflow === "drop";
  const full = !limits && alwaysFull(spec);
  const intended_TK = weigh(spec, scores_TE, dropping ? ids_TK : kept_TK, full);
  const weights_TK = dropping
    ? mul(
        intended_TK,
        withoutTape(() => named(kept_TK)),
      )
    : intended_TK;
  return {
    by: "token",
    spec,
    logits_TE,
    noise,
    scores_TE,
    selection_TE,
    ids_TK,
    kept_TK,
    weights_TK,
    intended_TK,
    capacity,
  };
}

function selectionScores(
  spec: RoutingSpec,
  scores_TE: Tensor,
  bias_E: Tensor | null,
  labels: readonly string[] | null,
  limits: ExpertLimits | null,
): Tensor {
  let selection_TE = bias_E ? add(scores_TE, bias_E) : scores_TE;
  if (spec.select.by === "label") {
    if (!labels)
      fail("state", "route: the spec selects by label and no labels were given", "pass one label a token");
    selection_TE = limitToLabels(selection_TE, spec.select.table, labels);
  }
  if (!spec.groups) return selection_TE;
  return limitToGroups(selection_TE, spec.groups, limitedPicks(picksOf(spec)!, limits));
}

function choose(spec: RoutingSpec, selection_TE: Tensor, limits: ExpertLimits | null): Tensor {
  const { select } = spec;
  const picks = picksOf(spec)!;
  const topP = select.by === "token" && "topP" in select ? select.topP : Number.POSITIVE_INFINITY;
  return dropPastActive(selectExperts(selection_TE, limitedPicks(picks, limits), topP), picks, limits);
}

function fitCapacity(
  spec: RoutingSpec,
  ids_TK: Tensor,
  selection_TE: Tensor,
): { kept_TK: Tensor; capacity: number | null } {
  if (!spec.capacity) return { kept_TK: ids_TK, capacity: null };
  const [tokens, picks] = ids_TK.shape;
  const capacity = capacityOf(spec.capacity, tokens, picks, spec.experts);
  const { overflow, priority } = spec.capacity;
  const kept_TK = assignCapacity(ids_TK, selection_TE, {
    group: Math.max(1, tokens),
    capacity,
    lastCapacity: capacity,
    priority,
    given: null,
    nextBest: overflow === "next-best",
  });
  return { kept_TK, capacity };
}

/** The weights of chosen experts, gathered from scores (or scored after the choice), normalised and scaled; 0 for an id of -1. */
function weigh(spec: RoutingSpec, scores_TE: Tensor, ids_TK: Tensor, full: boolean): Tensor {
  const named_TK = full ? null : withoutTape(() => named(ids_TK));
  const gathered_TK = takeAlong(scores_TE, ids_TK);
  const weights_TK =
    spec.order === "score-then-select" ? gathered_TK : scoreChosen(gathered_TK, spec.score, named_TK);
  return scaled(spec, spec.normalise ? normalised(weights_TK, named_TK, spec.normalise.epsilon) : weights_TK);
}

/** Whether every token is sure to get all its K experts. */
function alwaysFull({ select, capacity }: RoutingSpec): boolean {
  return select.by === "token" && !("topP" in select) && capacity?.overflow !== "next-best";
}

/** Scores logits after selection, over each token's experts alone: for softmax, KeepTopK (Shazeer et al. 2017, equation 5). */
function scoreChosen(logits_TK: Tensor, kind: RoutingSpec["score"], named_TK: Tensor | null): Tensor {
  if (!named_TK) return score(logits_TK, kind);
  if (kind === "softmax")
    return softmax(
      add(
        logits_TK,
        withoutTape(() => log(named_TK)),
      ),
    );
  return mul(score(logits_TK, kind), named_TK);
}

/** weights / (their sum + epsilon); a token without experts keeps its zeros. */
function normalised(weights: Tensor, named: Tensor | null, epsilon: number): Tensor {
  const total_T1 = sum(weights, -1, { keep: true });
  const sum_T1 = epsilon === 0 ? total_T1 : affine(total_T1, 1, epsilon);
  if (!named) return div(weights, sum_T1);
  return div(
    weights,
    add(
      sum_T1,
      withoutTape(() => affine(max(named, -1, { keep: true }), -1, 1)),
    ),
  );
}

function scaled(spec: RoutingSpec, weights: Tensor): Tensor {
  return spec.scale === 1 ? weights : affine(weights, spec.scale, 0);
}

/** Expert choice (Zhou et al. 2022, equation 1): S = score(logits), and each expert takes the C tokens that score it highest. */
function routeByExpert(spec: RoutingSpec, capacityFactor: number, logits_TE: Tensor): ExpertRoute {
  const [tokens, experts] = logits_TE.shape;
  const capacity = expertChoiceCapacity(capacityFactor, tokens, experts);
  const scores_TE = score(logits_TE, spec.score);
  const { chosen_EC, row_TE, taken_TE } = withoutTape(() => {
    const chosen_EC = selectExperts(transpose(scores_TE), capacity);
    const row_TE = invertChoice(chosen_EC, tokens);
    return { chosen_EC, row_TE, taken_TE: named(row_TE) };
  });
  const taken = mul(scores_TE, taken_TE);
  const weights_TE = scaled(
    spec,
    spec.normalise ? normalised(taken, taken_TE, spec.normalise.epsilon) : taken,
  );
  return { by: "expert", spec, logits_TE, chosen_EC, row_TE, weights_TE, capacity };
}

/** Soft MoE's dispatch weights (Puigcerver et al. 2024, equation 1): softmax over tokens, for each slot. */
function softmaxOverTokens(logits_TN: Tensor): Tensor {
  return transpose(softmax(transpose(logits_TN)));
}

/** p [T,E]: the softmax of the logits over experts; for soft routing, summed over an expert's slots. On the tape. */
export function probabilities(route: Route): Tensor {
  const { spec } = route;
  if (route.by === "soft") return slotsSummed(route.combine_TN, spec.experts);
  const scored = route.by === "token" && spec.score === "softmax" && spec.order === "score-then-select";
  return scored ? route.scores_TE : softmax(route.logits_TE);
}

/** [T, E*slots] -> [T,E]. */
export function slotsSummed(x_TN: Tensor, experts: number): Tensor {
  const [tokens, columns] = x_TN.shape;
  return columns === experts ? x_TN : sum(reshape(x_TN, [tokens, experts, columns / experts]), -1);
}
