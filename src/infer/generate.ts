/** T tokens, V vocabulary. */
import type { Decoder } from "../models/index.ts";
import { type Context, context, scope, tensor } from "../tensor/index.ts";
import { Engine } from "./engine.ts";
import { checkIds, type GeneratedToken, type GenerateOptions } from "./options.ts";
import { deviceOf, take } from "./step.ts";

/**
 * Continues `ids`, one token at a time: the prompt is read in pieces, each token after it in a pass of its own over the paged cache of
 * keys and values. Errors: "usage" for options out of range, "shape" for ids outside the vocabulary or a prompt beyond the model's
 * positions.
 */
export async function* generate(
  model: Decoder,
  ids: readonly number[],
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken> {
  const { ctx, ...request } = options;
  const engine = new Engine(model, { ctx, maxBatch: 1, ahead: 0 });
  try {
    yield* engine.add(ids, request);
  } finally {
    await engine.dispose();
  }
}

/** A token of one of several prompts. */
export interface BatchToken extends GeneratedToken {
  /** Which prompt it continues. */
  readonly prompt: number;
}

/** Continues several prompts at once, all with the same options, and gives each token as it comes. Errors as {@link generate}. */
export async function* generateBatch(
  model: Decoder,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions & { readonly maxBatch?: number },
): AsyncGenerator<BatchToken> {
  const { ctx, maxBatch = prompts.length, ...request } = options;
  if (prompts.length === 0) return;
  const engine = new Engine(model, { ctx, maxBatch, ahead: 1 });
  try {
    const requests = prompts.map((ids) => engine.add(ids, request));
    const next = async (prompt: number) => ({ prompt, result: await requests[prompt].next() });
    const ask = (prompt: number): ReturnType<typeof next> => {
      const coming = next(prompt);
      coming.catch(() => {}); // it may fail while nobody waits: the race below tells
      return coming;
    };
    const coming = new Map(requests.map((_, prompt) => [prompt, ask(prompt)]));
    while (coming.size > 0) {
      const { prompt, result } = await Promise.race(coming.values());
      if (result.done) {
        coming.delete(prompt);
        continue;
      }
      coming.set(prompt, ask(prompt));
      yield { ...result.value, prompt };
    }
  } finally {
    await engine.dispose();
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
  const ids_BS = tensor(deviceOf(model), Int32Array.from(ids), [1, ids.length]);
  try {
    const logits_TV = scope(() => model.forward(ids_BS, ctx, { labels }).logits_TV);
    return (await take(logits_TV)) as Float32Array<ArrayBuffer>;
  } finally {
    ids_BS.dispose();
  }
}
