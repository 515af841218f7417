import { fail } from "../errors.ts";
import type { Decoder } from "../models/index.ts";
import { Random } from "../tensor/index.ts";
import type { CachedSequence } from "./cache.ts";
import type { GeneratedToken, RequestOptions } from "./options.ts";
import { TokenHistory } from "./penalties.ts";
import { isPlainGreedy, type Sample, sample, takesTotal, weightsRemedy } from "./sampler.ts";
import type { StepResult, StepRows } from "./step.ts";

/** What the engine gives a request to live in. */
export interface Seat {
  readonly sequence: CachedSequence;
  /** The sequence ends with the request. */
  readonly owned: boolean;
  readonly ahead: number;
  /** Called when it can go on. */
  readonly wake: () => void;
  /** Called when its reader wants no more. */
  readonly leave: () => Promise<void>;
}

/** One request: an async iterator of its tokens. Leaving a `for await` early ends it. */
export class Generation implements AsyncIterableIterator<GeneratedToken> {
  readonly options: RequestOptions;
  /** The prompt and what was generated. */
  readonly ids: readonly number[];
  private readonly all: number[];
  private readonly promptLength: number;
  private readonly model: Decoder;
  private readonly seat: Seat;
  private readonly history: TokenHistory;
  private readonly made: GeneratedToken[] = [];
  private readonly waiting: { resolve(r: IteratorResult<GeneratedToken>): void; reject(e: unknown): void }[] =
    [];
  private readonly onAbort: () => void;
  private failure: { error: unknown } | null = null;
  private over = false;
  /** Settles when no step works on it any more. */
  private left: Promise<void> | null = null;

  /** @internal Made by {@link Engine.add}, which has checked everything. */
  constructor(model: Decoder, prompt: readonly number[], options: RequestOptions, seat: Seat) {
    this.model = model;
    this.options = options;
    this.all = [...prompt];
    this.ids = this.all;
    this.promptLength = prompt.length;
    this.seat = seat;
    this.history = new TokenHistory(prompt);
    this.onAbort = () => void this.return();
    if (options.maxTokens === 0 || options.signal?.aborted) this.finish();
    else options.signal?.addEventListener("abort", this.onAbort);
  }

  /** @internal */
  get sequence(): CachedSequence {
    return this.seat.sequence;
  }

  /** No more tokens will be made. */
  get done(): boolean {
    return this.over;
  }

  /** @internal Whether it samples with the sum of what all tokens weigh. */
  get takesTotal(): boolean {
    return takesTotal(this.options);
  }

  /** @internal Ids that the cache does not hold yet. */
  get pending(): number {
    return this.all.length - this.sequence.length;
  }

  /** @internal */
  get ready(): boolean {
    return !this.over && (this.waiting.length > 0 || this.made.length < this.seat.ahead);
  }

  /** @internal The next rows to read, at most `most`. */
  rows(most: number): StepRows {
    const { labels, experts } = this.options;
    const start = this.sequence.length;
    const end = Math.min(this.all.length, start + most);
    const label = (place: number): string => labels![Math.min(place, labels!.length - 1)];
    const ids = this.all.slice(start, end);
    return {
      ids,
      labels: labels ? ids.map((_, i) => label(start + i)) : null,
      experts: experts ?? null,
      sampled: end === this.all.length,
      temperature: this.takesTotal ? this.options.temperature! : 1,
    };
  }

  /** @internal Goes on by one token. */
  take(result: StepResult): void {
    if (this.over) return;
    const { maxTokens, seed = 0, turn = 0, eosIds = this.model.eosIds } = this.options;
    const index = this.all.length - this.promptLength;
    try {
      const token = this.choose(result, new Random(seed, turn === 0 ? "sample" : `sample:${turn}`, index));
      this.all.push(token.id);
      this.history.add(token.id);
      const finish = eosIds.includes(token.id)
        ? "end"
        : index + 1 === maxTokens
          ? "max-tokens"
          : this.all.length > this.model.mostPositions
            ? "positions"
            : null;
      this.give({ ...token, index, finish, routes: this.options.routes ? result.routes : null });
      if (finish) this.finish();
    } catch (error) {
      this.fail(error);
    }
  }

  /** @internal */
  fail(error: unknown): void {
    if (this.over) return;
    this.failure = { error };
    this.finish();
  }

  /** @internal Gives its memory back. */
  release(): void {
    if (this.seat.owned) this.sequence.dispose();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<GeneratedToken>> {
    const token = this.made.shift();
    if (token) {
      this.seat.wake();
      return Promise.resolve({ done: false, value: token });
    }
    if (this.over) return this.ending();
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.seat.wake();
    });
  }

  /** Ends the request: tokens not yet read are lost. */
  async return(): Promise<IteratorResult<GeneratedToken>> {
    this.made.length = 0;
    if (!this.over) {
      this.end();
      this.left = this.seat.leave();
    }
    await this.left; // of a signal's end too
    return { done: true, value: undefined };
  }

  private choose({ logits_V, best, total }: StepResult, random: Random): Sample {
    const logProbability = best.logit - best.logSumExp;
    if (logits_V && !isPlainGreedy(this.options)) {
      // Else the sampler looks for itself, and says which logit is not a number.
      const figures = Number.isFinite(logProbability)
        ? { best: best.id, logSumExp: best.logSumExp, total: this.takesTotal ? total : null }
        : undefined;
      return sample(logits_V, this.options, random, this.history, figures);
    }
    if (!Number.isFinite(logProbability))
      fail("diverged", "a logit of the model is not a number, or the highest is infinite", weightsRemedy);
    return { id: best.id, logProbability, alternatives: [] };
  }

  private give(token: GeneratedToken): void {
    const reader = this.waiting.shift();
    if (reader) reader.resolve({ done: false, value: token });
    else this.made.push(token);
  }

  /** No more tokens: whoever waits is told, and memory goes back. */
  private finish(): void {
    this.end();
    this.release();
  }

  private end(): void {
    this.over = true;
    this.options.signal?.removeEventListener("abort", this.onAbort);
    for (const { resolve, reject } of this.waiting.splice(0)) this.ending().then(resolve, reject);
  }

  /** The end, or once the error. */
  private ending(): Promise<IteratorResult<GeneratedToken>> {
    const { failure } = this;
    this.failure = null;
    return failure ? Promise.reject(failure.error) : Promise.resolve({ done: true, value: undefined });
  }
}
