/**
 * How rotary position embedding is stretched to longer texts than it was trained on. A scaling changes the frequencies by
 * which pairs turn, once for all positions, and may multiply cosines and sines. Computed as transformers'
 * modeling_rope_utils.py does, in double precision.
 *
 * I pairs of features, theta the base of the frequencies.
 */
import { ropeFrequencies } from "../tensor/index.ts";

export type RotaryScaling =
  | { readonly kind: "none" }
  /** All frequencies are divided alike (Chen et al. 2023, "Extending context window ... via positional interpolation"). */
  | { readonly kind: "linear"; readonly factor: number }
  /** Frequencies as they are up to the trained length, and of another theta for each length beyond ("dynamic NTK"), which is not computed. */
  | { readonly kind: "dynamic"; readonly factor: number }
  /** Each pair's frequency is divided by a factor of its own: LongRoPE (Ding et al. 2024), and `rope_freqs` of GGUF files. */
  | { readonly kind: "factors"; readonly factors: readonly number[]; readonly attentionFactor: number }
  | Llama3Scaling
  | YarnScaling;

/** Llama 3.1: slow pairs are divided by `factor`, fast ones are left, those between are blended. */
export interface Llama3Scaling {
  readonly kind: "llama3";
  readonly factor: number;
  /** A pair is slow when it turns less often than this in `originalPositions`, fast when more often than `highFrequency`. */
  readonly lowFrequency: number;
  readonly highFrequency: number;
  readonly originalPositions: number;
}

/** YaRN (Peng et al. 2023, section 3): as Llama 3.1, blended by pair number, and cosines and sines are multiplied. */
export interface YarnScaling {
  readonly kind: "yarn";
  readonly factor: number;
  /** Multiplies cosines and sines: {@link yarnMagnitude} unless a model says otherwise. */
  readonly attentionFactor: number;
  /** Turns in `originalPositions` above which a pair is left alone, and below which it is divided by `factor`. */
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly originalPositions: number;
  /** Whether the ends of the blend are moved outwards to whole pairs. */
  readonly truncate: boolean;
}

/** Which features of a head turn, and by which angles. */
export interface RotarySpec {
  /** The first `dims` features of a head turn; even. */
  readonly dims: number;
  readonly theta: number;
  readonly scaling: RotaryScaling;
  /** Pairs are (2i, 2i + 1), as in the paper; else (i, i + dims / 2), as in most Hugging Face files. */
  readonly interleaved: boolean;
}

/** Radians a position by which each pair turns, [I], and what cosines and sines are multiplied with. */
export interface RotaryAngles {
  readonly frequencies_I: Float64Array;
  readonly amplitude: number;
}

export function rotaryAngles({ dims, theta, scaling }: RotarySpec): RotaryAngles {
  const plain_I = ropeFrequencies(dims, theta);
  switch (scaling.kind) {
    case "none":
    case "dynamic":
      return { frequencies_I: plain_I, amplitude: 1 };
    case "linear":
      return { frequencies_I: plain_I.map((frequency) => frequency / scaling.factor), amplitude: 1 };
    case "factors":
      return {
        frequencies_I: plain_I.map((frequency, i) => frequency / scaling.factors[i]),
        amplitude: scaling.attentionFactor,
      };
    case "llama3":
      return { frequencies_I: plain_I.map((frequency) => llama3Frequency(frequency, scaling)), amplitude: 1 };
    case "yarn":
      return { frequencies_I: yarnFrequencies(plain_I, theta, scaling), amplitude: scaling.attentionFactor };
  }
}

/** What YaRN multiplies attention scores' temperature with (Peng et al. 2023, eq. 22): 0.1 * weight * ln(factor) + 1. */
export function yarnMagnitude(factor: number, weight = 1): number {
  return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
}

function llama3Frequency(frequency: number, scaling: Llama3Scaling): number {
  const { factor, lowFrequency, highFrequency, originalPositions } = scaling;
  const turns = (originalPositions * frequency) / (2 * Math.PI);
  const share = clamp01((turns - lowFrequency) / (highFrequency - lowFrequency));
  return (1 - share) * (frequency / factor) + share * frequency;
}

function yarnFrequencies(plain_I: Float64Array, theta: number, scaling: YarnScaling): Float64Array {
  const { factor, betaFast, betaSlow, originalPositions, truncate } = scaling;
  const dims = 2 * plain_I.length;
  const pairTurning = (turns: number): number =>
    (dims * Math.log(originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = [pairTurning(betaFast), pairTurning(betaSlow)];
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  const high = Math.min(truncate ? Math.ceil(last) : last, dims - 1);
  const length = high === low ? 0.001 : high - low;
  return plain_I.map((frequency, i) => {
    const divided = clamp01((i - low) / length);
    return divided * (frequency / factor) + (1 - divided) * frequency;
  });
}

function clamp01(x: number): number {
  return Math.min(1, Math.max(0, x));
}
