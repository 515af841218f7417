import type { Command } from "commander";
import { fail } from "../errors.ts";
import {
  type ExpertCacheFigures,
  type GeneratedToken,
  generate,
  type TextPiece,
  textOf,
} from "../infer/index.ts";
import { context, type Seed } from "../tensor/index.ts";
import { cacheLine, expertCacheOf } from "./expert-cache.ts";
import {
  checkPrecision,
  labelFor,
  openModel,
  productPrecision,
  promptIds,
  promptOf,
  readAnew,
  remarkCausality,
  resolveModel,
} from "./model.ts";
import { Notes } from "./notes.ts";
import { openDevice } from "./options.ts";
import { grouped, printJson, remark, writeModelText } from "./output.ts";
import { samplingOf, seedFor, tellDefaults } from "./sampling.ts";
import { type ExpertCacheFlag, type SamplingFlags, usualTokens } from "./sampling-flags.ts";

interface GenerateFlags extends SamplingFlags, ExpertCacheFlag {
  readonly ids?: string;
  readonly label?: string;
  readonly precision: string;
  readonly logprobs?: number;
  readonly routes?: boolean;
  readonly json?: boolean;
}

/** Does what `conclave generate` was asked. */
export async function runGenerate(
  argument: string,
  prompt: string | undefined,
  flags: GenerateFlags,
  command: Command,
): Promise<void> {
  const { json, logprobs, routes = false } = flags;
  if (!json && (routes || logprobs !== undefined))
    fail("usage", `${routes ? "--routes" : "--logprobs"} is printed with --json`, "add --json");
  const asked = checkPrecision(flags.precision);
  const given = promptOf(argument, prompt, flags.ids);
  const path = await resolveModel(argument);
  const { device } = await openDevice(command);
  const { ids, tokenizer } = await promptIds(path, given);
  if (flags.stop && !tokenizer)
    fail("usage", "--stop: the model has no tokenizer, and so no text", "leave --stop out");
  const model = await openModel(path, device);
  const label = labelFor(model, flags.label);
  remarkCausality(model, readAnew);
  const experts = expertCacheOf(flags, model, device);
  const precision = productPrecision(asked, model);
  const ctx = context({ precision, ...(experts && { tap: experts.tap }) });
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());

  const sampling = samplingOf(flags, model, { maxTokens: usualTokens.generate, promptTokens: ids.length });
  const notes = new Notes(model);
  for (const line of model.generation.notes) notes.add(line);
  tellDefaults(sampling);
  notes.checkPositions(ids.length);

  const seed = seedFor(flags);
  const tokens = generate(model, ids, {
    ...sampling.options,
    seed,
    alternatives: logprobs,
    routes,
    labels: label === undefined ? undefined : ids.map(() => label),
    ctx,
    signal: abort.signal,
  });
  const written: GeneratedToken[] = [];
  let text = "";
  let finish: TextPiece["finish"] = null;
  let lead = prompt ?? ""; // shown with the first piece, so that nothing is where generation fails
  const began = performance.now();
  let first = began;
  for await (const piece of tokenizer ? textOf(tokens, tokenizer, sampling.stop, ids) : idsAsText(tokens)) {
    if (piece.token?.index === 0) first = performance.now();
    if (piece.token) {
      written.push(piece.token);
      notes.checkPositions(ids.length + written.length - 1); // the last is not read
    }
    text += piece.text;
    finish = piece.finish ?? finish;
    if (!json) writeModelText(lead + piece.text);
    lead = "";
  }
  const ended = performance.now();
  const finished: Finished = {
    written,
    text: tokenizer ? text : "",
    finish: finish ?? (abort.signal.aborted ? "aborted" : "max-tokens"),
    timings: {
      promptTokens: ids.length,
      promptMs: first - began,
      tokens: written.length,
      tokensMs: ended - first,
    },
    seed,
    expertCache: experts?.figures,
  };
  if (json) printJson({ ...resultOf(finished, flags), defaults: sampling.defaults, notes: notes.lines });
  else tell(finished, flags);
  if (finish === "positions") remark(`ended: the model has ${grouped(model.mostPositions)} positions`);
  if (abort.signal.aborted) process.exitCode = 130;
  device.dispose();
}

interface Finished {
  readonly written: readonly GeneratedToken[];
  readonly text: string;
  readonly finish: NonNullable<TextPiece["finish"]> | "aborted";
  readonly timings: {
    readonly promptTokens: number;
    readonly promptMs: number;
    readonly tokens: number;
    readonly tokensMs: number;
  };
  readonly seed: Seed;
  readonly expertCache: ExpertCacheFigures | undefined;
}

/** What --json prints. */
function resultOf(
  { written, text, finish, timings, seed, expertCache }: Finished,
  { logprobs, routes }: GenerateFlags,
): object {
  return {
    ids: written.map(({ id }) => id),
    text,
    finish,
    seed,
    timings,
    ...(logprobs !== undefined && {
      logprobs: written.map(({ logProbability, alternatives }) => ({ logProbability, alternatives })),
    }),
    ...(routes && { routes: written.map((token) => token.routes) }),
    ...(expertCache && { expertCache }),
  };
}

/** The line below a text. */
function tell({ timings, seed, expertCache }: Finished, flags: GenerateFlags): void {
  const { tokens, tokensMs, promptTokens, promptMs } = timings;
  process.stdout.write("\n");
  const count = tokens === 1 ? "1 token" : `${tokens} tokens`;
  const rate =
    tokens > 1 ? `, ${(((tokens - 1) / tokensMs) * 1000).toFixed(0)} tokens/s after the first` : "";
  const drawn = flags.seed === undefined && flags.temperature !== 0 ? `; --seed ${seed}` : "";
  remark(`${count}${rate}; prompt of ${promptTokens} in ${promptMs.toFixed(0)} ms${drawn}`);
  if (expertCache) remark(cacheLine(expertCache));
}

/** Ids in place of text, where there is no tokenizer: 1,2,3. */
async function* idsAsText(tokens: AsyncIterable<GeneratedToken>): AsyncGenerator<TextPiece> {
  for await (const token of tokens)
    yield { text: `${token.index > 0 ? "," : ""}${token.id}`, token, finish: token.finish };
}
