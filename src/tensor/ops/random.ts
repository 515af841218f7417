// Numbers of the streams of ../random.ts, drawn on the device.

import { apply } from "../apply.ts";
import { check, checkDtype, checkFinite, checkShape, f32, type Op, rowsOf } from "../op.ts";
import { isSeed, type Seed, seedForm, seedWords, streamWord } from "../random.ts";
import { type Shape, show, type Tensor } from "../tensor.ts";

/** Which numbers: those that Random gives for them. */
export interface RandomStream {
  readonly seed: Seed;
  /** "noise:3", for instance. */
  readonly stream: string;
}

interface Draw extends RandomStream {
  readonly kind: "uniform" | "normal";
  readonly shape: Shape;
  readonly low: number;
  readonly high: number;
}

const randomOp: Op<Draw> = {
  name: "random",
  shape([at], { shape, seed, low, high }) {
    checkDtype("random", "at", at, ["i32"]);
    checkShape("random", "at", at, [2]);
    check(at.hostRange.low >= 0 || at.hostRange.low > at.hostRange.high, "random", () => {
      return `at holds ${at.hostRange.low}; steps and rows count from 0`;
    });
    check(shape.length > 0, "random", () => `${show(shape)} has no rows of numbers`);
    check(isSeed(seed), "random", () => `the seed ${seed} is not ${seedForm}`);
    checkFinite("random", "low", low);
    checkFinite("random", "high", high);
    return [f32(shape)];
  },
  forward(run, [at], [out], { kind, seed, stream, low, high }) {
    const key = seedWords(seed);
    run.random({
      kind,
      out: out.buf,
      at: at.buf,
      ...rowsOf(out),
      ...key,
      stream: streamWord(stream),
      low,
      high,
    });
  },
  vjp: "none",
};

/**
 * Numbers evenly spread over [low, high), of any shape [..., n]: row r is what Random of `seed`, `stream` and the step at[0] gives from
 * number (at[1] + r) * n on. `at` is i32 [2], read when the numbers are drawn: a replay draws for the step that stands there by then.
 */
export function randomUniform(
  at: Tensor,
  shape: Shape,
  { seed, stream }: RandomStream,
  low = 0,
  high = 1,
): Tensor {
  return apply(randomOp, [at], { kind: "uniform", shape, seed, stream, low, high });
}

/** Numbers from N(mean, std^2), otherwise as {@link randomUniform}. */
export function randomNormal(
  at: Tensor,
  shape: Shape,
  { seed, stream }: RandomStream,
  mean = 0,
  std = 1,
): Tensor {
  return apply(randomOp, [at], { kind: "normal", shape, seed, stream, low: mean, high: std });
}
