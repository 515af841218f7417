import { fail } from "../errors.ts";
import {
  add,
  affine,
  cast,
  reshape,
  scatterAddRows,
  softmax,
  sum,
  type Tensor,
  withoutTape,
} from "../tensor/index.ts";
import {
  balanceOfGroups,
  entropyOfGroups,
  importanceLoss,
  loadLoss,
  orthogonalityLoss,
  smoothLoad,
  tokenEntropy,
  zLoss,
} from "./balance.ts";
import {
  type BalanceSpec,
  type ImportanceSpec,
  type LossName,
  type LossSpec,
  lossNames,
  type MarginalEntropySpec,
  noLosses,
  weightOf,
  whyNot,
} from "./loss-spec.ts";
import { type LayerPool, wholeBatch } from "./pool.ts";
import { probabilities, type Route, scoreShares, slotsSummed } from "./route.ts";
import { countExperts, membership } from "./select.ts";
import { type Grouping, groupSizes, groupSums } from "./units.ts";

/**
 * The auxiliary losses of a route, from its sums. T tokens, E experts, G groups of tokens.
 */

/** Losses of one route: those with a weight, and their weighted sum (null when there are none). */
export interface RouteLosses {
  /** What is minimised. In a micro-batch its gradient is that part's share of the gradient of the whole batch. */
  readonly total: Tensor | null;
  readonly parts: Readonly<Partial<Record<LossName, Tensor>>>;
}

/** The losses that `spec` asks for. `rows` is the gate's, for orthogonality. */
export function routeLosses(
  route: Route,
  spec: LossSpec,
  rows: Tensor | null,
  pool: LayerPool = wholeBatch,
): RouteLosses {
  const parts: Partial<Record<LossName, Tensor>> = {};
  let total: Tensor | null = null;
  for (const name of lossNames) {
    const weight = weightOf(spec, name);
    if (weight === 0) continue;
    const part = lossOf(name, route, rows, spec, pool);
    // A pooled loss has in each micro-batch the gradient of that part alone; of the others each is a mean, to be averaged.
    const weighted = affine(part, isPooled(name, spec) ? weight : weight / pool.parts, 0);
    parts[name] = part;
    total = total ? add(total, weighted) : weighted;
  }
  return { total, parts };
}

/** Whether a loss is a function of sums over the whole batch, not a mean over its tokens or sequences. */
export function isPooled(name: LossName, spec: LossSpec): boolean {
  switch (name) {
    case "balance":
      return spec.balance.over !== "sequence";
    case "importance":
    case "load":
    case "marginalEntropy":
      return true;
    case "z":
    case "tokenEntropy":
    case "orthogonality":
      return false;
  }
}

/** One loss of a route, of the kind that `spec` says, whatever its weight. Throws with code "spec" where it has no meaning (see {@link whyNot}). */
export function lossOf(
  name: LossName,
  route: Route,
  rows: Tensor | null,
  spec: LossSpec = noLosses,
  pool: LayerPool = wholeBatch,
): Tensor {
  const why = whyNot(name, route.spec);
  if (why) fail("spec", `losses: ${name}: ${why}`);
  switch (name) {
    case "balance":
      return balanceOf(route, spec.balance, pool);
    case "importance":
      return importanceLoss(pool.sum("importance", importanceOf(route, spec.importance.of)));
    case "load":
      return loadLoss(pool.sum("load", loadOf(route)));
    case "z":
      return zLoss(route.by === "soft" ? route.logits_TN : route.logits_TE);
    case "tokenEntropy":
      return tokenEntropy(probabilities(route));
    case "marginalEntropy":
      return marginalEntropyOf(route, spec.marginalEntropy, pool);
    case "orthogonality":
      return rows
        ? orthogonalityLoss(rows)
        : fail(
            "state",
            "losses: orthogonality: the gate's rows were not given",
            "pass them, or leave the loss out",
          );
  }
}

function balanceOf(route: Route, { over, of }: BalanceSpec, pool: LayerPool): Tensor {
  const p_TE = of === "scores" && route.by !== "soft" ? scoreShares(route) : probabilities(route);
  const pSums_GE = groupSums(p_TE, over, route.units);
  const counts_GE = withoutTape(() => choicesByGroup(route, over));
  const [tokens] = p_TE.shape;
  if (over === "sequence") return balanceOfGroups(pSums_GE, counts_GE, tokens); // no sequence is spread over micro-batches
  return balanceOfGroups(
    pool.sum("balance.p", pSums_GE),
    pool.sum("balance.counts", counts_GE),
    tokens * pool.parts,
  );
}

function choicesByGroup(route: Route, over: Grouping): Tensor {
  const { experts } = route.spec;
  if (over === "batch") return reshape(cast(choiceCounts(route), "f32"), [1, experts]);
  return groupSums(membership(chosenIds(route), experts), over, route.units);
}

function marginalEntropyOf(route: Route, { threshold, over }: MarginalEntropySpec, pool: LayerPool): Tensor {
  const p_TE = probabilities(route);
  const [tokens] = p_TE.shape;
  const sizes_G1 = withoutTape(() => groupSizes(p_TE.device, tokens, over, route.units));
  return entropyOfGroups(
    pool.sum("entropy.p", groupSums(p_TE, over, route.units)),
    pool.sum("entropy.sizes", sizes_G1),
    tokens * pool.parts,
    threshold,
  );
}

/**
 * Each expert's importance, [E]: the sum of its weights, before places are dropped, so that a full expert still counts as wanted; or of its
 * probability over all tokens, without noise (V-MoE, Riquelme et al. 2021, appendix A).
 */
export function importanceOf(route: Route, of: ImportanceSpec["of"] = "weights"): Tensor {
  const { experts } = route.spec;
  if (of === "probabilities") {
    const noise = route.by === "token" ? route.noise : null;
    return sum(noise ? softmax(noise.clean_TE) : probabilities(route), 0);
  }
  switch (route.by) {
    case "token": {
      const nextBest = route.capacity !== null && route.spec.capacity?.overflow === "next-best";
      const ids_TK = nextBest ? route.kept_TK : route.ids_TK;
      const weights_R1 = reshape(route.intended_TK, [ids_TK.size, 1]);
      return reshape(scatterAddRows(weights_R1, reshape(ids_TK, [ids_TK.size]), experts), [experts]);
    }
    case "expert":
      return sum(route.weights_TE, 0);
    case "soft":
      return sum(slotsSummed(route.combine_TN, experts), 0);
  }
}

/** Tokens an expert was chosen by, before capacity: i32 [E]. In expert choice and soft routing all take equally many. */
export function choiceCounts(route: Route): Tensor {
  return countExperts(chosenIds(route), route.spec.experts);
}

function chosenIds(route: Route): Tensor {
  return route.by === "token"
    ? route.ids_TK
    : fail("state", "choiceCounts: only token choice has choices to count");
}

/** The smooth load while there is noise, else the count: the two agree as the noise goes to nothing. */
function loadOf(route: Route): Tensor {
  if (route.by === "token" && route.noise) return smoothLoad(route.noise, route.ids_TK);
  return withoutTape(() => cast(choiceCounts(route), "f32"));
}
