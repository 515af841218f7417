import { afterAll, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import {
  type Module,
  materialise,
  type NamedParameter,
  Parameter,
  type ParameterArena,
} from "../nn/index.ts";
import { type Context, context, Device, exp, mul, type Tensor, tensor } from "../tensor/index.ts";
import { nonFinitePlace } from "./diagnose.ts";

const device = new Device(createReferenceKernels());
afterAll(() => device.dispose());

/** Multiplies by a weight in each of three layers. */
class Chain implements Module {
  readonly weights: readonly Parameter[] = [0, 1, 2].map(() => new Parameter([2], { kind: "ones" }));
  readonly head = new Parameter([2], { kind: "ones" });

  *tensors(): Iterable<NamedParameter> {
    for (const [layer, weight] of this.weights.entries()) yield [`layers.${layer}.weight`, weight];
    yield ["head.weight", this.head];
  }

  readonly forward = (ctx: Context): Tensor => {
    let x = tensor(device, [1, 2]);
    for (const [layer, weight] of this.weights.entries()) {
      x = mul(x, weight.value);
      ctx.tap("product", layer, { x });
      ctx.tap("moe.route", layer, {
        masked: tensor(device, [-Infinity, 0]),
        ids: tensor(device, Int32Array.of(1)),
      });
    }
    return exp(x);
  };
}

function chain(): { model: Chain; arena: ParameterArena; place: () => Promise<string | null> } {
  const model = new Chain();
  const arena = materialise(model, device, 1);
  return { model, arena, place: () => nonFinitePlace(model.forward, context(), arena) };
}

test.each([NaN, Infinity, -Infinity])("a weight of %d is found in its layer", async (bad) => {
  const { model, arena, place } = chain();
  expect(await place()).toBeNull();
  const live = device.memory.live;
  model.weights[1].value.write(Float32Array.of(1, bad));
  expect(await place()).toBe("layer 1, product");
  expect(device.memory.live).toBe(live);
  arena.dispose();
});

test("with a sound forward pass, the gradient of the last layer that is not sound", async () => {
  const { arena, place } = chain();
  const spoil = (name: string): void => {
    const { start, parameter } = arena.places.get(name)!;
    arena.grads.view(parameter.shape, start).write(Float32Array.of(0, NaN));
  };
  spoil("layers.0.weight");
  spoil("layers.1.weight");
  expect(await place()).toBe("the gradient of layers.1.weight");
  spoil("head.weight");
  expect(await place()).toBe("the gradient of head.weight");
});
