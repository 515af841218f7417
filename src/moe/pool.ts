import { add, sub, type Tensor, withoutTape } from "../tensor/index.ts";

/**
 * A step's batch may be worked on in parts of equal size, micro-batches, whose gradients add up. A loss that is no mean over tokens (balance:
 * a product of two sums) must see the sums over all parts, or its gradient is not that of the whole batch. So the parts are read twice: a
 * first pass adds up each sum, and in the second the loss takes the total's value, while the gradient flows through the part at hand.
 */
export interface LayerPool {
  /** Micro-batches in a step. */
  readonly parts: number;
  /** The sum over all parts of what is `local` in this one. */
  sum(name: string, local: Tensor): Tensor;
}

/** The batch is whole. */
export const wholeBatch: LayerPool = { parts: 1, sum: (_, local) => local };

/** `total` as a value, with the gradient of its part `local`. */
export function asPartOf(total: Tensor, local: Tensor): Tensor {
  return add(
    local,
    withoutTape(() => sub(total, local)),
  );
}
