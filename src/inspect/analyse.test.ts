import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { Tokenizer } from "../formats/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { loadModel } from "../models/index.ts";
import { Device } from "../tensor/index.ts";
import { analyse } from "./analyse.ts";

const device = new Device(createReferenceKernels());
const golden = (name: string): string => fileURLToPath(new URL(`../../test/golden/${name}`, import.meta.url));

/** Token id n is the text of the number n. */
const tokenizer: Tokenizer = {
  vocabSize: 96,
  bosId: null,
  eosId: null,
  endIds: [],
  encode: () => new Int32Array(),
  decode: (ids) => Array.from(ids).join(""),
  bytes: (id) => new TextEncoder().encode(String(id)),
  token: String,
  stream: () => ({ push: String, end: () => "" }),
};

test("a passage goes on past the first window, and a window starts anew", async () => {
  const model = await loadModel(golden("mixtral"), device);
  const ids = Int32Array.from({ length: 20 }, (_, i) => (7 * i) % 64);
  const look = (window: number, text: Int32Array) =>
    analyse(model, [{ domain: "numbers", ids: text }], { tokenizer, window, passageTokens: 15 });
  const inWindows = await look(8, ids);
  const { tokens, routes } = inWindows.passages[0];
  expect(tokens).toEqual(Array.from(ids.subarray(0, 15), String));
  const parts = [await look(20, ids.subarray(0, 8)), await look(20, ids.subarray(8, 15))];
  routes.forEach((layer, l) => {
    expect(layer).toEqual(parts.flatMap(({ passages }) => passages[0].routes[l]));
  });
  // Two of its experts for each of the 20 tokens, whatever is shown of them.
  for (const { counts } of inWindows.layers) expect(counts.reduce((a, b) => a + b, 0)).toBe(40);
  model.dispose();
});

test("layers have the numbers of their blocks where some blocks have no experts", async () => {
  const model = await loadModel(golden("models/qwen2-moe"), device);
  const texts = [{ domain: "numbers", ids: Int32Array.of(5, 6, 7) }];
  const { layerNumbers, layers } = await analyse(model, texts, { tokenizer, window: 8, passageTokens: 8 });
  expect(layerNumbers).toEqual([1, 2]);
  expect(layers.length).toBe(2);
  model.dispose();
});
