import type { KernelTable } from "../abi.ts";
import { load, store } from "./storage.ts";

/** The least normal f32: what is smaller slows arithmetic down by a hundred times. */
const leastNormal = 2 ** -126;

function flushed(x: number): number {
  return Math.abs(x) < leastNormal ? 0 : x;
}

/** One AdamW step (Loshchilov & Hutter 2019, algorithm 2). */
export const adamw: KernelTable["adamw"] = (args) => {
  const { n, decayed, step, lr, beta1, beta2, eps, decay } = args;
  const scale = args.gradScale ? load(args.gradScale, 1)[0]! : 1;
  const param = load(args.param, n);
  const grad = load(args.grad, n);
  const m = load(args.m, n);
  const v = load(args.v, n);
  for (let i = 0; i < n; i++) {
    const g = grad[i]! * scale;
    m[i] = flushed(beta1 * m[i]! + (1 - beta1) * g);
    v[i] = flushed(beta2 * v[i]! + (1 - beta2) * g * g);
    const mHat = m[i]! / (1 - beta1 ** step);
    const vHat = v[i]! / (1 - beta2 ** step);
    const shrink = i < decayed ? decay * param[i]! : 0;
    param[i]! -= lr * (mHat / (Math.sqrt(vHat) + eps) + shrink);
  }
  store(args.param, param);
  store(args.m, m);
  store(args.v, v);
};
