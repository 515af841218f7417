import { fail } from "../errors.ts";
import type { Decoder } from "../models/index.ts";
import type { Context } from "../tensor/index.ts";
import type { CachedSequence } from "./cache.ts";
import { Engine } from "./engine.ts";
import type { GeneratedToken, RequestOptions } from "./options.ts";

/**
 * A conversation that keeps its keys and values between turns: each turn gives all ids so far, and only those past what the last turn
 * shares with them are read. Each turn draws on from the seed: the same seed and the same turns give the same tokens.
 */
export class Session {
  private readonly engine: Engine;
  private readonly sequence: CachedSequence;
  /** What the sequence holds. */
  private held: readonly number[] = [];
  /** Labels and experts that `held` was read with. */
  private labels: RequestOptions["labels"];
  private settings = "";
  private busy = false;
  /** Turns that drew a token. */
  private turns = 0;

  constructor(model: Decoder, options: { readonly ctx?: Context } = {}) {
    this.engine = new Engine(model, { ...options, maxBatch: 1, ahead: 0 });
    this.sequence = this.engine.openSequence();
  }

  /** Positions it holds. */
  get length(): number {
    return this.sequence.length;
  }

  /** Continues `ids`, the whole conversation. One turn at a time. Errors: as {@link generate}, and "state" within another turn. */
  async *generate(ids: readonly number[], options: RequestOptions): AsyncGenerator<GeneratedToken> {
    if (this.busy) fail("state", "session: a turn is under way", "end it first");
    this.busy = true;
    try {
      this.sequence.truncate(this.shared(ids, options));
      const request = this.engine.add(ids, { ...options, turn: options.turn ?? this.turns }, this.sequence);
      try {
        yield* request;
      } finally {
        await request.return();
        if (request.ids.length > ids.length) this.turns++;
        this.held = request.ids.slice(0, this.sequence.length);
      }
    } finally {
      this.busy = false;
    }
  }

  /** Begins a new conversation, whose turns draw what those of the first did. What it shares with the last is not read again. */
  begin(): void {
    if (this.busy) fail("state", "session: a turn is under way", "end it first");
    this.turns = 0;
  }

  /** Forgets everything. */
  reset(): void {
    this.begin();
    this.sequence.truncate(0);
    this.held = [];
  }

  async dispose(): Promise<void> {
    await this.engine.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** How many leading ids are held already; the last is read anew, for its logits. */
  private shared(ids: readonly number[], { experts, labels }: RequestOptions): number {
    const settings = JSON.stringify([experts]);
    const before = this.labels;
    const same = settings === this.settings;
    this.settings = settings;
    this.labels = labels;
    if (!same) return 0;
    const most = Math.min(this.held.length, this.sequence.length, ids.length - 1);
    const isHeld = (place: number): boolean =>
      this.held[place] === ids[place] && labelAt(before, place) === labelAt(labels, place);
    let count = 0;
    while (count < most && isHeld(count)) count++;
    return count;
  }
}

/** Generated tokens take the prompt's last label. */
function labelAt(labels: RequestOptions["labels"], place: number): string | undefined {
  return labels?.[Math.min(place, labels.length - 1)];
}
