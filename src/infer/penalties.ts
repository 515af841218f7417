import { fail } from "../errors.ts";

export interface PenaltyOptions {
  /** Added to the logits of these ids; -Infinity forbids one. */
  readonly logitBias?: ReadonlyMap<number, number>;
  /**
   * Logits of tokens that the prompt or the answer holds are divided by it where above 0 and multiplied where below (Keskar et al.
   * 2019, "CTRL"). Default 1: none.
   */
  readonly repetitionPenalty?: number;
  /** Taken once from the logits of tokens that the answer holds. Default 0. */
  readonly presencePenalty?: number;
  /** Taken from the logits of the answer's tokens as often as it holds them. Default 0. */
  readonly frequencyPenalty?: number;
}

/** What a request has read and written so far. */
export class TokenHistory {
  /** Of the prompt and the answer. */
  readonly seen: Set<number>;
  /** How often the answer holds each of its tokens. */
  readonly counts: Map<number, number> = new Map<number, number>();

  constructor(prompt: Iterable<number> = []) {
    this.seen = new Set(prompt);
  }

  add(id: number): void {
    this.seen.add(id);
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
  }
}

/** Throws "usage" for an option out of its range. */
export function checkPenalties(options: PenaltyOptions): void {
  const { repetitionPenalty = 1, logitBias } = options;
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty)))
    fail("usage", `repetitionPenalty ${repetitionPenalty}: it is a number above 0, 1 for none`);
  for (const name of ["presencePenalty", "frequencyPenalty"] as const) {
    if (!Number.isFinite(options[name] ?? 0)) fail("usage", `${name} ${options[name]}: it is a number`);
  }
  for (const [id, bias] of logitBias ?? [])
    if (Number.isNaN(bias) || bias === Number.POSITIVE_INFINITY)
      fail("usage", `logitBias of token ${id} is ${bias}: it is a number, or -Infinity to forbid the token`);
}

/** Whether the options change any logit. */
export function adjusts(options: PenaltyOptions): boolean {
  const { logitBias, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options;
  return (
    repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0 || (logitBias?.size ?? 0) > 0
  );
}

/** Logits with bias and penalties; the very same array where there are none. */
export function adjusted(
  logits_V: Float32Array,
  options: PenaltyOptions,
  history: TokenHistory,
): Float32Array {
  if (!adjusts(options)) return logits_V;
  const { logitBias = [], repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options;
  const own_V = logits_V.slice();
  for (const [id, bias] of logitBias) own_V[id] += bias;
  if (repetitionPenalty !== 1)
    for (const id of history.seen)
      own_V[id] = own_V[id] > 0 ? own_V[id] / repetitionPenalty : own_V[id] * repetitionPenalty;
  for (const [id, count] of history.counts) own_V[id] -= presencePenalty + count * frequencyPenalty;
  return own_V;
}
