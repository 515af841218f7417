/** GGUF files by llama.cpp's own converter give transformers' logits; with native kernels, from weights that stay mapped. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { architectures } from "../../src/models/gguf/architectures.ts";
import { loadModel } from "../../src/models/index.ts";
import { context, Device, scope, tensor } from "../../src/tensor/index.ts";
import { loadKernels } from "./load.ts";

const folder = fileURLToPath(new URL("../golden/gguf", import.meta.url));
const golden: Record<string, { ids: number[]; logits: string }> = JSON.parse(
  await readFile(`${folder}/expected.json`, "utf8"),
);

test("every architecture has a golden file", async () => {
  const { openGgufFile } = await import("../../src/formats/files.ts");
  const found = new Set<string | undefined>();
  for (const name of Object.keys(golden)) {
    const file = await openGgufFile(`${folder}/${name}.gguf`);
    found.add(file.gguf.string("general.architecture"));
    await file.close();
  }
  expect([...found].sort()).toEqual(Object.keys(architectures).sort());
});

for (const { name: kind, kernels } of await loadKernels(["reference", "native"])) {
  const reason = typeof kernels === "string" ? ` (${kernels})` : "";
  describe.skipIf(typeof kernels === "string")(`${kind} kernels${reason}`, () => {
    test.each(Object.entries(golden))("%s", async (name, { ids, logits }) => {
      if (typeof kernels === "string") return;
      const device = new Device(kernels);
      const model = await loadModel(`${folder}/${name}.gguf`, device);
      const ids_BS = tensor(device, Int32Array.from(ids), [1, ids.length]);
      const mine = await scope(() => model.forward(ids_BS, context()).logits_TV).data();
      const expected = new Float32Array(Uint8Array.from(Buffer.from(logits, "base64")).buffer);
      expect(mine.length).toBe(expected.length);
      const worst = Math.max(...expected.map((value, i) => Math.abs(value - mine[i]!)));
      expect(worst).toBeLessThan(1e-4);
      model.dispose();
    });
  });
}
