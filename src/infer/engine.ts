/**
 * Continuous batching (Yu et al. 2022, "Orca"): requests join and leave between steps, and each step is one forward pass over the rows
 * of all that go on, long prompts in pieces.
 *
 * A model that is not causal is read otherwise: its routes depend on who is in the pass, so each step is one request, read anew from its first
 * token. What it writes is then what evaluation from prefixes measures, and nobody else's request changes it.
 */
import { fail } from "../errors.ts";
import type { Decoder } from "../models/index.ts";
import { type Context, context } from "../tensor/index.ts";
import { type CachedSequence, PagedCache } from "./cache.ts";
import { checkRequest, type RequestOptions } from "./options.ts";
import { Generation } from "./request.ts";
import { isPlainGreedy } from "./sampler.ts";
import { deviceOf } from "./step.ts";
import { Stepper } from "./stepper.ts";

export interface EngineOptions {
  /** Requests in one step; others wait for their turn. Default 8. */
  readonly maxBatch?: number;
  /** Rows of a step: a longer prompt is read in pieces, so that those who decode are not held up. Default 512. */
  readonly maxRows?: number;
  /** Tokens a request may be ahead of its reader; 0: the next is made when it is asked for. Default 8. */
  readonly ahead?: number;
  readonly ctx?: Context;
}

/** Between steps, other work of the process (signals, requests) gets its turn this often, in milliseconds. */
const yieldEvery = 25;

/** Goes on once waiting work has had its turn. A timer, the only way in browsers, takes a millisecond at least. */
const turn: (go: () => void) => unknown = globalThis.setImmediate ?? globalThis.setTimeout;

/** Generates for any number of requests at once over one model and one cache. */
export class Engine {
  readonly model: Decoder;
  private readonly cache: PagedCache;
  private readonly stepper: Stepper;
  private readonly options: Required<Omit<EngineOptions, "ctx">>;
  private requests: Generation[] = [];
  /** Resolves when the step under way is done. */
  private step: Promise<void> | null = null;
  private looping = false;
  private disposed = false;
  /** Each step reads one request, whole. */
  private readonly alone: boolean;
  private breathed = performance.now();

  constructor(model: Decoder, options: EngineOptions = {}) {
    const { maxBatch = 8, maxRows = 512, ahead = 8, ctx = context() } = options;
    for (const [name, n, least] of [
      ["maxBatch", maxBatch, 1],
      ["maxRows", maxRows, 1],
      ["ahead", ahead, 0],
    ] as const)
      if (!Number.isSafeInteger(n) || n < least)
        fail("usage", `${name} ${n}: it is a whole number of ${least} or more`);
    this.model = model;
    this.alone = model.causality !== "causal";
    this.options = this.alone
      ? { maxBatch: 1, maxRows: Number.POSITIVE_INFINITY, ahead }
      : { maxBatch, maxRows, ahead };
    this.cache = new PagedCache(deviceOf(model), model.config.layers);
    this.stepper = new Stepper(model, this.cache, ctx);
  }

  /** Requests that are not done. */
  get load(): number {
    return this.requests.length;
  }

  /** Bytes of the keys and values of one position in all layers; 0 before any was read. */
  get cacheBytesPerPosition(): number {
    return this.cache.bytesPerPosition;
  }

  /** An empty sequence that requests can continue: see {@link Session}. */
  openSequence(): CachedSequence {
    return this.cache.open();
  }

  /**
   * Takes a request: an async iterator of its tokens. With a `sequence`, which already holds the first of the ids, only the others are
   * read, and it stays when the request is done. Errors: "usage", "shape", "state" for a sequence that holds all of the ids.
   */
  add(ids: readonly number[], options: RequestOptions, sequence?: CachedSequence): Generation {
    if (this.disposed) fail("state", "the engine was disposed of");
    checkRequest(this.model, ids, options);
    if (sequence && sequence.length >= ids.length)
      fail(
        "state",
        `the sequence holds ${sequence.length} positions, and ${ids.length} ids leave none to read`,
      );
    const request: Generation = new Generation(this.model, ids, options, {
      sequence: sequence ?? this.cache.open(),
      owned: sequence === undefined,
      wake: () => void this.run(),
      leave: () => this.drop(request),
      ahead: this.options.ahead,
    });
    if (!request.done) this.requests.push(request);
    void this.run();
    return request;
  }

  /** Ends all requests and gives the cache back. */
  async dispose(): Promise<void> {
    this.disposed = true;
    await Promise.all(this.requests.map((request) => request.return()));
    await this.step;
    this.stepper.dispose();
    this.cache.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Takes a request out, once no step works on it. */
  private async drop(request: Generation): Promise<void> {
    await this.step;
    this.requests = this.requests.filter((other) => other !== request);
    request.release();
  }

  private async run(): Promise<void> {
    if (this.looping) return;
    this.looping = true;
    await null; // requests that are added or asked in one go start together
    try {
      for (let batch = this.batch(); batch.length > 0; batch = this.batch()) {
        this.step = this.runBatch(batch);
        await this.step;
        this.step = null;
        await this.breathe();
      }
    } finally {
      this.looping = false;
    }
  }

  /** The first `maxBatch` requests that can go on: one whose reader is slow holds up nobody. */
  private batch(): Generation[] {
    return this.requests.filter((request) => request.ready).slice(0, this.options.maxBatch);
  }

  private async runBatch(batch: readonly Generation[]): Promise<void> {
    const { maxRows } = this.options;
    if (this.alone) for (const { sequence } of batch) sequence.truncate(0);
    // Who decodes comes first; prompts share the rows that are left.
    let left = maxRows;
    const parts = [...batch]
      .sort((a, b) => a.pending - b.pending)
      .flatMap((request) => {
        const rows = request.rows(left);
        left -= rows.ids.length;
        return rows.ids.length > 0 ? [{ request, rows }] : [];
      });
    const places = parts.map(({ request: { sequence }, rows }) => ({ sequence, count: rows.ids.length }));
    const lengths = places.map(({ sequence }) => sequence.length);
    try {
      const rows = parts.map((part) => part.rows);
      const results = await this.stepper.run(rows, places, {
        logits: parts.some(({ request }) => !isPlainGreedy(request.options)),
        totals: parts.some(({ request }) => request.takesTotal),
        routes: parts.some(({ request }) => request.options.routes === true),
      });
      let next = 0;
      for (const { request, rows } of parts) if (rows.sampled) request.take(results[next++]);
    } catch (error) {
      for (const [i, { sequence }] of places.entries())
        sequence.truncate(Math.min(lengths[i], sequence.length));
      for (const { request } of parts) request.fail(error);
    }
    const going = this.requests.filter((request) => !request.done);
    // Those who wait take turns.
    this.requests = this.alone
      ? [
          ...going.filter((request) => !batch.includes(request)),
          ...going.filter((request) => batch.includes(request)),
        ]
      : going;
  }

  private async breathe(): Promise<void> {
    await null;
    if (performance.now() - this.breathed < yieldEvery) return;
    await new Promise<void>((resolve) => turn(resolve));
    this.breathed = performance.now();
  }
}
