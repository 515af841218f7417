/** What is saved in another form than it was read from: experts in MXFP4, and GGUF files. The rest: test/conformance/families.test.ts. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTensors } from "../formats/files.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { context, Device, scope, tensor } from "../tensor/index.ts";
import { loadModel, saveModel } from "./folder.ts";

const golden = (name: string): string => fileURLToPath(new URL(`../../test/golden/${name}`, import.meta.url));
const device = new Device(createReferenceKernels());
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-saving-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Loads a model and saves it; gives the new folder. */
async function saved(path: string): Promise<string> {
  const model = await loadModel(path, device);
  const to = join(folder, basename(path).replace(".", "-"));
  await saveModel(to, model);
  model.dispose();
  return to;
}

async function logitsOf(path: string, ids: Int32Array): Promise<Float32Array> {
  const model = await loadModel(path, device);
  const ids_BS = tensor(device, ids, [1, ids.length]);
  const logits = await scope(() => model.forward(ids_BS, context()).logits_TV).data();
  model.dispose();
  return logits as Float32Array;
}

const furthest = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

/** Four bits as the OCP specification of microscaling formats (2023, section 5.3.3) gives them. */
const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

test("experts in MXFP4 are saved as the numbers they stand for", async () => {
  const theirs = await openTensors(golden("models/gpt-oss-mxfp4"));
  const mine = await openTensors(await saved(golden("models/gpt-oss-mxfp4")));
  const name = "model.layers.1.mlp.experts.gate_up_proj";
  const [experts, rows, blocks] = theirs.tensors.get(`${name}_scales`)!.shape as [number, number, number];
  const packed = await theirs.read(`${name}_blocks`);
  const scales = await theirs.read(`${name}_scales`);
  expect(mine.tensors.get(name)!.shape).toEqual([experts, blocks * 32, rows]);
  const values = new Float32Array((await mine.read(name)).buffer);
  for (let e = 0; e < experts; e++)
    for (let n = 0; n < rows; n++)
      for (let k = 0; k < blocks * 32; k++) {
        const at = (e * rows + n) * blocks * 32 + k;
        const four = (packed[at >> 1]! >> (4 * (at & 1))) & 15;
        const value = e2m1[four]! * 2 ** (scales[at >> 5]! - 127);
        if (values[(e * blocks * 32 + k) * rows + n] !== value)
          expect.fail(`expert ${e}, row ${n}, column ${k}`);
      }
  await Promise.all([mine.close(), theirs.close()]);
});

const ggufs: Record<string, { ids: number[]; logits: string }> = JSON.parse(
  await readFile(golden("gguf/expected.json"), "utf8"),
);

const withFactors = ["llama", "llama4"];

test.each(Object.entries(ggufs).filter(([name]) => !withFactors.includes(name)))(
  "%s.gguf: saved as a folder it still gives transformers' logits",
  async (name, { ids, logits }) => {
    const mine = await logitsOf(await saved(golden(`gguf/${name}.gguf`)), Int32Array.from(ids));
    const expected = new Float32Array(Uint8Array.from(Buffer.from(logits, "base64")).buffer);
    expect(furthest(mine, expected)).toBeLessThan(1e-4);
  },
);

test.each(withFactors)(
  "%s.gguf: rotary frequencies with a factor each stand in no config.json",
  async (name) => {
    await expect(saved(golden(`gguf/${name}.gguf`))).rejects.toMatchObject({
      code: "model",
      message: expect.stringContaining("with a factor each"),
    });
    expect(await readdir(folder)).not.toContain(`${name}-gguf`);
  },
);
