/**
 * f32 values into q4_k: 256 elements in 8 groups of 32, x ~ scale * q - minimum with q of 0 to 15, scale and minimum 6-bit
 * multiples of d and dmin.
 *
 * As in ggml's quantize_row_q4_K_ref, an element's error counts with the weight |x| + rms of its group, as large weights
 * matter more, and each group's line is fitted by weighted least squares over several spreads. Beyond it, each group's
 * 6-bit scale and minimum are then chosen among the neighbours of the rounded ones.
 */

import { putHalf } from "./encode-32.ts";
import { blockFormats } from "./formats.ts";
import { halfTable, toHalf } from "./half.ts";

const groups = 8;
const groupSize = 32;
const topLevel = 15;
const topScale = 63;
/** Spreads tried for a group: levels 0 to 15 over the range of its values, then somewhat wider and narrower. */
const spreads = Float64Array.from({ length: 21 }, (_, step) => topLevel - 1 + 0.1 * step);

/** x ~ scale * q - minimum; minimum is 0 or above. */
interface Line {
  readonly scale: number;
  readonly minimum: number;
}

export function encodeQ4K(x: Float32Array, from: number, out: Uint8Array, at: number): void {
  const values = Array.from({ length: groups }, (_, g) =>
    x.subarray(from + g * groupSize, from + (g + 1) * groupSize),
  );
  const weights = values.map(importance);
  const lines = values.map((group, g) => fitLine(group, weights[g]!));
  const d = roundedHalf(Math.max(...lines.map(({ scale }) => scale)) / topScale);
  const dmin = roundedHalf(Math.max(...lines.map(({ minimum }) => minimum)) / topScale);
  out.fill(0, at, at + blockFormats.q4_k.bytes);
  putHalf(out, at, d);
  putHalf(out, at + 2, dmin);
  for (const [g, group] of values.entries()) {
    const [scale, minimum] = nearestSteps(group, weights[g]!, lines[g]!, d, dmin);
    putSteps(out, at + 4, g, scale, minimum);
    for (let j = 0; j < groupSize; j++) {
      const level = levelOf(group[j]!, d * scale, dmin * minimum);
      out[at + 16 + (g >> 1) * groupSize + j]! |= level << ((g & 1) * 4);
    }
  }
}

function roundedHalf(value: number): number {
  return halfTable()[toHalf(value)]!;
}

function importance(group: Float32Array): Float64Array {
  let squares = 0;
  for (const value of group) squares += value * value;
  const rms = Math.sqrt(squares / groupSize);
  return Float64Array.from(group, (value) => rms + Math.abs(value));
}

function levelOf(value: number, scale: number, minimum: number): number {
  if (scale === 0) return 0;
  return Math.max(0, Math.min(topLevel, Math.round((value + minimum) / scale)));
}

function errorOf(group: Float32Array, weights: Float64Array, scale: number, minimum: number): number {
  let sum = 0;
  for (let j = 0; j < groupSize; j++) {
    const miss = scale * levelOf(group[j]!, scale, minimum) - minimum - group[j]!;
    sum += weights[j]! * miss * miss;
  }
  return sum;
}

/** The best line over all spreads, scale and minimum still real numbers. */
function fitLine(group: Float32Array, weights: Float64Array): Line {
  const low = Math.min(0, ...group);
  const range = Math.max(...group) - low;
  if (range <= 0) return { scale: 0, minimum: -low };
  let best: Line = { scale: range / topLevel, minimum: -low };
  let least = errorOf(group, weights, best.scale, best.minimum);
  for (const spread of spreads) {
    const line = leastSquares(group, weights, range / spread, -low);
    if (!line) continue;
    const error = errorOf(group, weights, line.scale, line.minimum);
    if (error < least) [least, best] = [error, line];
  }
  return best;
}

/** The weighted regression line of the values on the levels that `scale` and `minimum` give them. */
function leastSquares(
  group: Float32Array,
  weights: Float64Array,
  scale: number,
  minimum: number,
): Line | null {
  let [w, wq, wqq, wx, wqx] = [0, 0, 0, 0, 0];
  for (let j = 0; j < groupSize; j++) {
    const [weight, value] = [weights[j]!, group[j]!];
    const q = levelOf(value, scale, minimum);
    w += weight;
    wq += weight * q;
    wqq += weight * q * q;
    wx += weight * value;
    wqx += weight * q * value;
  }
  const determinant = w * wqq - wq * wq;
  if (!(determinant > 0)) return null;
  const slope = (w * wqx - wq * wx) / determinant;
  const intercept = (wqq * wx - wq * wqx) / determinant;
  return intercept > 0 ? { scale: wqx / wqq, minimum: 0 } : { scale: slope, minimum: -intercept };
}

/** The multiples of d and dmin that leave the least error, among those at most one step from the line's own. */
function nearestSteps(
  group: Float32Array,
  weights: Float64Array,
  line: Line,
  d: number,
  dmin: number,
): readonly [scale: number, minimum: number] {
  const scales = stepsAround(line.scale, d);
  const minima = stepsAround(line.minimum, dmin);
  let best: readonly [number, number] = [scales[0]!, minima[0]!];
  let least = Number.POSITIVE_INFINITY;
  for (const scale of scales) {
    for (const minimum of minima) {
      const error = errorOf(group, weights, d * scale, dmin * minimum);
      if (error < least) [least, best] = [error, [scale, minimum]];
    }
  }
  return best;
}

function stepsAround(value: number, unit: number): readonly number[] {
  if (unit === 0) return [0];
  const nearest = Math.min(topScale, Math.round(value / unit)); // a subnormal unit may have been rounded down far
  return [nearest - 1, nearest, nearest + 1].filter((step) => step >= 0 && step <= topScale);
}

/** Writes the 6-bit scale and minimum of group g: whole in bytes 0-7 for g below 4, else their high bits in the tops of those. */
function putSteps(out: Uint8Array, at: number, g: number, scale: number, minimum: number): void {
  if (g < 4) {
    out[at + g]! |= scale;
    out[at + 4 + g]! |= minimum;
    return;
  }
  out[at + 4 + g] = (scale & 15) | ((minimum & 15) << 4);
  out[at + g - 4]! |= (scale >> 4) << 6;
  out[at + g]! |= (minimum >> 4) << 6;
}
