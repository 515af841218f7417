import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import {
  bytesSource,
  encodeSafetensors,
  openSafetensors,
  type TensorStore,
  type TensorToStore,
} from "../formats/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "../tensor/index.ts";
import { readModel } from "./checkpoint.ts";

const folder = new URL("../../test/golden/mixtral/", import.meta.url);
const device = new Device(createReferenceKernels());
const config = {
  ...JSON.parse(await readFile(new URL("config.json", folder), "utf8")),
  quantization_config: { quant_method: "fp8", weight_block_size: [128, 128], fmt: "e4m3" },
};
const query = "model.layers.0.self_attn.q_proj.weight";

/** The golden Mixtral with one matrix as fp8: codes of 0.5 and of -1.5, and the scale given. */
async function withFp8(...scale: TensorToStore[]): Promise<TensorStore> {
  const whole = await openSafetensors(
    bytesSource(new Uint8Array(await readFile(new URL("model.safetensors", folder)))),
  );
  const tensors: TensorToStore[] = [];
  for (const [name, { dtype, shape, byteLength }] of whole.tensors) {
    const codes = new Uint8Array(byteLength / 4).map((_, i) => (i % 2 === 0 ? 0x30 : 0xbc));
    tensors.push(
      name === query
        ? { name, dtype: "F8_E4M3", shape, bytes: codes }
        : { name, dtype, shape, bytes: await whole.read(name) },
    );
  }
  return openSafetensors(bytesSource(await encodeSafetensors([...tensors, ...scale])));
}

const scaleOf = (shape: number[]): TensorToStore => ({
  name: `${query}_scale_inv`,
  dtype: "F32",
  shape,
  bytes: new Uint8Array(Float32Array.from({ length: shape[0] * shape[1] }, () => 0.25).buffer),
});

test("a matrix of fp8 is read with the scales beside it", async () => {
  const model = await readModel(config, await withFp8(scaleOf([1, 1])), device, { weights: "f32" });
  const parameter = new Map(model.tensors()).get("layers.0.attention.q.weight")!;
  const values = await parameter.value.data();
  expect([...values.slice(0, 4)]).toEqual([0.125, -0.375, 0.125, -0.375]);
  model.dispose();
});

test("scales that are missing or of another shape are named", async () => {
  await expect(readModel(config, await withFp8(), device)).rejects.toThrow(
    `the weights have no tensor ${query}_scale_inv`,
  );
  await expect(readModel(config, await withFp8(scaleOf([1, 2])), device)).rejects.toThrow(
    `the tensor ${query}_scale_inv has shape [1, 2]`,
  );
});
