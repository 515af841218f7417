/** GGUF files by llama.cpp's own converter give transformers' logits. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { loadModel } from "../../src/models/index.ts";
import { context, Device, scope, tensor } from "../../src/tensor/index.ts";

const folder = fileURLToPath(new URL("../golden/gguf", import.meta.url));
const golden: Record<string, { ids: number[]; logits: string }> = JSON.parse(
  await readFile(`${folder}/expected.json`, "utf8"),
);
const device = new Device(createReferenceKernels());

test.each(Object.entries(golden))("%s", async (name, { ids, logits }) => {
  const model = await loadModel(`${folder}/${name}.gguf`, device);
  const ids_BS = tensor(device, Int32Array.from(ids), [1, ids.length]);
  const mine = await scope(() => model.forward(ids_BS, context()).logits_TV).data();
  const expected = new Float32Array(Uint8Array.from(Buffer.from(logits, "base64")).buffer);
  expect(mine.length).toBe(expected.length);
  const worst = Math.max(...expected.map((value, i) => Math.abs(value - mine[i]!)));
  expect(worst).toBeLessThan(1e-4);
  model.dispose();
});
