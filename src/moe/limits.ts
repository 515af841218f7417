import { fail } from "../errors.ts";
import { affine, cast, mul, ruleOut, type Tensor, tensor } from "../tensor/index.ts";
import { picksOf, type RoutingSpec } from "./spec.ts";

/**
 * Limits that a request puts on routing at inference: how many experts its tokens pass, and which. They change who is chosen and
 * nothing else: weights are scored, normalised and scaled as the spec says, over the experts that are left.
 *
 * T tokens, E experts, K picks a token.
 */
export interface ExpertLimits {
  /** [T]: the experts a token passes at most, in place of the spec's k; null: as many as the spec says. */
  readonly active_T: readonly (number | null)[] | null;
  /** f32 [T, E]: 0 where a token may go, -Infinity where not; null: anywhere. */
  readonly mask_TE: Tensor | null;
}

/** Throws "usage" unless a router of `spec` can pass `active` experts a token. */
export function checkActive(spec: RoutingSpec, active: number): void {
  if (picksOf(spec) === null)
    fail(
      "usage",
      "a number of active experts: the model's experts choose their tokens, not tokens their experts",
    );
  if (!Number.isSafeInteger(active) || active < 1 || active > spec.experts)
    fail("usage", `${active} active experts: it is a whole number from 1 to ${spec.experts}`);
}

/** The K of a pass: the most that one of its tokens may have. */
export function limitedPicks(picks: number, limits: ExpertLimits | null): number {
  return limits?.active_T ? Math.max(...limits.active_T.map((active) => active ?? picks)) : picks;
}

/** Selection scores with the experts that are ruled out at -Infinity. */
export function maskExperts(selection_TE: Tensor, limits: ExpertLimits | null): Tensor {
  return limits?.mask_TE ? ruleOut(selection_TE, limits.mask_TE) : selection_TE;
}

/** -1 for every place past a token's own number of experts, where tokens of a pass have different ones. */
export function dropPastActive(ids_TK: Tensor, picks: number, limits: ExpertLimits | null): Tensor {
  const [tokens, k] = ids_TK.shape;
  const active_T = limits?.active_T?.map((active) => active ?? picks);
  if (!active_T || active_T.every((active) => active === k)) return ids_TK;
  const kept_TK = Float32Array.from({ length: tokens * k }, (_, i) =>
    i % k < active_T[Math.floor(i / k)] ? 1 : 0,
  );
  const onePast_TK = affine(cast(ids_TK, "f32"), 1, 1);
  return cast(affine(mul(onePast_TK, tensor(ids_TK.device, kept_TK, [tokens, k])), 1, -1), "i32");
}
