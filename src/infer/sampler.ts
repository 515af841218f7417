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

/** What is known of logits [V] besides themselves. */
export interface LogitFigures {
  /** The first of the highest. */
  readonly best: number;
  /** ln of the sum of e^logit. */
  readonly logSumExp: number;
  /** The sum of all weights, e^((logit - highest) / temperature), at the request's temperature; null: not known. */
  readonly total: number | null;
}

/** Whether sampling needs {@link LogitFigures.total}, which takes JavaScript long to sum up. */
export function takesTotal(options: SamplingOptions): boolean {
  const { temperature = 0, topK = 0, topP = 1, minP = 0 } = options;
  return temperature > 0 && topK === 0 && (topP < 1 || minP === 0) && !adjusts(options);
}

/**
 * Takes one token of logits [V]; `figures` are theirs, where they are known. Errors: "diverged" where a logit is not a number, or the
 * highest is infinite; "usage" where the bias forbids all.
 */
export function sample(
  logits_V: Float32Array,
  options: SamplingOptions,
  random: Random,
  history: TokenHistory,
  figures: LogitFigures = figuresOf(logits_V),
): Sample {
  const { temperature = 0, alternatives = 0 } = options;
  const { best, logSumExp, total } = figures;
  const scored = (id: number): ScoredToken => ({ id, logProbability: logits_V[id] - logSumExp });
  const own = adjusts(options)
    ? ownLogits(adjusted(logits_V, options, history))
    : { values_V: logits_V, best, total };
  const id = temperature === 0 ? own.best : draw(own, options, random.uniform());
  return { ...scored(id), alternatives: highest(logits_V, alternatives).map(scored) };
}

function figuresOf(logits_V: Float32Array): LogitFigures {
  const best = argmax(logits_V);
  return { best, logSumExp: logits_V[best] + Math.log(weightOfAll(logits_V, best, 1)), total: null };
}

/** The first of the highest. Errors: "diverged" as {@link sample}. */
export function argmax(logits_V: Float32Array): number {
  let best = 0;
  for (let i = 0; i < logits_V.length; i++) {
    if (logits_V[i] > logits_V[best]) best = i;
    else if (Number.isNaN(logits_V[i])) failDiverged(`the model's logit of token ${i} is not a number`);
  }
  if (!Number.isFinite(logits_V[best])) failDiverged(`the model's highest logit is ${logits_V[best]}`);
  return best;
}

/** What to do about logits that are no numbers: the weights are damaged, or training diverged. */
export const weightsRemedy = "fetch the weights again, or train anew with a lower optimizer.lr (--lr)";

function failDiverged(message: string): never {
  fail("diverged", message, weightsRemedy);
}

/** Logits that are drawn from, the first of the highest, and the sum of their weights where it is known. */
interface OwnLogits {
  readonly values_V: Float32Array;
  readonly best: number;
  readonly total: number | null;
}

/** Throws "usage" where the bias leaves no token. */
function ownLogits(values_V: Float32Array): OwnLogits {
  if (values_V.every((logit) => logit === Number.NEGATIVE_INFINITY))
    fail("usage", "logitBias forbids every token", "leave at least one to write");
  return { values_V, best: argmax(values_V), total: null };
}

function weightOfAll(values_V: Float32Array, best: number, temperature: number): number {
  const most = values_V[best];
  let sum = 0;
  for (let i = 0; i < values_V.length; i++) sum += Math.exp((values_V[i] - most) / temperature);
  return sum;
}

/** Tokens to draw from, each with its weight: e^((logit - highest) / temperature). */
export interface Candidates {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
}

/** The tokens that topK, topP and minP leave, likeliest first, the lower id on a tie. */
export function candidates(logits_V: Float32Array, options: SamplingOptions): Candidates {
  const left = candidatesOf({ values_V: logits_V, best: argmax(logits_V), total: null }, options);
  return taken(
    left,
    Array.from(left.ids.keys()).sort(
      (a, b) => left.weights[b] - left.weights[a] || left.ids[a] - left.ids[b],
    ),
  );
}

/** The same in any order. */
function candidatesOf({ values_V, best, total }: OwnLogits, options: SamplingOptions): Candidates {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
  const most = values_V[best];
  // Of all tokens the logits are looked at, but only some have their weights computed.
  const all = topP < 1 && topK === 0 ? (total ?? weightOfAll(values_V, best, temperature)) : 0;
  // What is below (1 - topP) / V of the whole is outside of topP's set all together.
  const least = Math.max(minP, ((1 - topP) * all) / values_V.length);
  const ids = topK > 0 ? highest(values_V, topK) : atLeast(values_V, most + temperature * Math.log(least));
  const weights = ids.map((id) => Math.exp((values_V[id] - most) / temperature));
  let left: Candidates = { ids, weights };
  if (topP < 1) left = heaviest(left, topP * (topK > 0 ? sumOf(weights) : all));
  if (minP === 0) return left;
  return taken(
    left,
    Array.from(left.ids.keys()).filter((at) => left.weights[at] >= minP),
  );
}

function taken({ ids, weights }: Candidates, places: readonly number[]): Candidates {
  return { ids: places.map((at) => ids[at]), weights: places.map((at) => weights[at]) };
}

/** Classes of weights in {@link heaviest}: so many for a factor of e, from 1 down. */
const classesEach = 32;
const classes = 1024;

/** The fewest of the heaviest that weigh `goal` together, the lower id on a tie. Only those as heavy as the last of them are sorted. */
function heaviest(tokens: Candidates, goal: number): Candidates {
  const { ids, weights } = tokens;
  const own = new Int16Array(weights.length);
  const sums = new Float64Array(classes);
  for (let at = 0; at < own.length; at++) {
    own[at] = Math.min(classes - 1, Math.floor(-Math.log(weights[at]) * classesEach));
    sums[own[at]] += weights[at];
  }
  let last = 0;
  let reached = 0;
  while (last < classes - 1 && reached + sums[last] < goal) reached += sums[last++];
  const places: number[] = [];
  const edge: number[] = [];
  for (let at = 0; at < own.length; at++) if (own[at] <= last) (own[at] < last ? places : edge).push(at);
  edge.sort((a, b) => weights[b] - weights[a] || ids[a] - ids[b]);
  for (const at of edge) {
    places.push(at);
    reached += weights[at];
    if (reached >= goal) break;
  }
  return taken(tokens, places);
}

/** Up to so many of the highest are kept in order as they are met; for more, all are sorted. */
const fewHighest = 256;

/** Ids of the `count` highest, highest first, the lower id on a tie. */
function highest(values_V: Float32Array, count: number): number[] {
  if (count > fewHighest)
    return Array.from(values_V.keys())
      .sort((a, b) => values_V[b] - values_V[a] || a - b)
      .slice(0, count);
  const ids: number[] = [];
  let last = Number.NEGATIVE_INFINITY; // the lowest of them
  for (let id = 0; id < values_V.length && count > 0; id++) {
    const value = values_V[id];
    if (value <= last && ids.length === count) continue;
    let place = ids.length;
    while (place > 0 && values_V[ids[place - 1]] < value) place--;
    ids.splice(place, 0, id);
    if (ids.length > count) ids.pop();
    last = values_V[ids[ids.length - 1]];
  }
  return ids;
}

/** Ids of the values that are at least `limit`, or below it by no more than rounding. */
function atLeast(values_V: Float32Array, limit: number): number[] {
  const rounded = limit - 1e-9 * (1 + Math.abs(limit));
  const ids: number[] = [];
  for (let id = 0; id < values_V.length; id++) if (values_V[id] >= rounded) ids.push(id);
  return ids;
}

function sumOf(weights: readonly number[]): number {
  return weights.reduce((sum, weight) => sum + weight, 0);
}

/** The token at `share`, from 0 to 1, of the weights. What rounding leaves at the end is the likeliest's. */
function draw(own: OwnLogits, options: SamplingOptions, share: number): number {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
  if (topK === 0 && topP === 1 && minP === 0) return drawFromAll(own, temperature, share);
  const { ids, weights } = candidatesOf(own, options);
  let left = share * sumOf(weights);
  for (let i = 0; i < ids.length; i++) {
    left -= weights[i];
    if (left < 0) return ids[i];
  }
  return own.best;
}

/** Tokens above the mean weight come first: they are few, nearly all draws end there, and the others' weights need not be computed. */
function drawFromAll({ values_V, best, total }: OwnLogits, temperature: number, share: number): number {
  const most = values_V[best];
  const all = total ?? weightOfAll(values_V, best, temperature);
  const mean = most + temperature * Math.log(all / values_V.length);
  let left = share * all;
  for (const likely of [true, false])
    for (let id = 0; id < values_V.length; id++) {
      if (values_V[id] > mean !== likely) continue;
      left -= Math.exp((values_V[id] - most) / temperature);
      if (left < 0) return id;
    }
  return best;
}
