/**
 * From logits to a token, in the order of transformers' generate: bias, penalties, temperature, top-k, top-p, min-p, draw.
 *
 * V vocabulary.
 */
import { fail } from "../errors.ts";
import type { Random } from "../tensor/index.ts";
import { adjusted, adjusts, checkPenalties, type PenaltyOptions, type TokenHistory } from "./penalties.ts";

export interface SamplingOptions extends PenaltyOptions {
  /** Logits are divided by it; 0 takes the highest logit, the lower id on a tie. Default 0. */
  readonly temperature?: number;
  /** Only this many of the likeliest tokens are drawn from. Default 0: all. */
  readonly topK?: number;
  /**
   * Only the smallest set of likeliest tokens whose probabilities reach this is drawn from (Holtzman et al.
   * 2020), of those that topK leaves. Default 1: all.
   */
  readonly topP?: number;
  /** Only tokens at least this share as likely as the likeliest are drawn from (Nguyen et al. 2024). Default 0: all. */
  readonly minP?: number;
  /** Tells this many of the likeliest tokens beside the one taken. Default 0. */
  readonly alternatives?: number;
}

export interface ScoredToken {
  readonly id: number;
  /** ln of the token's probability under the model itself: at temperature 1, without bias, penalties or limits. */
  readonly logProbability: number;
}

export interface Sample extends ScoredToken {
  /** The likeliest under the model itself, likeliest first: as many as {@link SamplingOptions.alternatives} asks for. */
  readonly alternatives: readonly ScoredToken[];
}

/** Throws "usage" for an option out of its range. */
export function checkSampling(options: SamplingOptions): void {
  const { temperature = 0, topP = 1, minP = 0 } = options;
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    fail("usage", `temperature ${temperature}: it is a number of 0 or more`);
  if (!(topP > 0 && topP <= 1)) fail("usage", `topP ${topP}: it is above 0 and at most 1`);
  if (!(minP >= 0 && minP <= 1)) fail("usage", `minP ${minP}: it is from 0 to 1`);
  for (const name of ["topK", "alternatives"] as const) {
    const n = options[name] ?? 0;
    if (!Number.isSafeInteger(n) || n < 0) fail("usage", `${name} ${n}: it is a whole number, 0 for none`);
  }
  checkPenalties(options);
}

/** Whether the token is the highest logit and nothing else is asked about the others. */
export function isPlainGreedy(options: SamplingOptions): boolean {
  return !options.temperature && !options.alternatives && !adjusts(options);
}

/** Takes one token of logits [V]. Errors: "diverged" where a logit is not a number, or the highest is infinite; "usage" where the bias forbids all. */
export function sample(
  logits_V: Float32Array,
  options: SamplingOptions,
  random: Random,
  history: TokenHistory,
): Sample {
  const { temperature = 0, alternatives = 0 } = options;
  const most = logits_V[argmax(logits_V)];
  const total = most + Math.log(sumOfExp(logits_V, most));
  const scored = (id: number): ScoredToken => ({ id, logProbability: logits_V[id] - total });
  const own_V = adjusted(logits_V, options, history);
  if (own_V !== logits_V) checkLeft(own_V);
  const id = temperature === 0 ? argmax(own_V) : draw(candidates(own_V, options), random);
  return { ...scored(id), alternatives: highest(logits_V, alternatives).map(scored) };
}

/** The first of the highest. */
export function argmax(logits_V: Float32Array): number {
  let best = 0;
  for (let i = 0; i < logits_V.length; i++) {
    if (logits_V[i] > logits_V[best]) best = i;
    else if (Number.isNaN(logits_V[i])) failDiverged(`the model's logit of token ${i} is not a number`);
  }
  if (!Number.isFinite(logits_V[best])) failDiverged(`the model's highest logit is ${logits_V[best]}`);
  return best;
}

/** Throws "usage" where the bias leaves no token. */
function checkLeft(own_V: Float32Array): void {
  if (own_V.every((logit) => logit === Number.NEGATIVE_INFINITY))
    fail("usage", "logitBias forbids every token", "leave at least one to write");
}

function failDiverged(message: string): never {
  fail("diverged", message, "its weights are damaged or it diverged in training");
}

function sumOfExp(logits_V: Float32Array, most: number): number {
  let sum = 0;
  for (let i = 0; i < logits_V.length; i++) sum += Math.exp(logits_V[i] - most);
  return sum;
}

/** Up to so many of the highest are kept in order as they are met; for more, all are sorted. */
const fewHighest = 256;

/** Ids of the `count` highest, highest first, the lower id on a tie. */
function highest(values_V: Float32Array | Float64Array, count: number): number[] {
  if (count > fewHighest) return sorted(Array.from(values_V.keys()), values_V).slice(0, count);
  const ids: number[] = [];
  for (let id = 0; id < values_V.length && count > 0; id++) {
    if (ids.length === count && values_V[id] <= values_V[ids[count - 1]]) continue;
    let place = ids.length;
    while (place > 0 && values_V[ids[place - 1]] < values_V[id]) place--;
    ids.splice(place, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}

/** Tokens to draw from, each with its weight: e^((logit - highest) / temperature). */
export interface Candidates {
  readonly ids: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** The tokens that topK, topP and minP leave: where these limit them, likeliest first, the lower id on a tie. */
export function candidates(logits_V: Float32Array, options: SamplingOptions): Candidates {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
  const most = logits_V[argmax(logits_V)];
  const weights = new Float64Array(logits_V.length);
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    weights[i] = Math.exp((logits_V[i] - most) / temperature);
    total += weights[i];
  }
  if (topK === 0 && topP === 1 && minP === 0) return { ids: Int32Array.from(weights.keys()), weights };
  let ids =
    topK > 0
      ? highest(weights, topK)
      : likelierThan(weights, Math.max(minP, ((1 - topP) * total) / weights.length));
  if (topP < 1)
    ids = ids.slice(0, countReaching(weights, ids, topP * (topK > 0 ? weightOf(weights, ids) : total)));
  if (minP > 0) ids = ids.filter((id) => weights[id] >= minP); // the likeliest weighs 1
  return { ids, weights: ids.map((id) => weights[id]) };
}

/** Ids of at least this weight, heaviest first: those below (1 - topP) / V of the whole are outside of topP's set all together. */
function likelierThan(weights: Float64Array, least: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < weights.length; id++) if (weights[id] >= least) ids.push(id);
  return sorted(ids, weights);
}

/** Highest first, the lower id on a tie. */
function sorted(ids: number[], values_V: Float32Array | Float64Array): number[] {
  return ids.sort((a, b) => values_V[b] - values_V[a] || a - b);
}

function weightOf(weights: Float64Array, ids: readonly number[]): number {
  return ids.reduce((sum, id) => sum + weights[id], 0);
}

/** How many of the first ids it takes to weigh `goal`. */
function countReaching(weights: Float64Array, ids: readonly number[], goal: number): number {
  let reached = 0;
  for (let i = 0; i < ids.length; i++) {
    reached += weights[ids[i]];
    if (reached >= goal) return i + 1;
  }
  return ids.length;
}

function draw({ ids, weights }: Candidates, random: Random): number {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i];
  let left = random.uniform() * total;
  let drawn = 0;
  // Rounding may leave a little at the end: it goes to the last that can be drawn.
  for (let i = 0; i < ids.length && left >= 0; i++) {
    if (weights[i] === 0) continue;
    left -= weights[i];
    drawn = i;
  }
  return ids[drawn];
}
