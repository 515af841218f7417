import { expect, test } from "vitest";
import { createReferenceKernels } from "../../kernels/reference/index.ts";
import {
  assignCapacity,
  Device,
  empty,
  gatherRows,
  invertChoice,
  keepGroups,
  selectExperts,
  type Tensor,
  tensor,
} from "../index.ts";

// How tensors reach the kernels; what those make of them is tested with the reference.

const device = new Device(createReferenceKernels());
const scores_TE = tensor(device, [0.1, 0.6, 0.3, 0.7, 0.2, 0.1, 0.5, 0.3, 0.2], [3, 3]);
const ids = (values: number[], shape: number[]): Tensor => tensor(device, Int32Array.from(values), shape);
const listOf = async (made: Tensor): Promise<number[]> => Array.from(await made.data());

test("selectExperts: k of each row, or the fewest that reach topP", async () => {
  expect(await listOf(selectExperts(scores_TE, 2))).toEqual([1, 2, 0, 1, 0, 1]);
  expect(await listOf(selectExperts(scores_TE, 3, 0.7))).toEqual([1, 2, -1, 0, -1, -1, 0, 1, -1]);
});

test("keepGroups: scores of the groups that stay", async () => {
  const kept = keepGroups(tensor(device, [4, 1, 3, 3], [1, 4]), { groups: 2, keep: 1, k: 1, top2: true });
  expect(await listOf(kept)).toEqual([-Infinity, -Infinity, 3, 3]);
});

test("assignCapacity: by each priority", async () => {
  const rules = { group: 3, capacity: 9, lastCapacity: 1, nextBest: false } as const;
  const kept = (priority: "position" | "score" | "given", given: Tensor | null): Tensor =>
    assignCapacity(ids([0, 0, 0], [3, 1]), scores_TE, { ...rules, priority, given });
  expect(await listOf(kept("position", null))).toEqual([0, -1, -1]);
  expect(await listOf(kept("score", null))).toEqual([-1, 0, -1]);
  expect(await listOf(kept("given", tensor(device, [1, 2, 3])))).toEqual([-1, -1, 0]);
});

test("invertChoice: rows that may be more than there are tokens serve as ids of rows", async () => {
  const row_TE = invertChoice(ids([1, 0, 1, -1], [2, 2]), 2);
  expect(await listOf(row_TE)).toEqual([1, -1, 0, 2]);
  expect(gatherRows(empty(device, [4, 2]), row_TE).shape).toEqual([2, 2, 2]);
  const far = ids([7, 7], [2, 1]); // the host's 7 is a token: no row has that number
  expect(gatherRows(empty(device, [2, 1]), invertChoice(far, 8)).shape).toEqual([8, 2, 1]);
});
