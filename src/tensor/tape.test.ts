import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import {
  add,
  addInto,
  cast,
  Device,
  div,
  exp,
  full,
  gradients,
  matmul,
  mul,
  scope,
  square,
  sub,
  sum,
  Tape,
  type Tensor,
  tensor,
  topk,
  watch,
  withoutTape,
} from "./index.ts";

const make = (): Device => new Device(createReferenceKernels());
const values = async (t: Tensor): Promise<number[]> => [...(await t.data())];

test("a tensor used twice gets the sum of both gradients", async () => {
  const device = make();
  const x = tensor(device, [2, -3]);
  const y = tensor(device, [5, 7]);
  // d/dx of x*y + x^2 is y + 2x, and d/dy is x.
  const { value, grads } = gradients([x, y], () => sum(add(mul(x, y), square(x))));
  expect(await value.item()).toBe(10 - 21 + 4 + 9);
  expect(await values(grads[0])).toEqual([9, 1]);
  expect(await values(grads[1])).toEqual([2, -3]);
});

test("two watched inputs may get the same gradient tensor, and an intermediate several", async () => {
  const device = make();
  const [a, b] = [tensor(device, [1]), tensor(device, [2])];
  const { grads } = gradients([a, b], () => {
    const s = add(a, b);
    return sum(add(add(s, s), sub(s, b))); // 3a + 2b
  });
  expect([await grads[0].item(), await grads[1].item()]).toEqual([3, 2]);
});

test("a repeated operand's gradient, shared by two watched tensors, is freed once by each", async () => {
  const device = make();
  const [a, b, c] = [tensor(device, [1]), tensor(device, [2]), tensor(device, [1, 2, 3])];
  const { grads } = gradients([a, b], () => sum(mul(add(a, b), c)));
  expect([await grads[0].item(), await grads[1].item()]).toEqual([6, 6]);
});

test("gradients go through bf16 and come back as f32", async () => {
  const device = make();
  const x = tensor(device, [1.001, 2], [1, 2]);
  const w = tensor(device, [3, 4], [2, 1]);
  const { value, grads } = gradients([x, w], () => sum(matmul(cast(x, "bf16"), w)));
  expect(await value.item()).toBe(11); // 1.001 rounds to 1
  expect(await values(grads[0])).toEqual([3, 4]);
  expect(await values(grads[1])).toEqual([1, 2]);
});

test("precision bf16 rounds the operands of the product and of both its gradients' products", async () => {
  const device = make();
  const [x, w, c] = [
    tensor(device, [1.001], [1, 1]),
    tensor(device, [3.001], [1, 1]),
    tensor(device, [1.003], [1, 1]),
  ];
  const { value, grads } = gradients([x, w], () => mul(matmul(x, w, { precision: "bf16" }), c));
  expect(await value.item()).toBeCloseTo(3 * 1.003, 6);
  expect(await grads[0].item()).toBe(3);
  expect(await grads[1].item()).toBe(1);
});

test("backward runs once, from a one-element loss that was computed on the tape", () => {
  const device = make();
  const x = watch(tensor(device, [1, 2]), (g) => g.dispose());
  const tape = new Tape();
  const loss = tape.run(() => sum(square(x)));
  expect(() => tape.backward(square(x))).toThrow("backward: the loss has shape [2], not one element");
  expect(() => tape.backward(full(device, [], 1))).toThrow(
    "was not computed from a watched tensor on this tape",
  );
  tape.backward(loss);
  expect(() => tape.backward(loss)).toThrow("since its last backward pass");
});

test("only what depends on a watched tensor is recorded", () => {
  const device = make();
  const x = watch(tensor(device, [1, 2, 3]), (g) => g.dispose());
  const constant = tensor(device, [4, 5, 6]);
  const tape = new Tape();
  tape.run(() => {
    expect(exp(constant).tracked).toBe(false);
    expect(withoutTape(() => exp(x)).tracked).toBe(false);
    expect(exp(x).tracked).toBe(true);
    const { values: largest, ids } = topk(x, 2);
    expect([largest.tracked, ids.tracked]).toEqual([true, false]);
  });
  expect(tape.nodes.length).toBe(2);
});

test("`gradients` leaves its inputs as they were", async () => {
  const device = make();
  const seen: number[] = [];
  const x = tensor(device, [2]);
  const w = watch(tensor(device, [3]), (g) => {
    seen.push(g.size);
    g.dispose();
  });
  gradients([x, w], () => sum(mul(x, w)));
  expect([x.tracked, w.tracked, seen]).toEqual([false, true, []]);
  const { grads } = gradients([x], () => sum(mul(x, w)));
  expect(await grads[0].item()).toBe(3);
  expect(seen).toEqual([1]);
});

test("a step frees what it made: live bytes are flat over 1000 steps, and nothing new is pooled", () => {
  const device = make();
  const w = tensor(device, [0.1, 0.2, 0.3, 0.4], [2, 2]);
  const grad = full(device, [2, 2], 0);
  watch(w, (contribution) => addInto(grad, contribution));
  const x = tensor(device, [1, 2, 3, 4], [2, 2]);
  const step = (): void =>
    scope(() => {
      const tape = new Tape();
      const loss = tape.run(() => sum(square(sub(matmul(exp(matmul(x, w)), w), x))));
      tape.backward(loss);
    });
  step();
  const { live, pooled } = device.memory;
  for (let i = 0; i < 1000; i++) step();
  expect(device.memory).toMatchObject({ live, pooled });
});

test("without a scope, what the tape held is free after backward", () => {
  const device = make();
  const w = watch(tensor(device, [1, 2]), (g) => g.dispose());
  const elsewhere = new Tape();
  const unwatched = elsewhere.run(() => exp(w)); // tracked, but of another tape: its gradient goes nowhere
  const { live } = device.memory;
  const tape = new Tape();
  const loss = tape.run(() => sum(div(mul(w, unwatched), add(w, w))));
  expect(device.memory.live).toBeGreaterThan(live + 64);
  tape.backward(loss);
  expect(device.memory.live).toBe(live + 64); // the loss
});

test("a body that throws leaves nothing on the tape or in memory", () => {
  const device = make();
  const w = watch(tensor(device, [1, 2]), (g) => g.dispose());
  const { live } = device.memory;
  const tape = new Tape();
  expect(() => tape.run(() => matmul(exp(w), w))).toThrow("matmul");
  expect([tape.nodes.length, device.memory.live]).toEqual([0, live]);
});

test("only what gradients read stays until backward, and each is freed as it is passed", () => {
  const device = make();
  const n = 1024; // 4,096 bytes: larger than everything else together
  const x = watch(full(device, [n], 0.5), (g) => g.dispose());
  const tensors = (): number => Math.floor(device.memory.live / (4 * n)) - 1; // besides x
  const sums = new Tape();
  const ofSums = sums.run(() => sum(add(add(add(x, x), x), x)));
  expect(tensors()).toBe(0); // the gradient of a sum needs no values
  sums.backward(ofSums);

  const tape = new Tape();
  const loss = tape.run(() => sum(exp(exp(exp(exp(x))))));
  expect(tensors()).toBe(4);
  device.resetPeak();
  tape.backward(loss);
  // At the last exponential: its input and output, the gradients of both; those below: 2 more.
  expect(Math.floor(device.memory.peak / (4 * n)) - 1).toBe(6);
  expect(tensors()).toBe(0);
});
