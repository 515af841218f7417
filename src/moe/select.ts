import { fail } from "../errors.ts";
import {
  add,
  affine,
  cast,
  empty,
  equal,
  full,
  gatherRows,
  keepGroups,
  show,
  type Tensor,
  tensor,
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

/** Group-limited selection: only the `keep` best groups stay, for tokens that choose k experts of them. */
export function limitToGroups(selection_TE: Tensor, groups: GroupsSpec, k: number): Tensor {
  const { count, keep, score } = groups;
  return keepGroups(selection_TE, { groups: count, keep, k, top2: score === "top2-sum" });
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
