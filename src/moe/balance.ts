import { z } from "zod";
import { fail } from "../errors.ts";
import {
  add,
  affine,
  cast,
  div,
  log,
  logSumExp,
  matmul,
  maximum,
  mean,
  mul,
  normalCdf,
  reshape,
  scatterAddRows,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  topk,
  withoutTape,
} from "../tensor/index.ts";
import { unitRows } from "./gate.ts";
import type { NoisyLogits } from "./noise.ts";
import { probabilities, type Route, slotsSummed } from "./route.ts";
import { firstIssue } from "./schema.ts";
import { countExperts, membership } from "./select.ts";
import type { RoutingSpec } from "./spec.ts";

/**
 * Auxiliary losses: each a scalar, differentiable in the logits, the weights, the noise or the gate's rows, and constant
 * in the choices made.
 *
 * T tokens, E experts, K picks a token, D the gate's width, p = softmax(logits).
 */

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

/** A coefficient for each loss; 0 leaves it out. A negative one rewards: `marginalEntropy: -0.01` spreads the load. */
export type LossSpec = Readonly<Record<LossName, number>>;

const coefficient = z.number().default(0);

/** Checks and completes coefficients. Whether a loss fits the routing is for {@link misfitOf}. */
export const lossSpecSchema: z.ZodType<LossSpec> = z.strictObject({
  balance: coefficient,
  importance: coefficient,
  load: coefficient,
  z: coefficient,
  tokenEntropy: coefficient,
  marginalEntropy: coefficient,
  orthogonality: coefficient,
});

/** No auxiliary loss. */
export const noLosses: LossSpec = lossSpecSchema.parse({});

/** Reads coefficients for a router of `spec`. Throws a one-line error with code "spec" that names the key. */
export function parseLossSpec(json: unknown, spec: RoutingSpec): LossSpec {
  const result = lossSpecSchema.safeParse(json);
  if (!result.success) fail("spec", `losses: ${firstIssue(result.error)}`);
  const misfit = misfitOf(result.data, spec);
  if (misfit) fail("spec", `losses: ${misfit.name}: ${misfit.why}`);
  return result.data;
}

/** The first loss with a coefficient that `spec` leaves without a meaning, or null. */
export function misfitOf(losses: LossSpec, spec: RoutingSpec): { name: LossName; why: string } | null {
  for (const name of lossNames) {
    const why = losses[name] === 0 ? null : whyNot(name, spec);
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

/** E * sum_e f_e P_e (Switch Transformer, equation 4): f_e the share of places, before capacity, P_e = mean_t p_te. 1 when even. */
export function balanceLoss(p_TE: Tensor, counts_E: Tensor): Tensor {
  const share_E = withoutTape(() => {
    const places_E = cast(counts_E, "f32");
    return div(places_E, maximum(sum(places_E, 0, { keep: true }), 1));
  });
  return affine(sum(mul(share_E, mean(p_TE, 0))), p_TE.shape[1], 0);
}

/** CV^2 of the experts' summed weights, importance_E (Shazeer et al. 2017, equation 7). */
export function importanceLoss(importance_E: Tensor): Tensor {
  return squaredVariation(importance_E);
}

/** CV^2 of the smooth load (Shazeer et al. 2017, appendix A, equation 11), or of any load_E. */
export function loadLoss(load_E: Tensor): Tensor {
  return squaredVariation(load_E);
}

/** mean_t logsumexp(logits_t)^2 (ST-MoE, Zoph et al. 2022, equation 5). */
export function zLoss(logits: Tensor): Tensor {
  return mean(square(logSumExp(logits)));
}

/** mean_t H(p_t), in nats: low when tokens are sure of their experts. */
export function tokenEntropy(p_TE: Tensor): Tensor {
  return mean(entropy(p_TE));
}

/** H(mean_t p_t), in nats: ln E when the experts are used evenly. */
export function marginalEntropy(p_TE: Tensor): Tensor {
  return entropy(mean(p_TE, 0));
}

/** mean over e != f of cos(w_e, w_f)^2 for the gate's rows: 0 when they are orthogonal, 1 when they are parallel. */
export function orthogonalityLoss(rows_ED: Tensor): Tensor {
  const [experts] = rows_ED.shape;
  const unit_ED = unitRows(rows_ED);
  const cosine_EE = matmul(unit_ED, unit_ED, { transB: true, precision: "f32" });
  // The diagonal is left out by what it is: each unit row with itself.
  const diagonal = sum(square(sum(square(unit_ED), -1)));
  return affine(sub(sum(square(cosine_EE)), diagonal), 1 / Math.max(1, experts * (experts - 1)), 0);
}

/**
 * How many tokens each expert would expect if its own noise were drawn again (Shazeer et al. 2017, appendix A, equations 8-10):
 * load_e = sum_t Phi((clean_te - threshold_te) / std_te), the threshold being the k-th best noisy logit of the others.
 */
export function smoothLoad(noise: NoisyLogits, ids_TK: Tensor): Tensor {
  const { clean_TE, std_TE, noisy_TE } = noise;
  const [tokens, experts] = clean_TE.shape;
  const k = ids_TK.shape[1];
  if (k === experts) return withoutTape(() => cast(countExperts(ids_TK, experts), "f32"));
  const best = topk(noisy_TE, k + 1).values;
  const kth_T1 = reshape(slice(best, 1, k - 1, 1), [tokens, 1]);
  const next_T1 = reshape(slice(best, 1, k, 1), [tokens, 1]);
  // Without a chosen expert, the k-th best of the others is the (k+1)-th of all.
  const chosen_TE = withoutTape(() => membership(ids_TK, experts));
  const threshold_TE = add(kth_T1, mul(chosen_TE, sub(next_T1, kth_T1)));
  return sum(normalCdf(div(sub(clean_TE, threshold_TE), maximum(std_TE, leastStd))), 0);
}

/** Where softplus has run out of f32, the noise is as good as none. */
const leastStd = 1e-10;

/** sum_t weights_te of a route, [E]: before places are dropped, so that a full expert still counts as wanted. */
export function importanceOf(route: Route): Tensor {
  const { experts } = route.spec;
  switch (route.by) {
    case "token": {
      const ids_TK = route.spec.capacity?.overflow === "next-best" ? route.kept_TK : route.ids_TK;
      const weights_R1 = reshape(route.intended_TK, [ids_TK.size, 1]);
      return reshape(scatterAddRows(weights_R1, reshape(ids_TK, [ids_TK.size]), experts), [experts]);
    }
    case "expert":
      return sum(route.weights_TE, 0);
    case "soft":
      return sum(slotsSummed(route.combine_TN, experts), 0);
  }
}

/** Losses of one route: those with a coefficient, and their weighted sum (null when there are none). */
export interface RouteLosses {
  readonly total: Tensor | null;
  readonly parts: Readonly<Partial<Record<LossName, Tensor>>>;
}

/** The losses that `spec` asks for. `rows` is the gate's, for orthogonality. */
export function routeLosses(route: Route, spec: LossSpec, rows: Tensor | null): RouteLosses {
  const parts: Partial<Record<LossName, Tensor>> = {};
  let total: Tensor | null = null;
  for (const name of lossNames) {
    if (spec[name] === 0) continue;
    const part = lossOf(name, route, rows);
    const weighted = affine(part, spec[name], 0);
    parts[name] = part;
    total = total ? add(total, weighted) : weighted;
  }
  return { total, parts };
}

/** One loss of a route, whatever its coefficient. Throws with code "spec" where it has no meaning (see {@link whyNot}). */
export function lossOf(name: LossName, route: Route, rows: Tensor | null): Tensor {
  const why = whyNot(name, route.spec);
  if (why) fail("spec", `losses: ${name}: ${why}`);
  switch (name) {
    case "balance":
      return balanceLoss(probabilities(route), choiceCounts(route));
    case "importance":
      return importanceLoss(importanceOf(route));
    case "load":
      return loadLoss(loadOf(route));
    case "z":
      return zLoss(route.by === "soft" ? route.logits_TN : route.logits_TE);
    case "tokenEntropy":
      return tokenEntropy(probabilities(route));
    case "marginalEntropy":
      return marginalEntropy(probabilities(route));
    case "orthogonality":
      return rows
        ? orthogonalityLoss(rows)
        : fail("state", "losses: orthogonality: the gate's rows were not given");
  }
}

/** Tokens an expert was chosen by, before capacity: i32 [E]. In expert choice and soft routing all take equally many. */
export function choiceCounts(route: Route): Tensor {
  const ids = route.by === "token" ? route.ids_TK : null;
  return ids
    ? countExperts(ids, route.spec.experts)
    : fail("state", "choiceCounts: only token choice has choices to count");
}

/** The smooth load while there is noise, else the count: the two agree as the noise goes to nothing. */
function loadOf(route: Route): Tensor {
  if (route.by === "token" && route.noise) return smoothLoad(route.noise, route.ids_TK);
  return withoutTape(() => cast(choiceCounts(route), "f32"));
}

/** Population variance over squared mean. */
function squaredVariation(x_E: Tensor): Tensor {
  const mean_1 = mean(x_E, 0, { keep: true });
  const variance = mean(square(sub(x_E, mean_1)));
  return div(variance, affine(square(mean(x_E)), 1, 1e-10));
}

/** -sum p ln p over the last axis; 0 ln 0 is 0. */
export function entropy(p: Tensor): Tensor {
  return affine(sum(mul(p, log(maximum(p, 1e-30))), -1), -1, 0);
}
