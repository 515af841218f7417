/**
 * DeepSeek's attention over latents in GGUF files. What makes a head's plain keys and values of the latent lies in two tensors, the keys'
 * part turned, as attention that stays in the latent takes them.
 *
 * H heads, R latent width, N features of a head's plain key, V features of its value.
 */
import { fromFloat32, type StoredDType, toFloat32 } from "../../formats/index.ts";
import { blockFormatNames } from "../../kernels/blocks/index.ts";
import type { FileLayout, FilePart, StoredRun } from "../layout.ts";

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
      read: ([k, v]) => {
        const [k_HRN, v_HVR] = [toFloat32(k.dtype, k.bytes), toFloat32(v.dtype, v.bytes)];
        const out = new Float32Array(keys + values);
        for (let h = 0; h < heads; h++) {
          const at = h * (N + V) * R;
          for (let n = 0; n < N; n++)
            for (let r = 0; r < R; r++) out[at + n * R + r] = k_HRN[(h * R + r) * N + n];
          out.set(v_HVR.subarray(h * V * R, (h + 1) * V * R), at + N * R);
        }
        return narrowed(out, k, v);
      },
      write: null,
    },
  };
}

/** As bf16 where nothing is lost by it. */
function narrowed(values: Float32Array<ArrayBuffer>, k: StoredRun, v: StoredRun): StoredRun {
  const dtype = k.dtype === "BF16" && v.dtype === "BF16" ? "BF16" : "F32";
  return { dtype, bytes: fromFloat32(dtype, values) };
}
