import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { context, Device, empty, scope, slice, sum, Tape, tensor, watch } from "../tensor/index.ts";
import { Attention } from "./attention.ts";
import { Embedding } from "./embedding.ts";
import { Linear } from "./linear.ts";
import { SwigluMlp } from "./mlp.ts";
import { countParameters, type Module, type NamedParameter, Parameter, within } from "./module.ts";
import { RmsNorm } from "./norm.ts";
import { allocate, materialise } from "./parameters.ts";
import { consecutive } from "./positions.ts";
import { Rotary, rotate } from "./rope.ts";

const device = new Device(createReferenceKernels());
const ctx = context();

/** The module as one tree, to be materialised. */
function tree(parts: Readonly<Record<string, Module>>): Module {
  return {
    *tensors(): Iterable<NamedParameter> {
      for (const [name, part] of Object.entries(parts)) yield* within(name, part);
    },
  };
}

test("a weight's initial value depends on the seed and its name alone", async () => {
  const values = async (
    parts: Record<string, Module>,
    seed: number,
    of: Linear,
  ): Promise<ArrayLike<number>> => {
    materialise(tree(parts), device, seed);
    return of.weight.value.data();
  };
  const a = new Linear(3, 5);
  const first = await values({ a }, 1, a);
  expect(await values({ before: new Linear(7, 2), a, after: new RmsNorm(4) }, 1, a)).toEqual(first);
  expect(await values({ a }, 2, a)).not.toEqual(first);
  expect(await values({ b: a }, 1, a)).not.toEqual(first);
});

test("the arena holds decayed weights first, each on a 64-byte boundary, and is what parameters see", async () => {
  const [norm, linear] = [new RmsNorm(5), new Linear(3, 7, { bias: true })];
  const arena = materialise(tree({ norm, linear }), device, 0);
  const places = Object.fromEntries([...arena.places].map(([name, { start }]) => [name, start]));
  expect(places).toEqual({ "linear.weight": 0, "norm.weight": 32, "linear.bias": 48 });
  expect(arena.decayed).toBe(32);
  expect(arena.values.size).toBe(64);
  arena.values.view([5], 32).write(Float32Array.of(1, 2, 3, 4, 5));
  expect([...(await norm.weight.value.data())]).toEqual([1, 2, 3, 4, 5]);
});

test("a parameter says what is wrong: no value yet, or one of another shape", () => {
  const parameter = new Parameter([2, 3], { kind: "zeros" });
  expect(() => parameter.value).toThrow("a parameter of shape [2, 3] has no value yet");
  expect(() => parameter.bind(tensor(device, new Float32Array(6), [3, 2]))).toThrow(
    "a parameter of shape [2, 3] was given [3, 2]",
  );
});

test("parameters are counted without memory", () => {
  const live = device.memory.live;
  expect(countParameters(new SwigluMlp(100_000, 400_000))).toBe(3 * 100_000 * 400_000);
  expect(device.memory.live).toBe(live);
});

test("Linear is x W^T + b, worked by hand; bf16 weights give the same where they are exact", async () => {
  for (const dtype of ["f32", "bf16"] as const) {
    const linear = new Linear(2, 3, { bias: true });
    allocate(linear, device, (_, { decay }) => (decay ? dtype : "f32"));
    const weights = Float32Array.of(1, 2, 3, 4, 5, 6);
    linear.weight.value.write(
      dtype === "f32" ? weights : Uint16Array.from(new Uint32Array(weights.buffer), (word) => word >>> 16),
    );
    linear.bias!.value.write(Float32Array.of(10, 20, 30));
    const y = linear.forward(tensor(device, [1, -1, 0.5, 2], [2, 2]), ctx);
    expect([...(await y.data())]).toEqual([9, 19, 29, 14.5, 29.5, 44.5]);
  }
});

test("a weight bound in pieces, each where its file has it, gives the products of the whole", async () => {
  const linear = new Linear(32, 4);
  // q8_0: a scale (f16 0.5), then 32 signed bytes.
  const blocks = Uint8Array.from({ length: 4 * 34 }, (_, at) => {
    const [row, i] = [Math.floor(at / 34), (at % 34) - 2];
    return i < 0 ? [0x00, 0x38][i + 2] : (row * i) & 255;
  });
  const pieces = [0, 1].map((half) => {
    const piece = empty(device, [2, 32], "q8_0");
    piece.write(blocks.slice(half * 68, half * 68 + 68));
    return piece;
  });
  linear.weight.bindPieces(pieces);
  const y = linear.forward(tensor(device, new Float32Array(32).fill(1), [1, 32]), ctx);
  // Row r holds 0.5 * (r * i) for i of 0 to 31, whose sum is r * 248; 3 * 31 still fits a signed byte.
  expect([...(await y.data())]).toEqual([0, 248, 496, 744]);
  expect(() => linear.weight.value).toThrow(expect.objectContaining({ code: "state" }));
  expect(() => linear.weight.bindPieces(pieces.slice(1))).toThrow("[4, 32] was given 1 pieces: [2, 32]");
  const asked = watch(tensor(device, new Float32Array(32), [1, 32]), () => {});
  expect(() => linear.forward(asked, ctx)).toThrow("wants a gradient");
  linear.weight.dispose();
});

test("a tied head scores each row of the embedding", async () => {
  const embedding = new Embedding(3, 2);
  allocate(embedding, device);
  embedding.weight.value.write(Float32Array.of(1, 0, 0, 1, 2, 2));
  const x_TD = embedding.forward(tensor(device, Int32Array.of(2, 0)));
  expect([...(await x_TD.data())]).toEqual([2, 2, 1, 0]);
  expect([...(await embedding.logits(x_TD, ctx).data())]).toEqual([2, 2, 8, 1, 0, 2]);
});

test("rotated queries and keys meet by their distance alone, over a table that grows", async () => {
  const rotary = new Rotary({ dims: 4, theta: 100 });
  const at = async (position: number, x: number[]): Promise<number[]> => {
    const turned = scope(() =>
      rotate(tensor(device, x, [1, 1, 1, 4]), rotary, consecutive(device, 1, 1, position)),
    );
    return Array.from(await turned.data());
  };
  const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const [q, k] = [
    [0.3, -1, 0.5, 2],
    [1, 0.2, -0.7, 0.4],
  ];
  const near = dot(await at(3, q), await at(1, k));
  expect(dot(await at(92, q), await at(90, k))).toBeCloseTo(near, 5);
  expect(Math.abs(dot(await at(4, q), await at(1, k)) - near)).toBeGreaterThan(0.01);
  // Feature i turns with feature i + 2, by position * 100^(-2i/4): worked by hand for position 1.
  const [first, second] = [1, 0.1];
  const expected = [
    1 * Math.cos(first) + 0.7 * Math.sin(first),
    0.2 * Math.cos(second) - 0.4 * Math.sin(second),
    -0.7 * Math.cos(first) + 1 * Math.sin(first),
    0.4 * Math.cos(second) + 0.2 * Math.sin(second),
  ];
  (await at(1, k)).forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 6);
  });
});

test("a table that grows between a forward pass and its backward pass leaves both right", async () => {
  const rotary = new Rotary({ dims: 2, theta: 1 });
  const x = tensor(device, [1, 0], [1, 1, 1, 2]);
  let got: Promise<ArrayLike<number>> = Promise.resolve([]);
  watch(x, (grad) => {
    got = grad.data();
  });
  const tape = new Tape();
  const first = tape.run(() => sum(slice(rotate(x, rotary, consecutive(device, 1, 1, 2)), 3, 0, 1)));
  rotary.table.upTo(device, 1001);
  tape.backward(first);
  // The first feature of (a, b) turned by 2 is a cos 2 - b sin 2.
  const [da, db] = Array.from(await got);
  expect(da).toBeCloseTo(Math.cos(2), 6);
  expect(db).toBeCloseTo(-Math.sin(2), 6);
  rotary.dispose();
});

test("attention refuses heads that cannot share", () => {
  const options = { width: 8, heads: 4, kvHeads: 3, headDim: 2, rotary: null };
  expect(() => new Attention(options)).toThrow("attention: 4 heads cannot share 3 key/value heads evenly");
});
