/**
 * DeepSeek's attention over latents in GGUF files. What makes a head's plain keys and values of the latent lies in two tensors, the keys'
 * part turned, as attention that stays in the latent takes them.
 *
 * H heads, R latent width, N features of a head's plain key, V features of its value.
 */
import type { StoredDType } from "../../formats/index.ts";
import { blockFormatNames } from "../../kernels/blocks/index.ts";
import {
  cast,
  concat,
  type DType,
  gatherRows,
  permute,
  reshape,
  type Tensor,
  tensor,
} from "../../tensor/index.ts";
import type { FileLayout, FilePart } from "../layout.ts";

/** The sizes of the heads. */
export interface LatentHeads {
  /** H. */
  readonly heads: number;
  /** N. */
  readonly plain: number;
  /** V. */
  readonly value: number;
}

/** Where the parameters of attention over latents stand. */
export function latentLayout(sizes: LatentHeads): FileLayout {
  const one =
    (name: string): FileLayout[string] =>
    (at) => [[{ ...whole, file: `blk.${at}.${name}` }]];
  return {
    "layers.#.attention.qDown.weight": one("attn_q_a.weight"),
    "layers.#.attention.qNorm.weight": one("attn_q_a_norm.weight"),
    "layers.#.attention.qUp.weight": one("attn_q_b.weight"),
    "layers.#.attention.kvDown.weight": one("attn_kv_a_mqa.weight"),
    "layers.#.attention.kvNorm.weight": one("attn_kv_a_norm.weight"),
    "layers.#.attention.kvUp.weight": (at, [, latent]) => [
      [keysAndValues(`blk.${at}`, sizes, latent)],
      // Before 2025 it was one tensor, as in Hugging Face files.
      [{ ...whole, file: `blk.${at}.attn_kv_b.weight` }],
    ],
  };
}

const whole: Omit<FilePart, "file"> = { shape: null, from: null, transform: null };

const blocks = blockFormatNames.map((name) => name.toUpperCase() as StoredDType);
const readable: readonly StoredDType[] = ["F32", "F16", "BF16", ...blocks];

/** attn_k_b [H, R, N] and attn_v_b [H, V, R] as one [H * (N + V), R], each head's keys before its values. */
function keysAndValues(block: string, { heads, plain: N, value: V }: LatentHeads, R: number): FilePart {
  const [keys, values] = [heads * R * N, heads * V * R];
  return {
    file: `${block}.attn_k_b.weight`,
    shape: null,
    from: { shape: [heads, R, N], start: 0, size: keys },
    transform: {
      name: "keys and values of heads",
      dtypes: [readable, readable],
      beside: [{ file: `${block}.attn_v_b.weight`, shape: [heads, V, R], start: 0, size: values }],
      dtype: narrowest,
      make: ([k, v]) => {
        const k_HRN = reshape(widened(k, heads * R, N), [heads, R, N]);
        const v_HVR = reshape(widened(v, heads * V, R), [heads, V, R]);
        return cast(concat([permute(k_HRN, [0, 2, 1]), v_HVR], 1), narrowest([k.dtype, v.dtype]));
      },
      write: null,
    },
  };
}

/** bf16 where nothing is lost by it. */
function narrowest([k, v]: readonly DType[]): DType {
  return k === "bf16" && v === "bf16" ? "bf16" : "f32";
}

/** The f32 values of a matrix of any dtype. */
function widened(x: Tensor, rows: number, columns: number): Tensor {
  const every = tensor(
    x.device,
    Int32Array.from({ length: rows }, (_, row) => row),
  );
  return gatherRows(x.view([rows, columns]), every);
}
