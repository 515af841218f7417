// What does not fit is refused before anything is allocated or run.
import { expect, test } from "vitest";
import { ConclaveError } from "../../errors.ts";
import { createReferenceKernels } from "../../kernels/reference/index.ts";
import { Device, empty, full, type Shape, type Tensor, tensor } from "../index.ts";
import * as ops from "./index.ts";

const kernels = createReferenceKernels();
const noKernels = new Proxy(kernels.run, {
  get: (_, name) => {
    throw new Error(`the kernel ${String(name)} ran`);
  },
});
/** A device on which nothing may run. */
const idle = new Device({ ...kernels, run: noKernels });
const device = new Device(kernels);
const f = (...shape: Shape): Tensor => empty(idle, shape);
const half = (...shape: Shape): Tensor => empty(idle, shape, "bf16");
const i = (values: readonly number[], shape?: Shape): Tensor => tensor(idle, Int32Array.from(values), shape);
const table = ops.ropeTable(idle, 4, ops.ropeFrequencies(4, 10));

/** One row at `position` of a sequence whose two pages are `pages`. */
function paged(pages: readonly number[], sequence: number, position: number): ops.PagedRows {
  return { pages_BM: i(pages, [1, 2]), sequence_T: i([sequence]), position_T: i([position]) };
}
/** That row written into 5 pages of 4 positions. */
function append(pages: readonly number[], sequence: number, position: number): void {
  ops.appendPages(f(1, 1, 3), f(5, 4, 1, 3), paged(pages, sequence, position));
}

const room = {
  group: 2,
  capacity: 1,
  lastCapacity: 1,
  priority: "position",
  given: null,
  nextBest: false,
} as const;
const stream = { seed: 1, stream: "x" };

const refusals: readonly (readonly [says: string, call: () => unknown])[] = [
  ["add: [2, 3] and [4] do not broadcast", () => ops.add(f(2, 3), f(4))],
  ["mul: b [2] is i32; it takes f32", () => ops.mul(f(2), i([1, 2]))],
  ["exp: x [2] is bf16; it takes f32", () => ops.exp(half(2))],
  [
    "add: [2, 2, 2, 2, 2] has 5 axes that do not merge; kernels take 4",
    () => ops.add(f(2, 1, 2, 1, 2), f(1, 2, 1, 2, 1)),
  ],
  ["clamp: low 2 is above high 1", () => ops.clamp(f(2), 2, 1)],
  ["reshape: [2, 3] to [4]: 6 elements to 4", () => ops.reshape(f(2, 3), [4])],
  ["reshape: [2, 3] to [4, -1]: nothing fits in place of -1", () => ops.reshape(f(2, 3), [4, -1])],
  ["permute: [0,0] are not the axes of [2, 3] in some order", () => ops.permute(f(2, 3), [0, 0])],
  ["transpose: [3] has fewer than two axes", () => ops.transpose(f(3))],
  ["slice: 2 from 2 on do not fit axis 0 of [3]", () => ops.slice(f(3), 0, 2, 2)],
  ["slice: [3] has no axis 1", () => ops.slice(f(3), 1, 0, 1)],
  ["concat: [2, 3] does not continue [2, 2] along axis 0", () => ops.concat([f(2, 2), f(2, 3)], 0)],
  ["concat: an input [2] is bf16; it takes f32", () => ops.concat([f(2), half(2)], 0)],
  ["concat: there is nothing to join", () => ops.concat([], 0)],
  ["expand: [2] does not repeat to [3]", () => ops.expand(f(2), [3])],
  ["expand: [3] does not repeat to [1]", () => ops.expand(f(3), [1])],
  ["sum: [2, 3] has no axis 2", () => ops.sum(f(2, 3), 2)],
  ["sum: an axis of [2, 3] is named twice in [1,-1]", () => ops.sum(f(2, 3), [1, -1])],
  ["max: of nothing: [2, 0] over axes 1 to 1", () => ops.max(f(2, 0), 1)],
  ["mean: of nothing: [0]", () => ops.mean(f(0))],
  ["matmul: [2, 3] x [2, 3]: inner sizes 3 and 2 differ", () => ops.matmul(f(2, 3), f(2, 3))],
  ["(a, b transposed): inner sizes 3 and 4 differ", () => ops.matmul(f(2, 3), f(3, 4), { transB: true })],
  ["matmul: [2, 2, 3] x [3, 3, 2]: leading axes differ", () => ops.matmul(f(2, 2, 3), f(3, 3, 2))],
  ["matmul: [3] x [3, 2]: both need two axes or more", () => ops.matmul(f(3), f(3, 2))],
  [
    "matmul: a [2, 3, 2] with leading axes is transposed, b [3, 2] has none",
    () => ops.matmul(f(2, 3, 2), f(3, 2), { transA: true }),
  ],
  [
    "groupedMatmul: rows of 3 in x [4, 3], w [2, 5, 3] takes 5",
    () => ops.groupedMatmul(f(4, 3), f(2, 5, 3), i([0, 1, 4])),
  ],
  ["groupedMatmul: offsets is [2], not [3]", () => ops.groupedMatmul(f(4, 3), f(2, 3, 5), i([0, 4]))],
  [
    "groupedMatmul: offsets [3] holds 5; there are 5",
    () => ops.groupedMatmul(f(4, 3), f(2, 3, 5), i([0, 1, 5])),
  ],
  ["groupedMatmul: offsets [3] is f32; it takes i32", () => ops.groupedMatmul(f(4, 3), f(2, 3, 5), f(3))],
  ["softmax: x [] has no last axis to work along", () => ops.softmax(f())],
  ["logSumExp: x [2, 0] has no last axis", () => ops.logSumExp(f(2, 0))],
  ["topk: k is 4 for rows of 3 in [2, 3]", () => ops.topk(f(2, 3), 4)],
  ["topk: k is 0 for rows of 3", () => ops.topk(f(2, 3), 0)],
  ["takeAlong: ids is [3, 1], not [2, 1]", () => ops.takeAlong(f(2, 3), i([0, 1, 2], [3, 1]))],
  [
    "takeAlong: ids [1, 2] holds 3; there are 3, counted from 0",
    () => ops.takeAlong(f(1, 3), i([0, 3], [1, 2])),
  ],
  ["rmsNorm: weight is [2], not [3]", () => ops.rmsNorm(f(2, 3), f(2), 1e-5)],
  ["layerNorm: bias is [3, 1], not [3]", () => ops.layerNorm(f(2, 3), f(3), f(3, 1), 1e-5)],
  ["ropeFrequencies: rotary is 3, not an even number above 0", () => ops.ropeFrequencies(3, 10)],
  ["rope: the table turns 4 of a head of 2 in [1, 1, 2]", () => ops.rope(f(1, 1, 2), table, i([0]))],
  ["rope: position [2] holds 4; there are 4", () => ops.rope(f(2, 1, 4), table, i([0, 4]))],
  ["rope: position [2] holds -1; the least allowed is 0", () => ops.rope(f(2, 1, 4), table, i([0, -1]))],
  [
    "rope: position [3] for x [2, 2, 1, 4]: it takes 2 or 4",
    () => ops.rope(f(2, 2, 1, 4), table, i([0, 1, 2])),
  ],
  [
    "attention: q [2, 4] is not [batch, sequence, heads, headDim]",
    () => ops.attention(f(2, 4), f(2, 4), f(2, 4)),
  ],
  [
    "attention: k is [1, 5, 2, 8], not [1, 5, 2, 4]",
    () => ops.attention(f(1, 5, 2, 4), f(1, 5, 2, 8), f(1, 5, 2, 8)),
  ],
  [
    "attention: v is [1, 3, 2, 4], not [1, 5, 2, 4]",
    () => ops.attention(f(1, 5, 2, 4), f(1, 5, 2, 4), f(1, 3, 2, 4)),
  ],
  ["attention: 3 heads of q", () => ops.attention(f(1, 5, 3, 4), f(1, 5, 2, 4), f(1, 5, 2, 4))],
  [
    "attention: window is -1",
    () => ops.attention(f(1, 1, 1, 1), f(1, 1, 1, 1), f(1, 1, 1, 1), { window: -1 }),
  ],
  ["gatherRows: ids [2] holds 3; there are 3, counted from 0", () => ops.gatherRows(f(3, 2), i([0, 3]))],
  ["gatherRows: x [3] is not [rows, width]", () => ops.gatherRows(f(3), i([0]))],
  [
    "gatherRows: rows of x [2, 16] are no whole number of q8_0 blocks",
    () => ops.gatherRows(empty(idle, [1, 32], "q8_0").view([2, 16]), i([0])),
  ],
  ["scatterAddRows: ids is [1], not [3]", () => ops.scatterAddRows(f(3, 2), i([0]), 2)],
  ["scatterAddRows: ids [3] holds 2; there are 2", () => ops.scatterAddRows(f(3, 2), i([0, 1, 2]), 2)],
  [
    "dispatchRows: row [1, 2] is not [3, picks]",
    () => ops.dispatchRows(f(3, 2), i([0, 1]), i([0, 1], [1, 2])),
  ],
  ["combineRows: row [1, 2] holds 4; there are 4", () => ops.combineRows(f(4, 2), i([0, 4], [1, 2]), null)],
  ["combineRows: weight is [2], not [1, 2]", () => ops.combineRows(f(4, 2), i([0, 3], [1, 2]), f(2))],
  ["selectExperts: k is 4, not a whole number from 1 to 3", () => ops.selectExperts(f(2, 3), 4)],
  ["selectExperts: scores [3] are not [tokens, experts]", () => ops.selectExperts(f(3), 1)],
  ["selectExperts: scores [2, 3] is bf16; it takes f32", () => ops.selectExperts(half(2, 3), 1)],
  ["selectExperts: topP is NaN", () => ops.selectExperts(f(2, 3), 1, Number.NaN)],
  [
    "keepGroups: 4 groups do not divide 6 experts",
    () => ops.keepGroups(f(2, 6), { groups: 4, keep: 1, k: 1, top2: false }),
  ],
  [
    "keepGroups: keep is 4, not a whole number from 1 to 3",
    () => ops.keepGroups(f(2, 6), { groups: 3, keep: 4, k: 1, top2: false }),
  ],
  [
    "assignCapacity: ids [2, 1] holds 3; there are 3",
    () => ops.assignCapacity(i([0, 3], [2, 1]), f(2, 3), room),
  ],
  [
    "assignCapacity: ids [3, 1] are not [2, picks]",
    () => ops.assignCapacity(i([0, 1, 2], [3, 1]), f(2, 3), room),
  ],
  [
    "assignCapacity: group is 0, not a whole number from 1",
    () => ops.assignCapacity(i([0, 1], [2, 1]), f(2, 3), { ...room, group: 0 }),
  ],
  [
    "assignCapacity: lastCapacity is -1, not a whole number from 0",
    () => ops.assignCapacity(i([0, 1], [2, 1]), f(2, 3), { ...room, lastCapacity: -1 }),
  ],
  [
    'assignCapacity: priority is "given", and given is null',
    () => ops.assignCapacity(i([0, 1], [2, 1]), f(2, 3), { ...room, priority: "given" }),
  ],
  [
    'assignCapacity: priority is "score", and given is [2]',
    () => ops.assignCapacity(i([0, 1], [2, 1]), f(2, 3), { ...room, priority: "score", given: f(2) }),
  ],
  [
    "assignCapacity: given is [3], not [2]",
    () => ops.assignCapacity(i([0, 1], [2, 1]), f(2, 3), { ...room, priority: "given", given: f(3) }),
  ],
  ["invertChoice: chosen [2] is not [experts, capacity]", () => ops.invertChoice(i([0, 1]), 2)],
  ["invertChoice: chosen [1, 2] holds 2; there are 2", () => ops.invertChoice(i([0, 2], [1, 2]), 2)],
  ["random: at is [3], not [2]", () => ops.randomUniform(i([0, 0, 0]), [4], stream)],
  ["random: at holds -1; steps and rows count from 0", () => ops.randomNormal(i([0, -1]), [4], stream)],
  ["random: [] has no rows of numbers", () => ops.randomNormal(i([0, 0]), [], stream)],
  ["random: the seed 0.5 is not", () => ops.randomNormal(i([0, 0]), [4], { ...stream, seed: 0.5 })],
  ["random: high is Infinity", () => ops.randomUniform(i([0, 0]), [4], stream, 0, Infinity)],
  ["swiglu: the last axis of [2, 3] does not halve", () => ops.swiglu(f(2, 3))],
  ["crossEntropy: target [2] holds 5; there are 5", () => ops.crossEntropy(f(2, 5), i([0, 5]))],
  ["crossEntropy: target is [3], not [2]", () => ops.crossEntropy(f(2, 5), i([0, 1, 2]))],
  ["clipScale: maxNorm is 0", () => ops.clipScale(f(), 0)],
  ["appendPages: pages [1, 2] holds 5; there are 5", () => append([0, 5], 0, 0)],
  ["appendPages: pages [1, 2] holds -1; the least allowed is 0", () => append([0, -1], 0, 0)],
  ["appendPages: sequence [1] holds 1; there are 1", () => append([0, 4], 1, 0)],
  ["appendPages: position [1] holds 8; there are 8", () => append([0, 4], 0, 8)],
  [
    "pagedAttention: position [1] holds 8; there are 8",
    () =>
      ops.pagedAttention(f(1, 2, 3), f(5, 4, 1, 3), f(5, 4, 1, 3), paged([0, 4], 0, 8), {
        window: 0,
        chunk: 0,
        scale: 1,
        sinks_H: null,
      }),
  ],
];

test.each(refusals)("%s", (says, call) => {
  expect(call).toThrow(ConclaveError);
  expect(call).toThrow(says);
});

test("an id stays known through views, moves and repeats", () => {
  const ids = ops.expand(tensor(device, Int32Array.of(0, 7), [1, 2]), [3, 2]);
  expect(() => ops.gatherRows(empty(device, [7, 2]), ops.slice(ids, 0, 1, 1))).toThrow(
    "holds 7; there are 7",
  );
});

test("ids written anew are judged by the new ones", () => {
  const ids = tensor(device, Int32Array.of(0, 7));
  ids.write(Int32Array.of(1, 6));
  expect(ops.gatherRows(full(device, [7, 2], 1), ids).shape).toEqual([2, 2]);
  ops.slice(ids, 0, 0, 1).write(Int32Array.of(9));
  expect(() => ops.gatherRows(empty(device, [7, 2]), ids)).toThrow("holds 9; there are 7");
});

test("settings of AdamW that cannot be are refused", () => {
  const [values, grads, m, v] = [f(4), f(4), f(4), f(3)];
  const settings = {
    gradScale: null,
    decayed: 4,
    step: 1,
    lr: 0.1,
    beta1: 0.9,
    beta2: 0.9,
    eps: 1e-8,
    decay: 0,
  };
  expect(() => ops.adamwStep({ values, grads, m, v, ...settings })).toThrow("adamwStep: v is [3], not [4]");
  expect(() => ops.adamwStep({ values, grads, m, v: m, ...settings, step: 0 })).toThrow(
    "adamwStep: step is 0",
  );
  expect(() => ops.adamwStep({ values, grads, m, v: m, ...settings, decayed: 5 })).toThrow(
    "decayed is 5 of 4",
  );
});
