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
  relu,
  reshape,
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
import { countExperts, membership } from "./select.ts";

/**
 * The equations of auxiliary losses: each a scalar, differentiable in the logits, the weights, the noise or the gate's rows, and constant
 * in the choices made. Which sums they are given is for losses.ts.
 *
 * T tokens, G groups of tokens (one: the batch), E experts, K picks a token, D the gate's width, p = softmax(logits).
 */

/** E * sum_e f_e P_e (Switch Transformer, equation 4): f_e the share of places, before capacity, P_e = mean_t p_te. 1 when even. counts_E i32 or f32 [E]. */
export function balanceLoss(p_TE: Tensor, counts_E: Tensor): Tensor {
  const [tokens, experts] = p_TE.shape;
  const counts_1E = withoutTape(() =>
    reshape(counts_E.dtype === "f32" ? counts_E : cast(counts_E, "f32"), [1, experts]),
  );
  return balanceOfGroups(sum(p_TE, 0, { keep: true }), counts_1E, tokens);
}

/** The mean of {@link balanceLoss} over groups, each by its tokens. pSums_GE is the sum of p over a group's tokens, counts_GE the places chosen there, `tokens` all of them. */
export function balanceOfGroups(pSums_GE: Tensor, counts_GE: Tensor, tokens: number): Tensor {
  const share_GE = withoutTape(() => div(counts_GE, maximum(sum(counts_GE, -1, { keep: true }), 1)));
  return affine(sum(mul(share_GE, pSums_GE)), pSums_GE.shape[1] / Math.max(1, tokens), 0);
}

/** CV^2 of the experts' importance_E (Shazeer et al. 2017, equation 7). */
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

/**
 * The mean of {@link marginalEntropy} over groups, each by its tokens; with a `threshold`, of what it lacks of it: max(0, threshold - H) (LIMoE,
 * Mustafa et al. 2022, section 2.2). pSums_GE is the sum of p over a group's tokens, sizes_G1 how many these are, `tokens` all of them.
 */
export function entropyOfGroups(
  pSums_GE: Tensor,
  sizes_G1: Tensor,
  tokens: number,
  threshold: number | null,
): Tensor {
  const entropy_G = entropy(
    div(
      pSums_GE,
      withoutTape(() => maximum(sizes_G1, 1)),
    ),
  );
  const value_G = threshold === null ? entropy_G : relu(affine(entropy_G, -1, threshold));
  return affine(sum(mul(value_G, reshape(sizes_G1, value_G.shape))), 1 / Math.max(1, tokens), 0);
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
