// Who goes where: places, not numbers, so none has a gradient. T tokens, K picks a token, E experts, C capacity. Ids are i32; one below 0
// means "none". A score of -Infinity means "may not go there".

import { apply } from "../apply.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op } from "../op.ts";
import { show, type Tensor } from "../tensor.ts";

function checkScores(op: string, scores: Tensor): void {
  checkDtype(op, "scores", scores, ["f32"]);
  const { rank, shape } = scores;
  check(rank === 2 && shape[1] > 0, op, () => `scores ${show(shape)} are not [tokens, experts]`);
}

/** Throws unless `value` is a whole number from `least` to `most`. */
function checkWhole(op: string, name: string, value: number, least: number, most: number): void {
  check(
    Number.isSafeInteger(value) && value >= least && value <= most,
    op,
    () => `${name} is ${value}, not a whole number from ${least} to ${most}`,
  );
}

/** Kernels count places in i32. */
const mostPlaces = 2 ** 31 - 1;

const selectExpertsOp: Op<{ readonly k: number; readonly topP: number }> = {
  name: "selectExperts",
  shape([scores], { k, topP }) {
    checkScores("selectExperts", scores);
    const [tokens, experts] = scores.shape;
    checkWhole("selectExperts", "k", k, 1, experts);
    check(!Number.isNaN(topP), "selectExperts", () => "topP is NaN");
    return [{ shape: [tokens, k], dtype: "i32" }];
  },
  forward(run, [scores], [ids], { k, topP }) {
    const [tokens, experts] = scores.shape;
    run.selectExperts({ scores: scores.buf, ids: ids.buf, tokens, k, experts, topP });
  },
  vjp: "none",
};

/**
 * The k best experts of each token, best first: scores [T, E] to ids i32 [T, K], -1 where fewer than k are above -Infinity. NaN ranks above
 * everything, as in PyTorch's topk; ties go to the lower index. With `topP` only the fewest whose scores add up to it (Huang et al. 2024).
 */
export function selectExperts(scores_TE: Tensor, k: number, topP: number = Number.POSITIVE_INFINITY): Tensor {
  return apply(selectExpertsOp, [scores_TE], { k, topP });
}

const ruleOutOp: Op<null> = {
  name: "ruleOut",
  shape([scores, mask]) {
    checkScores("ruleOut", scores);
    checkDtype("ruleOut", "mask", mask, ["f32"]);
    checkShape("ruleOut", "mask", mask, scores.shape);
    return [f32(scores.shape)];
  },
  forward: (run, [scores, mask], [out]) =>
    run.ruleOut({ scores: scores.buf, mask: mask.buf, out: out.buf, n: scores.size }),
  vjp: "none",
};

/** scores [T, E], but -Infinity wherever mask [T, E] is: whatever stands there, NaN and Infinity too. */
export function ruleOut(scores_TE: Tensor, mask_TE: Tensor): Tensor {
  return apply(ruleOutOp, [scores_TE, mask_TE], null);
}

/** How experts fall into groups, and what is kept of them. */
export interface GroupLimit {
  /** Groups of E/groups neighbours. */
  readonly groups: number;
  /** Groups that stay. */
  readonly keep: number;
  /** Experts that are chosen afterwards: of them no token gets fewer than it could have. */
  readonly k: number;
  /** A group's score is the sum of its two best experts', not its best one's. */
  readonly top2: boolean;
}

const keepGroupsOp: Op<GroupLimit> = {
  name: "keepGroups",
  shape([scores], { groups, keep, k }) {
    checkScores("keepGroups", scores);
    const experts = scores.shape[1];
    checkWhole("keepGroups", "groups", groups, 1, experts);
    check(experts % groups === 0, "keepGroups", () => `${groups} groups do not divide ${experts} experts`);
    checkWhole("keepGroups", "keep", keep, 1, groups);
    checkWhole("keepGroups", "k", k, 1, experts);
    return [f32(scores.shape)];
  },
  forward(run, [scores], [out], limit) {
    const [tokens, experts] = scores.shape;
    run.keepGroups({ scores: scores.buf, out: out.buf, tokens, experts, ...limit });
  },
  vjp: "none",
};

/**
 * Group-limited selection (DeepSeek-V2, section 2.1.2, and V3): scores [T, E] with -Infinity outside the `keep` best groups. Where
 * experts are ruled out already, a group is passed over if with it the token could not have min(k, what any groups would give) experts.
 */
export function keepGroups(scores_TE: Tensor, limit: GroupLimit): Tensor {
  return apply(keepGroupsOp, [scores_TE], limit);
}

/** How places are given out under a capacity. */
export interface CapacityOptions {
  /** Tokens that share places: as many neighbours, all of them for one group. */
  readonly group: number;
  /** Places an expert has in a group. */
  readonly capacity: number;
  /** Places an expert has in the last group, which may be shorter. */
  readonly lastCapacity: number;
  /** Who comes first: by place, by the score of the first choice, or by `given`. */
  readonly priority: "position" | "score" | "given";
  /** f32 [T], the largest first; for priority "given". */
  readonly given: Tensor | null;
  /** A place that finds its expert full goes to the best one with room, and is not dropped. */
  readonly nextBest: boolean;
}

type CapacityAttributes = Omit<CapacityOptions, "given">;

const assignCapacityOp: Op<CapacityAttributes> = {
  name: "assignCapacity",
  shape([ids, scores, given], { group, capacity, lastCapacity, priority }) {
    checkScores("assignCapacity", scores);
    const [tokens, experts] = scores.shape;
    checkIds("assignCapacity", "ids", ids, experts);
    check(
      ids.rank === 2 && ids.shape[0] === tokens && ids.shape[1] > 0,
      "assignCapacity",
      () => `ids ${show(ids.shape)} are not [${tokens}, picks]`,
    );
    checkWhole("assignCapacity", "group", group, 1, mostPlaces);
    checkWhole("assignCapacity", "capacity", capacity, 0, mostPlaces);
    checkWhole("assignCapacity", "lastCapacity", lastCapacity, 0, mostPlaces);
    check(
      (priority === "given") === (given !== undefined),
      "assignCapacity",
      () => `priority is "${priority}", and given is ${given ? show(given.shape) : "null"}`,
    );
    if (given) {
      checkDtype("assignCapacity", "given", given, ["f32"]);
      checkShape("assignCapacity", "given", given, [tokens]);
    }
    return [{ shape: ids.shape, dtype: "i32" }];
  },
  forward(run, [ids, scores, given], [kept], rules) {
    const [tokens, k] = ids.shape;
    const bufs = { ids: ids.buf, scores: scores.buf, given: given?.buf ?? null, kept: kept.buf };
    run.assignCapacity({ ...bufs, tokens, k, experts: scores.shape[1], ...rules });
  },
  vjp: "none",
};

/**
 * Gives out places under a capacity, rank by rank (every token's first choice, then every second): ids [T, K] to the expert that each
 * place ends with, i32 [T, K], -1 where it is dropped. `scores` [T, E] orders tokens by priority "score", and next-best experts.
 */
export function assignCapacity(ids_TK: Tensor, scores_TE: Tensor, options: CapacityOptions): Tensor {
  const { given, ...rules } = options;
  return apply(assignCapacityOp, given ? [ids_TK, scores_TE, given] : [ids_TK, scores_TE], rules);
}

const invertChoiceOp: Op<{ readonly tokens: number }> = {
  name: "invertChoice",
  shape([chosen], { tokens }) {
    check(chosen.rank === 2, "invertChoice", () => `chosen ${show(chosen.shape)} is not [experts, capacity]`);
    checkWhole("invertChoice", "tokens", tokens, 0, mostPlaces);
    checkIds("invertChoice", "chosen", chosen, tokens);
    return [{ shape: [tokens, chosen.shape[0]], dtype: "i32", counted: true }];
  },
  forward(run, [chosen], [row], { tokens }) {
    const [experts, capacity] = chosen.shape;
    run.invertChoice({ chosen: chosen.buf, row: row.buf, tokens, experts, capacity });
  },
  vjp: "none",
};

/** The row e*C + c of each token at each expert, i32 [T, E], -1 where it was not chosen: from the tokens of each expert, i32 [E, C]. */
export function invertChoice(chosen_EC: Tensor, tokens: number): Tensor {
  return apply(invertChoiceOp, [chosen_EC], { tokens });
}
