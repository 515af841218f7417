import { picksOf, type RoutingSpec } from "./spec.ts";

/** An addend to the sum of weights below this leaves a single weight at 1 in f32, and its gradient at 0. */
const noEpsilon = 1e-7;

/**
 * Why the task's loss can teach a gate of `spec` nothing, with the key to blame; null where it can. A token that keeps one expert has
 * weight 1 whatever the logit where weights are divided by their sum: the gate's gradient is exactly 0. Routing without a choice (a hash
 * gate, labels that leave no more experts than a token takes, a single expert) has nothing to learn and is meant so.
 */
export function whyUntrainable(spec: RoutingSpec): { key: string; why: string } | null {
  if (picksOf(spec) !== 1 || !makesChoice(spec)) return null;
  const remedy = "take k of 2 or more, or Switch's form: score-then-select without normalise";
  if (spec.normalise && spec.normalise.epsilon < noEpsilon)
    return {
      key: "normalise",
      why: `a token's one weight over itself is 1 whatever the gate says, so that the gate cannot learn; ${remedy}`,
    };
  if (spec.order === "select-then-score" && spec.score === "softmax")
    return {
      key: "order",
      why: `softmax over a token's one expert is 1 whatever the gate says, so that the gate cannot learn; ${remedy}`,
    };
  return null;
}

function makesChoice({ gate, select, experts }: RoutingSpec): boolean {
  if (gate.kind === "hash" || experts === 1) return false;
  return select.by !== "label" || Object.values(select.table).some((row) => row.length > 1);
}
