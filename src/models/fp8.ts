/**
 * Checkpoints whose matrices are eight-bit floats with a scale for every 128 by 128 elements, in a tensor beside each (DeepSeek-V3
 * and what follows it). Held as bf16, as their makers' own conversion does.
 */
import { z } from "zod";
import { fail } from "../errors.ts";
import type { TensorStore } from "../formats/index.ts";
import { scaledE4m3, show } from "../tensor/index.ts";
import type { PlacedPart, Transform } from "./layout.ts";

const block = 128;

/** What config.json says of such a checkpoint, under quantization_config. Activations are not made smaller here. */
export type Fp8Json = {
  readonly quant_method: "fp8";
  readonly weight_block_size: readonly [number, number];
};

export const fp8Schema: z.ZodType<Fp8Json> = z.strictObject({
  quant_method: z.literal("fp8", "only fp8 is supported"),
  weight_block_size: z.tuple([z.literal(block), z.literal(block)]),
  fmt: z.literal("e4m3").optional(),
  activation_scheme: z.literal("dynamic").optional(),
  scale_fmt: z.string().optional(),
  modules_to_not_convert: z.array(z.string()).nullable().optional(),
});

/** The part with the scales that lie beside it, where it is stored as fp8; else as it is. Errors: "model". */
export function withScales(part: PlacedPart, store: TensorStore): PlacedPart {
  const { file, shape, size } = part.run;
  if (part.transform || store.tensors.get(file)?.dtype !== "F8_E4M3") return part;
  if (shape.length !== 2 || size !== shape[0] * shape[1])
    fail(
      "model",
      `the tensor ${file} ${show(shape)} is stored as F8_E4M3; only whole matrices can be read from that`,
      "use the model's BF16 weights",
    );
  return { ...part, transform: blockScaled(file, shape[0], shape[1]) };
}

function blockScaled(file: string, rows: number, columns: number): Transform {
  const shape = [Math.ceil(rows / block), Math.ceil(columns / block)];
  return {
    name: "fp8",
    dtypes: [["F8_E4M3"], ["F32", "BF16"]],
    beside: [{ file: `${file}_scale_inv`, shape, start: 0, size: shape[0] * shape[1] }],
    dtype: () => "bf16",
    make: ([weight, scales]) => scaledE4m3(weight.view([rows, columns]), scales.view(shape), block),
    write: null,
  };
}
