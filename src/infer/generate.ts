/** T tokens, D width, V vocabulary. */
import { fail } from "../errors.ts";
import type { Decoder } from "../models/index.ts";
import {
  type Context,
  context,
  type Device,
  Random,
  scope,
  slice,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import { type CachedSequence, PagedCache } from "./cache.ts";
import { checkSampling, type Sample, type SamplingOptions, sample } from "./sampler.ts";

export interface GenerateOptions extends SamplingOptions {
  readonly maxTokens: number;
  /** Same seed, same tokens. Default 0. */
  readonly seed?: number;
  /** Generation ends after one of these; default: those of the model's config. */
  readonly eosIds?: readonly number[];
  /** Labels of the prompt's tokens, for routing by label; generated tokens take the last. */
  readonly labels?: readonly string[];
  /** Ends generation early, without an error, as soon as the token under way is done. */
  readonly signal?: AbortSignal;
  /** Precision, and a tap that is told every layer's route at each step. */
  readonly ctx?: Context;
}

export interface GeneratedToken extends Sample {
  /** 0 for the first generated token. */
  readonly index: number;
  /**
   * Why it is the last: an id that ends generation, maxTokens, or the model has no further position. Null:
   * it is not.
   */
  readonly finish: "end" | "max-tokens" | "positions" | null;
}

/**
 * Between tokens, other work of the process (signals, requests) gets its turn this often, in milliseconds.
 */
const yieldEvery = 25;

/**
 * Continues `ids`, one token at a time: the prompt is read in one pass, each token after it in a pass of
 * its own over the cache of keys and values. Errors: "usage" for options out of range, "shape" for ids
 * outside the vocabulary or a prompt beyond the model's positions.
 */
export async function* generate(
  model: Decoder,
  ids: readonly number[],
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken> {
  const { maxTokens, seed = 0, signal, ctx = context() } = options;
  const { maxPositions } = model.config;
  const eosIds = options.eosIds ?? model.config.eosIds;
  checkSampling(options);
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 0)
    fail("usage", `maxTokens ${maxTokens}: it is a whole number of 0 or more`);
  checkIds(model, ids);
  const device = deviceOf(model);
  const cache = new PagedCache(device, model.config.layers);
  const sequence = cache.open();
  const labels = options.labels;
  let next = ids;
  let nextLabels = labels;
  let breathed = performance.now();
  try {
    for (let index = 0; index < maxTokens && !signal?.aborted; index++) {
      const logits = await lastLogits(model, next, nextLabels, cache, sequence, ctx);
      const token = sample(logits, options, new Random(seed, "sample", index));
      const used = ids.length + index + 1;
      const finish = eosIds.includes(token.id)
        ? "end"
        : index + 1 === maxTokens
          ? "max-tokens"
          : used > maxPositions
            ? "positions"
            : null;
      yield { ...token, index, finish };
      if (finish) return;
      next = [token.id];
      nextLabels = labels?.slice(-1);
      if (performance.now() - breathed > yieldEvery) {
        await new Promise((resolve) => setTimeout(resolve));
        breathed = performance.now();
      }
    }
  } finally {
    cache.dispose();
  }
}

/**
 * Logits [T, V] of `ids`, row by row, in one pass with no cache and no sampling; `labels`, one a token, are for routing
 * by label. Errors: "shape".
 */
export async function logits(
  model: Decoder,
  ids: readonly number[],
  ctx: Context = context(),
  labels?: readonly string[],
): Promise<Float32Array<ArrayBuffer>> {
  checkIds(model, ids);
  const device = deviceOf(model);
  return read(
    scope(
      () => model.forward(tensor(device, Int32Array.from(ids), [1, ids.length]), ctx, { labels }).logits_TV,
    ),
  );
}

/** Feeds `ids` and returns the logits [V] of the last. */
async function lastLogits(
  model: Decoder,
  ids: readonly number[],
  labels: readonly string[] | undefined,
  cache: PagedCache,
  sequence: CachedSequence,
  ctx: Context,
): Promise<Float32Array> {
  const device = deviceOf(model);
  const logits_1V = scope(() => {
    const pass = cache.pass([{ sequence, count: ids.length }]);
    const { x_TD } = model.hidden(tensor(device, Int32Array.from(ids)), ctx, { pass, labels });
    return model.logits(slice(x_TD, 0, ids.length - 1, 1), ctx);
  });
  return read(logits_1V);
}

async function read(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
  try {
    return (await tensor.data()) as Float32Array<ArrayBuffer>;
  } finally {
    tensor.dispose();
  }
}

function deviceOf(model: Decoder): Device {
  return model.embedding.weight.value.device;
}

function checkIds(model: Decoder, ids: readonly number[]): void {
  const { vocabulary } = model.config;
  if (ids.length === 0)
    fail(
      "shape",
      "the prompt holds no token",
      "give at least one; many models take their begin-of-text token",
    );
  const stray = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
  if (stray !== undefined) fail("shape", `token id ${stray}: the model knows the ids 0 to ${vocabulary - 1}`);
}
