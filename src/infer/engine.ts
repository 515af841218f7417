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
import { deviceOf, type StepResult, type StepRows } from "./step.ts";
import { Stepper } from "./stepper.ts";

export interface EngineOptions {
  /** Requests in one step; where there are more, they take turns. Default 8. */
  readonly maxBatch?: number;
  /**
   * Rows of a step: a longer prompt is read in pieces, so that those who decode are not held up. Where more decode than there are rows, they
   * take turns. Default 512.
   */
  readonly maxRows?: number;
  /** Tokens a request may be ahead of its reader; 0: the next is made when it is asked for. Default 8. */
  readonly ahead?: number;
  readonly ctx?: Context;
}

/** One row in as many is for the prompt that has waited longest, whoever decodes: else a step full of those who do would leave it none. */
const promptShare = 4;

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
  /** Those that have waited longest come first. */
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

  /** The `maxBatch` requests that have waited longest of those that can go on: one whose reader is slow holds up nobody. */
  private batch(): Generation[] {
    return this.requests.filter((request) => request.ready).slice(0, this.options.maxBatch);
  }

  private async runBatch(batch: readonly Generation[]): Promise<void> {
    if (this.alone) for (const { sequence } of batch) sequence.truncate(0);
    const parts = this.shareRows(batch);
    await this.runParts(parts);
    // Who was served goes to the end, so that the others are next.
    const served = new Set(parts.map(({ request }) => request));
    const going = this.requests.filter((request) => !request.done);
    this.requests = [
      ...going.filter((request) => !served.has(request)),
      ...going.filter((request) => served.has(request)),
    ];
  }

  /** Who decodes comes first, a row each; prompts share the rows that are left, and the first of all in line is never left out. */
  private shareRows(batch: readonly Generation[]): StepPart[] {
    const { maxRows } = this.options;
    const decoding = batch.filter(({ pending }) => pending === 1);
    const prompts = batch.filter(({ pending }) => pending > 1);
    const [first] = batch;
    const kept = prompts[0] === first ? Math.min(first.pending, Math.ceil(maxRows / promptShare)) : 0;
    const taken = decoding.slice(0, maxRows - kept);
    let left = maxRows - taken.length;
    const parts = taken.map((request) => ({ request, rows: request.rows(1) }));
    for (const request of prompts) {
      if (left === 0) break;
      const rows = request.rows(left);
      left -= rows.ids.length;
      parts.push({ request, rows });
    }
    return parts;
  }

  /**
   * A step of these requests. Where it fails, halves of them are tried, down to each alone: an error, such as no memory for a request's keys and
   * values, ends the request that meets it alone, and no other.
   */
  private async runParts(parts: readonly StepPart[]): Promise<void> {
    const places = parts.map(({ request: { sequence }, rows }) => ({ sequence, count: rows.ids.length }));
    const lengths = places.map(({ sequence }) => sequence.length);
    let results: readonly StepResult[];
    try {
      results = await this.stepper.run(
        parts.map(({ rows }) => rows),
        places,
        {
          logits: parts.some(({ request }) => !isPlainGreedy(request.options)),
          totals: parts.some(({ request }) => request.takesTotal),
          routes: parts.some(({ request }) => request.options.routes === true),
        },
      );
    } catch (error) {
      this.stepper.settle();
      for (const [i, { sequence }] of places.entries())
        sequence.truncate(Math.min(lengths[i], sequence.length));
      const going = parts.filter(({ request }) => !request.done);
      if (parts.length === 1) parts[0].request.fail(error);
      else for (const half of halvesOf(going)) await this.runParts(half);
      return;
    }
    let next = 0;
    for (const { request, rows } of parts) if (rows.sampled) request.take(results[next++]);
  }

  private async breathe(): Promise<void> {
    await null;
    if (performance.now() - this.breathed < yieldEvery) return;
    await new Promise<void>((resolve) => turn(resolve));
    this.breathed = performance.now();
  }
}

/** The rows of a request in one step. */
interface StepPart {
  readonly request: Generation;
  readonly rows: StepRows;
}

function halvesOf<T>(all: readonly T[]): (readonly T[])[] {
  const middle = Math.ceil(all.length / 2);
  return [all.slice(0, middle), all.slice(middle)].filter((half) => half.length > 0);
}
