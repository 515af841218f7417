/**
 * The learning rate of step `step` (from 1): a straight rise over the warm-up steps, then half a cosine down to `minLr` at the last
 * step (Loshchilov & Hutter 2017, SGDR, equation 5, without restarts).
 */
export function learningRate(
  step: number,
  schedule: { readonly lr: number; readonly minLr: number; readonly warmup: number },
  steps: number,
): number {
  const { lr, minLr, warmup } = schedule;
  if (step <= warmup) return (lr * step) / warmup;
  const progress = (step - warmup) / (steps - warmup);
  return minLr + (lr - minLr) * 0.5 * (1 + Math.cos(Math.PI * progress));
}
