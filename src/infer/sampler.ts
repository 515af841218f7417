import { fail } from "../errors.ts";
import type { Random } from "../tensor/index.ts";

export interface SamplingOptions {
  /** Logits are divided by it; 0 takes the highest logit, the lower id on a tie. Default 0. */
  readonly temperature?: number;
  /**
   * Only the smallest set of likeliest tokens whose probabilities reach this is drawn from (Holtzman et al.
   * 2020). Default 1: all.
   */
  readonly topP?: number;
  /** Only this many of the likeliest tokens are drawn from, before topP. Default 0: all. */
  readonly topK?: number;
}

export interface Sample {
  readonly id: number;
  /** ln of the token's probability under the model itself, at temperature 1 and without topK or topP. */
  readonly logProbability: number;
}

/** Throws "usage" unless temperature >= 0, 0 < topP <= 1 and topK is a whole number of 0 or more. */
export function checkSampling({ temperature = 0, topP = 1, topK = 0 }: SamplingOptions): void {
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    fail("usage", `temperature ${temperature}: it is a number of 0 or more`);
  if (!(topP > 0 && topP <= 1)) fail("usage", `topP ${topP}: it is above 0 and at most 1`);
  if (!Number.isSafeInteger(topK) || topK < 0)
    fail("usage", `topK ${topK}: it is a whole number, 0 for no limit`);
}

/** Draws one token from logits [V]. Errors: "diverged" where a logit is not a number, or the highest is infinite. */
export function sample(logits: Float32Array, options: SamplingOptions, random: Random): Sample {
  const { temperature = 0, topP = 1, topK = 0 } = options;
  const best = argmax(logits);
  const id =
    temperature === 0
      ? best
      : draw(candidates(scaled(logits, logits[best], temperature), topK, topP), random);
  return { id, logProbability: logits[id] - logSumExp(logits, logits[best]) };
}

/** The first of the highest. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 0; i < logits.length; i++) {
    if (Number.isNaN(logits[i])) failDiverged(`the model's logit of token ${i} is not a number`);
    if (logits[i] > logits[best]) best = i;
  }
  if (!Number.isFinite(logits[best])) failDiverged(`the model's highest logit is ${logits[best]}`);
  return best;
}

function failDiverged(message: string): never {
  fail("diverged", message, "its weights are damaged or it diverged in training");
}

function logSumExp(logits: Float32Array, most: number): number {
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}

interface Candidate {
  readonly id: number;
  readonly probability: number;
}

/** softmax(logits / temperature). */
function scaled(logits: Float32Array, most: number, temperature: number): Float64Array {
  const probabilities = Float64Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const sum = probabilities.reduce((a, b) => a + b, 0);
  return probabilities.map((p) => p / sum);
}

/** The tokens to draw from: where they are limited, likeliest first, lower id first on a tie. */
function candidates(probabilities: Float64Array, topK: number, topP: number): Candidate[] {
  // Tokens below this add up to less than 1 - topP together, so none of them is in the smallest set: most need no sorting.
  const least = topK === 0 ? (1 - topP) / probabilities.length : 0;
  const all: Candidate[] = [];
  probabilities.forEach((probability, id) => {
    if (probability >= least) all.push({ id, probability });
  });
  if (topK === 0 && topP === 1) return all;
  all.sort((a, b) => b.probability - a.probability || a.id - b.id);
  const most = topK === 0 ? all : all.slice(0, topK);
  if (topP === 1) return most;
  // Of all tokens, or with topK of those it leaves.
  const goal = topK === 0 ? topP : topP * totalOf(most);
  return most.slice(0, leastReaching(most, goal));
}

function totalOf(candidates: readonly Candidate[]): number {
  return candidates.reduce((sum, { probability }) => sum + probability, 0);
}

/** How many of the first candidates it takes to hold a probability of `goal`. */
function leastReaching(sorted: readonly Candidate[], goal: number): number {
  let reached = 0;
  for (const [i, { probability }] of sorted.entries()) {
    reached += probability;
    if (reached >= goal) return i + 1;
  }
  return sorted.length;
}

function draw(from: readonly Candidate[], random: Random): number {
  let left = random.uniform() * totalOf(from);
  for (const { id, probability } of from) {
    left -= probability;
    if (left < 0) return id;
  }
  return from[from.length - 1].id;
}
