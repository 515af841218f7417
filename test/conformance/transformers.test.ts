/**
 * Whole models against transformers: test/golden/mixtral.py makes the folders and what is expected of them.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { generate, logits } from "../../src/infer/index.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { type Decoder, loadModel } from "../../src/models/index.ts";
import { placedParts } from "../../src/models/layout.ts";
import { lossOf, routeFigures } from "../../src/moe/index.ts";
import {
  add,
  addInto,
  affine,
  context,
  crossEntropy,
  Device,
  full,
  mean,
  scope,
  Tape,
  type Tensor,
  tensor,
  watch,
} from "../../src/tensor/index.ts";

interface GoldenArray {
  readonly shape: readonly number[];
  readonly f32: string;
}

interface Golden {
  readonly ids: number[][];
  readonly logits: GoldenArray;
  readonly greedy: number[];
  readonly crossEntropy: number;
  readonly loss: number;
  readonly balance?: number[];
  readonly transformersAuxLoss?: number;
  readonly gradients: Record<string, GoldenArray>;
}

const folderOf = (name: string): string => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
const goldenOf = (name: string): Golden =>
  JSON.parse(readFileSync(`${folderOf(name)}/expected.json`, "utf8"));
const floats = ({ f32 }: GoldenArray): Float32Array => {
  const bytes = Buffer.from(f32, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
};
const device = new Device(createReferenceKernels());

/** Largest difference, as a share of the largest expected value. */
function difference(mine: ArrayLike<number>, expected: Float32Array): number {
  expect(mine.length).toBe(expected.length);
  const most = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return expected.reduce((worst, value, i) => Math.max(worst, Math.abs(value - mine[i])), 0) / most;
}

test.each(["mixtral", "mixtral-fused", "mistral"])(
  "%s gives the logits that transformers gives",
  async (name) => {
    const golden = goldenOf(name);
    const model = await loadModel(folderOf(name), device);
    expect(difference(await logits(model, golden.ids[0]), floats(golden.logits))).toBeLessThan(1e-5);
  },
);

test.each(["mixtral", "mistral"])(
  "%s continues a prompt greedily as transformers does, over the cache",
  async (name) => {
    const golden = goldenOf(name);
    const model = await loadModel(folderOf(name), device);
    const mine: number[] = [];
    for await (const { id } of generate(model, golden.ids[0].slice(0, 6), { maxTokens: 20, eosIds: [] }))
      mine.push(id);
    expect(mine).toEqual(golden.greedy);
  },
);

/**
 * Training loss on all of ids but the last column, with `balanceCoefficient` times the mean balance loss of
 * the layers.
 */
function trainingLoss(
  model: Decoder,
  ids: number[][],
  balanceCoefficient: number,
): { loss: Tensor; crossEntropy: Tensor } {
  const [batch, length] = [ids.length, ids[0].length];
  // The last position has no target; -1 leaves it out.
  const targets = ids.flatMap((row) => [...row.slice(1), -1]);
  const { logits_TV, moe } = model.forward(
    tensor(device, Int32Array.from(ids.flat()), [batch, length]),
    context({ training: true }),
  );
  const nats = mean(crossEntropy(logits_TV, tensor(device, Int32Array.from(targets))));
  const ce = affine(nats, length / (length - 1), 0);
  const losses = moe.map(({ route }) => lossOf("balance", route, null));
  if (losses.length === 0) return { loss: ce, crossEntropy: ce };
  const balance = affine(losses.reduce(add), balanceCoefficient / losses.length, 0);
  return { loss: add(ce, balance), crossEntropy: ce };
}

test.each(["mixtral", "mistral"])("%s has transformers' training loss and gradients", async (name) => {
  const golden = goldenOf(name);
  const model = await loadModel(folderOf(name), device, { weights: "f32" });
  const grads = new Map<string, Tensor>();
  for (const [own, parameter] of model.tensors()) {
    const grad = full(device, parameter.shape, 0);
    grads.set(placedParts(model.layout, own, parameter.shape)[0][0].run.file, grad);
    watch(parameter.value, (contribution) => addInto(grad, contribution));
  }
  const tape = new Tape();
  const { loss, crossEntropy: ce } = tape.run(() => trainingLoss(model, golden.ids, 0.01));
  tape.backward(loss);
  expect(await ce.item()).toBeCloseTo(golden.crossEntropy, 5);
  expect(await loss.item()).toBeCloseTo(golden.loss, 5);
  for (const [file, expected] of Object.entries(golden.gradients)) {
    // transformers' module calls the gate mlp.gate; its files call it block_sparse_moe.gate.
    const grad = grads.get(file.replace("mlp.gate", "block_sparse_moe.gate"))!;
    expect(difference(await grad.data(), floats(expected)), file).toBeLessThan(2e-5);
  }
});

test("the balance loss is ours for each layer, and transformers' is k times that of all layers' tokens pooled", async () => {
  const golden = goldenOf("mixtral");
  const model = await loadModel(folderOf("mixtral"), device);
  const ids_BS = tensor(device, Int32Array.from(golden.ids.flat()), [2, 12]);
  const { moe } = scope(() => model.forward(ids_BS, context()));
  const [experts, k] = [4, 2];
  const pooled = { share: [0, 0, 0, 0], probability: [0, 0, 0, 0] };
  for (const [layer, { route }] of moe.entries()) {
    expect(await lossOf("balance", route, null).item()).toBeCloseTo(golden.balance![layer], 5);
    const { counts, probability } = await routeFigures(route);
    for (let e = 0; e < experts; e++) {
      pooled.share[e] += counts[e] / (24 * k * moe.length);
      pooled.probability[e] += probability[e] / moe.length;
    }
  }
  const aux = pooled.share.reduce((sum, f, e) => sum + f * pooled.probability[e], 0);
  expect(k * experts * aux).toBeCloseTo(golden.transformersAuxLoss!, 5);
});
