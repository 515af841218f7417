import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { add, context, Device, mul, scope, square, sum, Tape, type Tensor, tensor } from "../tensor/index.ts";
import { Linear } from "./linear.ts";
import { type NamedParameter, Parameter } from "./module.ts";
import { materialise } from "./parameters.ts";

const device = new Device(createReferenceKernels());

function arenaOf(parameters: Readonly<Record<string, Parameter>>): ReturnType<typeof materialise> {
  return materialise({ tensors: () => Object.entries(parameters) as NamedParameter[] }, device, 0);
}

function backward(loss: () => Tensor): void {
  scope(() => {
    const tape = new Tape();
    tape.backward(tape.run(loss));
  });
}

async function gradient(arena: ReturnType<typeof materialise>, name: string): Promise<number[]> {
  const { start, parameter } = arena.places.get(name)!;
  return [...(await arena.grads.view([parameter.size], start).data())];
}

test("the first contribution to a gradient replaces what stood there, later ones add", async () => {
  const [w, unused] = [new Parameter([2], { kind: "ones" }), new Parameter([2], { kind: "ones" })];
  const arena = arenaOf({ w, unused });
  const x = tensor(device, [3, 5]);
  arena.grads.write(Float32Array.from({ length: arena.grads.size }, () => Number.NaN)); // as a last step might leave it
  arena.clearGradients();

  backward(() => sum(add(mul(w.value, x), square(w.value)))); // x + 2w
  expect(await gradient(arena, "w")).toEqual([5, 7]);
  expect(await gradient(arena, "unused")).toEqual([0, 0]);
  backward(() => sum(mul(w.value, x)));
  expect(await gradient(arena, "w")).toEqual([8, 12]);
  arena.clearGradients();
  expect(await gradient(arena, "w")).toEqual([0, 0]);
});

test("products write a weight's gradient in its place, and add to it where the weight is used again", async () => {
  const linear = new Linear(2, 2);
  const arena = materialise(linear, device, 0);
  linear.weight.value.write(Float32Array.of(1, 2, 3, 4));
  const x = tensor(device, [1, -1], [1, 2]);
  backward(() => sum(linear.forward(x, context())));
  expect(await gradient(arena, "weight")).toEqual([1, -1, 1, -1]); // dy^T x, dy all ones

  arena.clearGradients();
  backward(() => sum(linear.forward(linear.forward(x, context()), context())));
  // y = x W^T = [-1, -1]; the second use gives dy^T y, the first (dy W)^T x = [4, 6]^T x.
  expect(await gradient(arena, "weight")).toEqual([-1 + 4, -1 - 4, -1 + 6, -1 - 6]);
});

test("a weight that stands on both sides of one operation gets both gradients", async () => {
  const w = new Parameter([2, 2], { kind: "ones" });
  const arena = arenaOf({ w });
  const head = new Linear(2, 2);
  head.weight.bind(w.value);
  w.value.write(Float32Array.of(1, 2, 3, 4));
  backward(() => sum(head.forward(w.value, context()))); // sum of W W^T: 2 * (column sums) in every row
  expect(await gradient(arena, "w")).toEqual([8, 12, 8, 12]);
});
