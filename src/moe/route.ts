import { fail } from "../errors.ts";
import {
  add,
  affine,
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
import { type ExpertLimits, limitedPicks } from "./limits.ts";
import type { NoisyLogits } from "./noise.ts";
import { choose, fitCapacity, limitToGroups, limitTokens, named } from "./select.ts";
import { columnsOf, expertChoiceCapacity, picksOf, type RoutingSpec } from "./spec.ts";
import type { Units } from "./units.ts";

/**
 * A routing spec, run step by step on logits: score, bias, what is ruled out, groups, selection, capacity, weights.
 * Selection is constant to the gradient; weights carry it back to the gate.
 *
 * T tokens, E experts, K picks a token, C capacity, N = E * slots.
 */

/** Token choice, label-level routing included. */
export interface TokenRoute {
  readonly by: "token";
  readonly spec: RoutingSpec;
  readonly units: Units;
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
  /** Places an expert has (in the first group of tokens, where each has its own); null: as many as it takes. */
  readonly capacity: number | null;
}

/** Expert choice. */
export interface ExpertRoute {
  readonly by: "expert";
  readonly spec: RoutingSpec;
  readonly units: Units;
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
  readonly units: Units;
  readonly logits_TN: Tensor;
  /** softmax over tokens: each slot is a mean of tokens. */
  readonly dispatch_TN: Tensor;
  /** softmax over slots: each token is a mean of slot outputs. */
  readonly combine_TN: Tensor;
}

export type Route = TokenRoute | ExpertRoute | SoftRoute;

/** What routing reads besides logits. */
export interface RouteInputs {
  /** Whether a capacity acts as in training. Default true. */
  readonly training?: boolean;
  /** Default: one sequence without labels. */
  readonly units?: Units;
  readonly noise?: NoisyLogits | null;
  readonly bias_E?: Tensor | null;
  /** What the tokens' requests rule out, at inference. */
  readonly limits?: ExpertLimits | null;
}

/** Runs `spec` on the gate's logits, [T, E] or [T, E*slots]. */
export function routeLogits(spec: RoutingSpec, logits: Tensor, inputs: RouteInputs = {}): Route {
  if (logits.rank !== 2 || logits.shape[1] !== columnsOf(spec)) {
    fail("shape", `route: logits ${show(logits.shape)}, but the spec takes [T, ${columnsOf(spec)}]`);
  }
  const { by } = spec.select;
  const { limits = null, units = { sequence: logits.shape[0], labels: null, priority_T: null } } = inputs;
  if (limits && by !== "token" && by !== "label")
    fail("state", `route: the spec selects by ${by}, and limits on a token's experts fit selection by token`);
  switch (spec.select.by) {
    case "token":
    case "label":
      return routeTokens(spec, logits, units, inputs);
    case "expert":
      return routeByExpert(spec, spec.select.capacityFactor, logits, units);
    case "soft":
      return {
        by: "soft",
        spec,
        units,
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

/** Token choice, in the order of the papers. Only steps 1 and 7 are on the tape. */
function routeTokens(
  spec: RoutingSpec,
  logits_TE: Tensor,
  units: Units,
  { training = true, noise = null, bias_E = null, limits = null }: RouteInputs,
): TokenRoute {
  // 1. Score all experts; where the score comes after the choice, logits are compared.
  const scores_TE = spec.order === "score-then-select" ? score(logits_TE, spec.score) : logits_TE;
  const { selection_TE, ids_TK, kept_TK, capacity } = withoutTape(() => {
    // 2. The bias moves the choice, never a weight.
    const biased_TE = bias_E ? add(scores_TE, bias_E) : scores_TE;
    // 3. Labels and requests rule experts out, before groups are compared by what is left of them.
    const allowed_TE = limitTokens(biased_TE, spec, units, limits);
    // 4. The best groups stay.
    const selection_TE = limitToGroups(allowed_TE, spec, limitedPicks(picksOf(spec)!, limits));
    // 5. Each token chooses among what is left.
    const ids_TK = choose(selection_TE, spec, limits);
    // 6. Experts have places for so many.
    return { selection_TE, ids_TK, ...fitCapacity(ids_TK, selection_TE, spec, units, training) };
  });
  // 7. Weigh what was chosen. A next-best expert is weighed like a chosen one.
  const dropping = spec.capacity?.overflow === "drop" && capacity !== null;
  const intended_TK = weigh(
    spec,
    scores_TE,
    dropping ? ids_TK : kept_TK,
    !limits && alwaysFull(spec, capacity),
  );
  // 8. A dropped place keeps its share of the weight, which is then lost.
  const held_TK = dropping ? withoutTape(() => named(kept_TK)) : null;
  const weights_TK = held_TK ? mul(intended_TK, held_TK) : intended_TK;
  return {
    by: "token",
    spec,
    units,
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

/** The weights of chosen experts, gathered from scores (or scored after the choice), normalised and scaled; 0 for an id of -1. */
function weigh(spec: RoutingSpec, scores_TE: Tensor, ids_TK: Tensor, full: boolean): Tensor {
  const named_TK = full ? null : withoutTape(() => named(ids_TK));
  const gathered_TK = takeAlong(scores_TE, ids_TK);
  const weights_TK =
    spec.order === "score-then-select" ? gathered_TK : scoreChosen(gathered_TK, spec.score, named_TK);
  return scaled(spec, spec.normalise ? normalised(weights_TK, named_TK, spec.normalise.epsilon) : weights_TK);
}

/** Whether every token is sure to get all its K experts: then no weight is masked. */
function alwaysFull({ select, capacity: asked }: RoutingSpec, capacity: number | null): boolean {
  const takesNextBest = capacity !== null && asked?.overflow === "next-best";
  return select.by === "token" && !("topP" in select) && !takesNextBest;
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
function routeByExpert(
  spec: RoutingSpec,
  capacityFactor: number,
  logits_TE: Tensor,
  units: Units,
): ExpertRoute {
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
  return { by: "expert", spec, units, logits_TE, chosen_EC, row_TE, weights_TE, capacity };
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

/** Scores over all experts, without bias, as shares of their sum [T,E] (DeepSeek-V3, equation 19). On the tape. */
export function scoreShares(route: Exclude<Route, SoftRoute>): Tensor {
  const { spec, logits_TE } = route;
  if (spec.score === "softmax") return probabilities(route);
  const scores_TE = score(logits_TE, spec.score);
  return div(scores_TE, affine(sum(scores_TE, -1, { keep: true }), 1, leastSum));
}

/** Keeps a token whose scores are all 0 from dividing by it. */
const leastSum = 1e-20;

/** [T, E*slots] -> [T,E]. */
export function slotsSummed(x_TN: Tensor, experts: number): Tensor {
  const [tokens, columns] = x_TN.shape;
  return columns === experts ? x_TN : sum(reshape(x_TN, [tokens, experts, columns / experts]), -1);
}
