import { fail } from "../errors.ts";
import type { Decoder } from "../models/index.ts";
import { checkActive, type RoutingSpec } from "../moe/index.ts";
import { type Context, isSeed, type Seed, seedForm } from "../tensor/index.ts";
import { checkSampling, type Sample, type SamplingOptions } from "./sampler.ts";

/** Which experts a request's tokens may take. */
export interface ExpertChoice {
  /** Experts a token passes at most, in place of the model's own number. */
  readonly active?: number;
  /** Experts that no token of the request takes: by block number, or of every block. */
  readonly without?: readonly { readonly layer?: number; readonly expert: number }[];
}

/** What one request asks for. */
export interface RequestOptions extends SamplingOptions {
  readonly maxTokens: number;
  /** Same seed, same tokens: see {@link Seed}. Default 0; `drawSeed()` gives one at random. */
  readonly seed?: Seed;
  /** Which turn of a conversation this is, from 0: each draws other numbers from the same seed. Default 0; a Session counts for itself. */
  readonly turn?: number;
  /** Generation ends after one of these; default: those of the model's files ({@link Decoder.eosIds}). */
  readonly eosIds?: readonly number[];
  /** Labels of the prompt's tokens, for routing by label; generated tokens take the last. */
  readonly labels?: readonly string[];
  readonly experts?: ExpertChoice;
  /** Tells with each token which experts the position that it was read from took. Default false. */
  readonly routes?: boolean;
  /** Ends generation early, without an error, as soon as the token under way is done. */
  readonly signal?: AbortSignal;
}

export interface GenerateOptions extends RequestOptions {
  /** Precision, and a tap that is told every layer's route at each step. */
  readonly ctx?: Context;
}

/** Where one position went in one layer. */
export interface TokenExperts {
  /** The block's number. */
  readonly layer: number;
  /** In order of choice; fewer than the model's k where it was given fewer. */
  readonly experts: readonly number[];
  readonly weights: readonly number[];
}

export interface GeneratedToken extends Sample {
  /** 0 for the first generated token. */
  readonly index: number;
  /**
   * Why it is the last: an id that ends generation, maxTokens, or the model has no further position. Null:
   * it is not.
   */
  readonly finish: "end" | "max-tokens" | "positions" | null;
  /** Where {@link RequestOptions.routes} asks for it: the mixture layers, in order. */
  readonly routes: readonly TokenExperts[] | null;
}

/** What is to be said of a text of so many positions: null where the model was made for texts as long. */
export function positionNote(model: Decoder, positions: number): string | null {
  const { reach } = model;
  if (positions <= reach) return null;
  const { maxPositions } = model.config;
  const made =
    reach > maxPositions
      ? `the model was trained on ${maxPositions} and its rotary scaling reaches ${reach}`
      : `the model was trained on ${maxPositions}`;
  return `the text goes beyond ${reach} positions: ${made}; what it writes there may make no sense`;
}

/** Throws "usage" for options out of range, "shape" for ids outside the vocabulary or a prompt beyond the model's positions. */
export function checkRequest(model: Decoder, ids: readonly number[], options: RequestOptions): void {
  const { maxTokens, seed = 0, turn = 0, experts = {}, logitBias, labels } = options;
  const { vocabulary } = model.config;
  checkSampling(options);
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 0)
    fail("usage", `maxTokens ${maxTokens}: it is a whole number of 0 or more`);
  if (!isSeed(seed)) fail("usage", `seed ${seed}: it is ${seedForm}`);
  if (!Number.isSafeInteger(turn) || turn < 0)
    fail("usage", `turn ${turn}: it is a whole number of 0 or more`);
  checkIds(model, ids);
  if (ids.length > model.mostPositions)
    fail(
      "shape",
      `the prompt has ${ids.length} positions; the model has ${model.mostPositions}`,
      "pass fewer tokens",
    );
  if (labels && labels.length !== ids.length)
    fail("shape", `${labels.length} labels for a prompt of ${ids.length} tokens`);
  checkLabels(model, labels);
  for (const id of logitBias?.keys() ?? [])
    if (!Number.isInteger(id) || id < 0 || id >= vocabulary)
      fail("usage", `logitBias: token id ${id}; the model knows the ids 0 to ${vocabulary - 1}`);
  checkExperts(model, experts, labels);
}

/** Throws "shape" unless there are ids and the model knows each. */
export function checkIds(model: Decoder, ids: readonly number[]): void {
  const { vocabulary } = model.config;
  if (ids.length === 0)
    fail(
      "shape",
      "the prompt holds no token",
      "give at least one; many models take their begin-of-text token",
    );
  const stray = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
  if (stray !== undefined)
    fail(
      "shape",
      `token id ${stray}: the model knows the ids 0 to ${vocabulary - 1}`,
      "give ids of the model's own tokenizer",
    );
}

/** What routing would refuse in a step, and so to all requests of it. */
function checkLabels({ routers }: Decoder, labels: readonly string[] | undefined): void {
  for (const { layer, spec } of routers) {
    if (spec.select.by !== "label") continue;
    const { table } = spec.select;
    const known = Object.keys(table).join(", ");
    if (!labels)
      fail("usage", `labels: none are given; block ${layer} routes by ${known}`, "pass one label a token");
    const stray = labels.find((label) => !Object.hasOwn(table, label));
    if (stray !== undefined)
      fail("usage", `labels: block ${layer} routes by ${known}, not by ${JSON.stringify(stray)}`);
  }
}

function checkExperts(
  model: Decoder,
  { active, without = [] }: ExpertChoice,
  labels: readonly string[] | undefined,
): void {
  const { routers } = model;
  if (active === undefined && without.length === 0) return;
  if (routers.length === 0) fail("usage", "experts: the model is dense and has none");
  for (const { spec } of routers) if (active !== undefined) checkActive(spec, active);
  for (const { layer, expert } of without) {
    const named = routers.filter((router) => layer === undefined || router.layer === layer);
    if (named.length === 0)
      fail(
        "usage",
        `experts: block ${layer} has none; the blocks that do: ${routers.map((r) => r.layer).join(", ")}`,
      );
    const least = Math.min(...named.map(({ spec }) => spec.experts));
    if (!Number.isInteger(expert) || expert < 0 || expert >= least)
      fail("usage", `experts: there is no expert ${expert}; they are 0 to ${least - 1}`);
  }
  for (const { layer, spec } of routers) {
    const gone = new Set(without.filter((one) => (one.layer ?? layer) === layer).map(({ expert }) => expert));
    if (gone.size > 0) checkLeft(spec, layer, gone, labels);
  }
}

/** Throws "usage" where a token of the request would have no expert left in a block. */
function checkLeft(
  { select, experts, gate }: RoutingSpec,
  layer: number,
  gone: ReadonlySet<number>,
  labels: readonly string[] | undefined,
): void {
  const everyone = Array.from({ length: experts }, (_, e) => e);
  if (select.by !== "token" && select.by !== "label")
    fail("usage", `experts: block ${layer} selects by ${select.by}, where none can be left out`);
  if (gate.kind === "hash")
    fail("usage", `experts: block ${layer} fixes each token's experts by a hash, where none can be left out`);
  if (everyone.every((expert) => gone.has(expert)))
    fail("usage", `experts: none of block ${layer}'s ${experts} is left`);
  if (select.by !== "label") return;
  for (const label of new Set(labels))
    if (select.table[label].every((expert) => gone.has(expert)))
      fail(
        "usage",
        `experts: without ${[...gone].join(", ")} none of block ${layer} is left for tokens labelled ${JSON.stringify(label)}, which take ${select.table[label].join(", ")}`,
      );
}
