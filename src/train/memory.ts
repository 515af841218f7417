import { picksOf } from "../moe/index.ts";
import type { TrainConfig } from "./config.ts";

/**
 * Bytes of what a training step of the mixture has to hold at once, weights left out: the logits with their gradient, and what each block's
 * gradient reads. A little less than a step takes. T tokens, D width, H D query features, G key and value features, K picks a token, F expert
 * width, V vocabulary.
 */
export function leastStepBytes({ model, data, precision }: TrainConfig): number {
  const { width: D, heads, kvHeads, layers, expertWidth: F, routing, sharedExperts } = model;
  const T = data.batch * data.sequence;
  const headWidth = model.headDim ?? D / heads;
  const attention = D + 2 * heads * headWidth + 2 * kvHeads * headWidth; // its input; queries and what they get; keys and values
  const experts = (picksOf(routing) ?? 1) + sharedExperts;
  const hiddenBytes = precision === "bf16" ? 2 : 4;
  const block = 4 * attention + experts * (4 * D + hiddenBytes * 3 * F); // of an expert: its rows, gate, up and their product
  return T * (layers * block + 4 * 2 * data.vocabSize);
}
