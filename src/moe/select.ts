import { fail } from "../errors.ts";
import {
  affine,
  assignCapacity,
  cast,
  empty,
  equal,
  full,
  gatherRows,
  keepGroups,
  ruleOut,
  selectExperts,
  show,
  type Tensor,
} from "../tensor/index.ts";
import { dropPastActive, type ExpertLimits, limitedPicks, maskExperts } from "./limits.ts";
import { actingBound, picksOf, placesOf, type RoutingSpec } from "./spec.ts";
import { checkTokens, labelMask, labelsOf, type Units } from "./units.ts";

/**
 * The steps that decide who goes where: integers and masks, never on the tape. A selection score of -inf means "may not go
 * there"; an id of -1 means "no expert in this place". Ties go to the lower index.
 *
 * T tokens, E experts, K picks a token, C capacity, L labels.
 */

/** 1 where an id names an expert, 0 where it is -1. */
export function named(ids: Tensor): Tensor {
  return affine(equal(cast(ids, "f32"), -1), -1, 1);
}

/** 1 where `ids_TK` (distinct within a row, -1 for none) holds the column, else 0: [T, columns]. */
export function membership(ids_TK: Tensor, columns: number): Tensor {
  checkExperts(ids_TK, columns);
  const [rows, k] = ids_TK.shape;
  const { device } = ids_TK;
  const held = empty(device, [rows, columns]);
  const ones = full(device, [rows, k], 1);
  device.kernels.run.takeAlongGrad({ dy: ones.buf, ids: ids_TK.buf, dx: held.buf, rows, n: columns, k });
  return held;
}

/** -inf for the experts that a token may not take: its label's table comes first, then what its request rules out. */
export function limitTokens(
  selection_TE: Tensor,
  { select, experts }: RoutingSpec,
  units: Units,
  limits: ExpertLimits | null,
): Tensor {
  if (select.by !== "label") return maskExperts(selection_TE, limits);
  const { names, ids_T } = labelsOf(units, "a spec that selects by label");
  checkTokens("labels", ids_T.size, selection_TE.shape[0]);
  const mask_LE = labelMask(selection_TE.device, select.table, names, experts);
  return maskExperts(ruleOut(selection_TE, gatherRows(mask_LE, ids_T)), limits);
}

/**
 * Group-limited selection (DeepSeek-V2, section 2.1.2, and V3): -inf outside the best groups. Experts that are ruled out do not count for their
 * group, and a group is passed over if a token would get fewer experts with it than it could with others.
 */
export function limitToGroups(selection_TE: Tensor, spec: RoutingSpec, picks: number): Tensor {
  const { groups } = spec;
  if (!groups) return selection_TE;
  const { count, keep, score } = groups;
  return keepGroups(selection_TE, { groups: count, keep, k: picks, top2: score === "top2-sum" });
}

/** Each token's experts in order of choice, i32 [T,K], -1 past the last: the K best, or the fewest whose scores add up to topP (Huang et al. 2024). */
export function choose(
  selection_TE: Tensor,
  { select, ...spec }: RoutingSpec,
  limits: ExpertLimits | null,
): Tensor {
  const picks = picksOf({ select, ...spec })!;
  const topP = select.by === "token" && "topP" in select ? select.topP : Number.POSITIVE_INFINITY;
  return dropPastActive(selectExperts(selection_TE, limitedPicks(picks, limits), topP), picks, limits);
}

/** Throws where the host wrote an id at or past `experts`: kernels write to the place it names. */
export function checkExperts(ids: Tensor, experts: number): void {
  const { high } = ids.hostRange;
  if (high >= experts)
    fail("shape", `route: ids ${show(ids.shape)} hold ${high}; there are ${experts}, counted from 0`);
}

/** How often each expert stands in `ids`: i32 [E]. */
export function countExperts(ids: Tensor, experts: number): Tensor {
  checkExperts(ids, experts);
  const counts = empty(ids.device, [experts], "i32");
  ids.device.kernels.run.countIds({ ids: ids.buf, counts: counts.buf, n: ids.size, experts });
  return counts;
}

/**
 * Gives out an expert's places, rank by rank: every token's first choice in order, then every second, and so on; in each group of tokens
 * on its own. `kept_TK`: the expert a place ends with, -1 where it is dropped. `capacity`: C of the first group; null: nothing bounds experts.
 */
export function fitCapacity(
  ids_TK: Tensor,
  selection_TE: Tensor,
  { capacity, experts }: RoutingSpec,
  units: Units,
  training: boolean,
): { kept_TK: Tensor; capacity: number | null } {
  const bound = actingBound(capacity, training);
  if (!capacity || !bound) return { kept_TK: ids_TK, capacity: null };
  const [tokens, picks] = ids_TK.shape;
  const { overflow, priority, over } = capacity;
  const group = Math.max(
    1,
    over === "batch" ? tokens : Math.min(tokens, over === "sequence" ? units.sequence : over),
  );
  const given = priority === "given" ? priorityOf(units, tokens, training) : null;
  const places = (count: number): number => placesOf(bound, count, picks, experts);
  // No expert takes a token twice, so more places than tokens are as good as that many.
  const usable = (count: number): number => Math.min(count, places(count));
  const kept_TK = assignCapacity(ids_TK, selection_TE, {
    group,
    capacity: usable(group),
    lastCapacity: usable(tokens % group || group),
    priority: priority === "given" && !given ? "position" : priority,
    given,
    nextBest: overflow === "next-best",
  });
  return { kept_TK, capacity: places(tokens === 0 ? 0 : group) };
}

/** Outside training numbers may be left out: places then go by position. */
function priorityOf({ priority_T }: Units, tokens: number, training: boolean): Tensor | null {
  if (priority_T) checkTokens("priorities", priority_T.size, tokens);
  else if (training)
    fail(
      "state",
      'route: capacity.priority is "given" and no numbers were',
      "pass { priority }, one number a token",
    );
  return priority_T;
}
