import { fail } from "../errors.ts";
import {
  add,
  affine,
  cast,
  empty,
  equal,
  full,
  gatherRows,
  log,
  max,
  mul,
  reshape,
  show,
  sum,
  type Tensor,
  takeAlong,
  tensor,
  topk,
} from "../tensor/index.ts";
import type { GroupsSpec } from "./spec.ts";

/**
 * The steps that decide who goes where: integers and masks, never on the tape. A selection score of -inf means "may not go
 * there"; an id of -1 means "no expert in this place". Ties go to the lower index.
 *
 * T tokens, E experts, K picks a token, G groups, S = E/G experts a group, L labels.
 */

/** 1 where x is above -inf, else 0. */
export function present(x: Tensor): Tensor {
  return affine(equal(x, -Infinity), -1, 1);
}

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

/**
 * Group-limited selection (DeepSeek-V2, section 2.1.2, and V3): only the `keep` best groups stay. A group's score is its best
 * expert's, or the sum of its two best.
 */
export function limitToGroups(selection_TE: Tensor, groups: GroupsSpec): Tensor {
  const [tokens, experts] = selection_TE.shape;
  const { count, keep, score } = groups;
  const grouped_TGS = reshape(selection_TE, [tokens, count, experts / count]);
  const score_TG = score === "max" ? max(grouped_TGS, -1) : sum(topk(grouped_TGS, 2).values, -1);
  const kept_TG = membership(topk(score_TG, keep).ids, count);
  return reshape(add(grouped_TGS, log(reshape(kept_TG, [tokens, count, 1]))), [tokens, experts]);
}

/** Limits each token to the experts of its label (task- or modality-level routing): -inf elsewhere. */
export function limitToLabels(
  selection_TE: Tensor,
  table: Readonly<Record<string, readonly number[]>>,
  labels: readonly string[],
): Tensor {
  const [tokens, experts] = selection_TE.shape;
  const { device } = selection_TE;
  if (labels.length !== tokens) fail("shape", `route: ${labels.length} labels for ${tokens} tokens`);
  const names = Object.keys(table);
  const indexOf = new Map(names.map((name, i) => [name, i]));
  const limit_LE = new Float32Array(names.length * experts).fill(-Infinity);
  names.forEach((name, i) => {
    for (const expert of table[name]) limit_LE[i * experts + expert] = 0;
  });
  const label_T = Int32Array.from(labels, (label) => indexOf.get(label) ?? unknownLabel(label, names));
  return add(
    selection_TE,
    gatherRows(tensor(device, limit_LE, [names.length, experts]), tensor(device, label_T)),
  );
}

function unknownLabel(label: string, known: readonly string[]): never {
  return fail("spec", `route: label "${label}" is not in select.table, which has ${known.join(", ")}`);
}

/** The k best experts of each token, best first: ids i32 [T,K], -1 where fewer than k are allowed; unless `ruledOut`, all are. */
export function selectTop(selection_TE: Tensor, k: number, ruledOut: boolean): Tensor {
  const { values, ids } = topk(selection_TE, k);
  return ruledOut ? dropAbsent(ids, values) : ids;
}

/** The fewest best experts whose scores add up to `topP` (Huang et al. 2024), at most `maxK`: ids i32 [T,maxK], -1 past them. */
export function selectTopP(selection_TE: Tensor, topP: number, maxK: number): Tensor {
  const [tokens, experts] = selection_TE.shape;
  const { device } = selection_TE;
  const ids = empty(device, [tokens, maxK], "i32");
  device.kernels.routing.selectTopP({
    scores: selection_TE.buf,
    ids: ids.buf,
    tokens,
    k: maxK,
    experts,
    topP,
  });
  return dropAbsent(ids, takeAlong(selection_TE, ids));
}

/** -1 for every id whose value is -inf. Exact: ids are far below 2^24. */
function dropAbsent(ids_TK: Tensor, values_TK: Tensor): Tensor {
  const onePast = mul(affine(cast(ids_TK, "f32"), 1, 1), present(values_TK));
  return cast(affine(onePast, 1, -1), "i32");
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

/** Gives out places under a capacity, rank by rank: kept i32 [T,K], the expert a place ends with, -1 where dropped. */
export function assignCapacity(
  ids_TK: Tensor,
  selection_TE: Tensor,
  capacity: number,
  overflow: "drop" | "next-best",
  priority: "position" | "score",
): Tensor {
  const [tokens, k] = ids_TK.shape;
  const experts = selection_TE.shape[1];
  const { device } = ids_TK;
  const kept = empty(device, [tokens, k], "i32");
  device.kernels.routing.assignCapacity({
    ids: ids_TK.buf,
    scores: selection_TE.buf,
    kept: kept.buf,
    tokens,
    k,
    experts,
    capacity,
    overflow,
    priority,
  });
  return kept;
}
