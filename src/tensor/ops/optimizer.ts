import { check, checkDtype, checkShape } from "../op.ts";
import { scope } from "../scope.ts";
import { withoutTape } from "../tape.ts";
import { empty, show, type Tensor } from "../tensor.ts";
import { affine, minimum, reciprocal, sqrt } from "./elementwise.ts";

/** What one step of AdamW works on, all updated in place but for `grads` and `gradScale`. */
export interface AdamwStep {
  /** All parameters, packed: [N]. */
  readonly values: Tensor;
  readonly grads: Tensor;
  /** Running mean of the gradients, [N]. */
  readonly m: Tensor;
  /** Running mean of their squares, [N]. */
  readonly v: Tensor;
  /** A one-element factor of the gradients (see {@link clipScale}), or null for 1. */
  readonly gradScale: Tensor | null;
  /** Weight decay applies to this many leading elements. */
  readonly decayed: number;
  /** Counted from 1. */
  readonly step: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly decay: number;
}

/** One step of AdamW over all parameters (Loshchilov & Hutter 2019, algorithm 2). Not on the tape. */
export function adamwStep({ values, grads, m, v, gradScale, ...settings }: AdamwStep): void {
  const n = values.size;
  for (const [name, part] of [
    ["values", values],
    ["grads", grads],
    ["m", m],
    ["v", v],
  ] as const) {
    checkDtype("adamwStep", name, part, ["f32"]);
    checkShape("adamwStep", name, part, values.shape);
  }
  if (gradScale) {
    checkDtype("adamwStep", "gradScale", gradScale, ["f32"]);
    check(gradScale.size === 1, "adamwStep", () => `gradScale ${show(gradScale.shape)} is not one element`);
  }
  const { decayed, step } = settings;
  check(
    Number.isInteger(decayed) && decayed >= 0 && decayed <= n,
    "adamwStep",
    () => `decayed is ${decayed} of ${n} elements`,
  );
  check(Number.isInteger(step) && step >= 1, "adamwStep", () => `step is ${step}; the first is 1`);
  if (n === 0) return;
  values.device.kernels.run.adamw({
    param: values.buf,
    grad: grads.buf,
    m: m.buf,
    v: v.buf,
    gradScale: gradScale?.buf ?? null,
    n,
    ...settings,
  });
}

/** The sum of x^2 over all elements: a scalar. Not on the tape. */
export function sumSquares(x: Tensor): Tensor {
  checkDtype("sumSquares", "x", x, ["f32"]);
  const out = empty(x.device, []);
  x.device.kernels.run.sumSquares({ x: x.buf, out: out.buf, n: x.size });
  return out;
}

/** min(1, maxNorm / (sqrt(sumSquares) + 1e-6)): the factor that clips gradients to a global norm (Pascanu et al. 2013), without a
 *  host read. Not on the tape. */
export function clipScale(sumOfSquares: Tensor, maxNorm: number): Tensor {
  check(maxNorm > 0, "clipScale", () => `maxNorm is ${maxNorm}`);
  return withoutTape(() =>
    scope(() => minimum(affine(reciprocal(affine(sqrt(sumOfSquares), 1, 1e-6)), maxNorm, 0), 1)),
  );
}
