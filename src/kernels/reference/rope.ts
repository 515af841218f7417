import type { KernelTable } from "../abi.ts";
import { load, store } from "./storage.ts";

/** Rotary position embedding (Su et al. 2021, eq. 34): pair i of a head turns by the angle whose cosine and sine
 *  the tables hold at the token's position. */
export const rope: KernelTable["rope"] = (args) => {
  const { tokens, heads, headDim, rotary, interleaved, inverse } = args;
  const half = rotary / 2;
  const position_T = load(args.position, tokens);
  const positions = position_T.reduce((most, p) => Math.max(most, p + 1), 0);
  const cos_PI = load(args.cos, positions * half);
  const sin_PI = load(args.sin, positions * half);
  const x_THD = load(args.x, tokens * heads * headDim);
  for (let t = 0; t < tokens; t++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < half; i++) {
        const head = (t * heads + h) * headDim;
        const first = head + (interleaved ? 2 * i : i);
        const second = head + (interleaved ? 2 * i + 1 : i + half);
        const cos = cos_PI[position_T[t]! * half + i]!;
        const sin = sin_PI[position_T[t]! * half + i]! * (inverse ? -1 : 1);
        const [a, b] = [x_THD[first]!, x_THD[second]!];
        x_THD[first] = a * cos - b * sin;
        x_THD[second] = a * sin + b * cos;
      }
  store(args.out, x_THD);
};
