/**
 * What attention needs of a key/value cache. Tokens of any sequences come in one flat list of rows; where each stands is the cache's
 * business, so that models know neither pages nor batches.
 *
 * T rows, H heads, G key/value heads, C key width, Cv value width.
 */
import type { Tensor } from "../tensor/index.ts";

export interface CachedAttention {
  /** A token looks at this many positions, itself included; 0: at all before it. */
  readonly window: number;
  /** A token looks only at positions of its own chunk of this many (Llama 4); 0: no chunks. */
  readonly chunk: number;
  /** Factor of the scores. */
  readonly scale: number;
  /** [H]: logits that join each head's softmax and carry no value (gpt-oss); null: none. */
  readonly sinks_H: Tensor | null;
  /** Without values: they are this many leading features of the keys (DeepSeek's latent cache). */
  readonly valueWidth?: number;
}

/** One layer's keys and values in one pass. Written in place, so it is for inference only. */
export interface AttentionCache {
  /**
   * Stores the keys k [T, G, C] and values v [T, G, Cv] of the pass's rows and gives each row's attention [T, H, Cv] over all that
   * its sequence holds up to its position. Errors: "shape", "state" where a gradient would flow.
   */
  attend(q_THC: Tensor, k_TGC: Tensor, v_TGC: Tensor | null, options: CachedAttention): Tensor;
}

/** One forward pass over rows that continue cached sequences. */
export interface CachedPass {
  /** i32 [T]: the position of each row in its sequence. */
  readonly position_T: Tensor;
  /** One past the largest position. */
  readonly end: number;
  /** One for each layer of the model. */
  readonly layers: readonly AttentionCache[];
}
