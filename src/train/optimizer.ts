/** AdamW over a whole model at once, with the gradient clipped by its global norm. N weights in the arena. */
import type { ParameterArena } from "../nn/index.ts";
import { adamwStep, clipScale, full, keep, scope, sumSquares, type Tensor } from "../tensor/index.ts";

export interface AdamWOptions {
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** Decoupled weight decay of matrices (Loshchilov & Hutter 2019). */
  readonly decay: number;
  /** Largest global norm of the gradient (Pascanu et al. 2013). */
  readonly clip: number;
}

export class AdamW {
  readonly arena: ParameterArena;
  /** [N], running mean of the gradient. */
  readonly m: Tensor;
  /** [N], running mean of its square. */
  readonly v: Tensor;
  private readonly options: AdamWOptions;

  constructor(arena: ParameterArena, options: AdamWOptions) {
    const { device, shape } = arena.values;
    this.arena = arena;
    this.options = options;
    this.m = keep(full(device, shape, 0));
    this.v = keep(full(device, shape, 0));
  }

  /** The squared norm of the whole gradient, a scalar on the device. */
  squaredNorm(): Tensor {
    return sumSquares(this.arena.grads);
  }

  /** Update `step` (from 1) with what the gradients hold, after clipping. They stay until they are cleared for the next pass. */
  update(step: number, lr: number, squaredNorm: Tensor): void {
    const { values, grads, decayed } = this.arena;
    const { betas, eps, decay, clip } = this.options;
    scope(() => {
      const gradScale = clipScale(squaredNorm, clip);
      const state = { values, grads, m: this.m, v: this.v, gradScale, decayed, step };
      adamwStep({ ...state, lr, beta1: betas[0], beta2: betas[1], eps, decay });
    });
  }

  /** Gives the optimizer's own memory back. */
  dispose(): void {
    this.m.dispose();
    this.v.dispose();
  }
}
