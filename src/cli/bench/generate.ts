/** `conclave bench generate`: prompt and decoding rates of a model, beside what the machine allows. */
import type { Command } from "commander";
import { fail } from "../../errors.ts";
import { Engine, type GeneratedToken, type RequestOptions } from "../../infer/index.ts";
import { type Decoder, parameterCounts, partOf } from "../../models/index.ts";
import type { Parameter } from "../../nn/index.ts";
import { byteLength, type Context, context, type Precision, Random } from "../../tensor/index.ts";
import { openModel, readAnew, remarkCausality, resolveModel } from "../model.ts";
import { openDevice } from "../options.ts";
import { bytes, grouped, print, printJson, remark, table } from "../output.ts";
import { type Machine, machineLine, measureMachine, peakGflops } from "./machine.ts";

interface GenerateFlags {
  readonly promptTokens: number;
  readonly tokens: number;
  readonly batch?: readonly number[];
  readonly runs: number;
  readonly dtype: Precision;
  readonly json?: boolean;
}

/** The best of some runs with `batch` sequences at once. */
interface BatchFigures {
  readonly batch: number;
  /** Of all sequences' prompts, until the last of them has its first token. */
  readonly promptTokensPerSecond: number;
  /** Of all sequences together, after that. */
  readonly tokensPerSecond: number;
  readonly bytesPerStep: number;
  /** What reading `bytesPerStep` at the measured rate would allow. */
  readonly boundTokensPerSecond: number;
  /** tokensPerSecond of that bound. */
  readonly shareOfBandwidth: number;
  /** The rate of the prompts' products with weights, of what products of the precision can reach. */
  readonly shareOfPeak: number;
}

/** Does what `conclave bench generate` was asked. */
export async function runBench(argument: string, flags: GenerateFlags, command: Command): Promise<void> {
  const path = await resolveModel(argument);
  const { device } = await openDevice(command);
  const began = performance.now();
  const model = await openModel(path, device);
  device.kernels.finish();
  const openMs = performance.now() - began;
  remarkCausality(model, `${readAnew}: the shares of bandwidth and peak below do not count that`);
  checkLength(model, flags);
  const machine = await measureMachine(device);
  const results: BatchFigures[] = [];
  for (const batch of flags.batch ?? [1]) {
    remark(`timing ${batch} x (${flags.promptTokens} + ${flags.tokens} tokens) ...`);
    results.push(await figuresOf(model, batch, flags, machine));
  }
  const counts = parameterCounts(model);
  const { batch: _, ...first } = results[0];
  const residentBytes = process.memoryUsage().rss;
  const about = { parameters: counts.total, active: counts.active, weightBytes: weightBytes(model) };
  if (flags.json)
    printJson({
      ...first,
      openMs,
      residentBytes,
      promptTokens: flags.promptTokens,
      tokens: flags.tokens,
      dtype: flags.dtype,
      model: about,
      machine,
      batches: results,
    });
  else {
    print(machineLine(machine));
    print(
      `${grouped(about.parameters)} parameters, ${grouped(about.active)} active, ${bytes(about.weightBytes)}; opened in ${openMs.toFixed(0)} ms, ${bytes(residentBytes)} resident\n`,
    );
    print(
      table(
        ["sequences", "prompt tokens/s", "of peak", "tokens/s", "bytes a step", "bound tokens/s", "of bound"],
        results.map((r) => [
          String(r.batch),
          r.promptTokensPerSecond.toFixed(1),
          percent(r.shareOfPeak),
          r.tokensPerSecond.toFixed(1),
          bytes(r.bytesPerStep),
          r.boundTokensPerSecond.toFixed(1),
          percent(r.shareOfBandwidth),
        ]),
      ),
    );
  }
  model.dispose();
  device.dispose();
}

function checkLength({ mostPositions }: Decoder, { promptTokens, tokens }: GenerateFlags): void {
  const last = promptTokens + tokens - 1; // the last token is not read
  if (last > mostPositions)
    fail(
      "usage",
      `--prompt-tokens and --tokens take ${last} positions; the model has ${mostPositions}`,
      "lower one of them",
    );
}

/** Of products with weights: every token passes the active ones, the last of the prompt the head too. */
function promptFlops(model: Decoder, tokens: number): number {
  const { activeWithoutEmbedding, byPart } = parameterCounts(model);
  const head = byPart[model.tied ? "embedding" : "head"].active;
  return 2 * (tokens * (activeWithoutEmbedding - head) + head);
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;

async function figuresOf(
  model: Decoder,
  batch: number,
  { promptTokens, tokens, runs, dtype }: GenerateFlags,
  machine: Machine,
): Promise<BatchFigures> {
  const prompts = Array.from({ length: batch }, (_, i) => {
    const random = new Random(i, "bench");
    return Array.from({ length: promptTokens }, () => random.integer(model.config.vocabulary));
  });
  const ctx = context({ precision: dtype });
  const options: RequestOptions = { maxTokens: tokens, eosIds: [] };
  const counted = await countExperts(model, prompts, options, ctx);
  let promptMs = Number.POSITIVE_INFINITY;
  let tokenMs = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) {
    const times = await timeRun(model, prompts, options, ctx);
    promptMs = Math.min(promptMs, times.promptMs);
    tokenMs = Math.min(tokenMs, times.tokenMs);
  }
  const bytesPerStep =
    sharedBytes(model) +
    counted.experts.reduce((sum, { layer, distinct }) => sum + distinct * expertBytes(model, layer), 0) +
    batch * (counted.cacheBytesPerPosition * (promptTokens + tokens / 2));
  const tokensPerSecond = 1000 / tokenMs;
  const boundTokensPerSecond = (batch * machine.readGBs * 1e9) / bytesPerStep;
  const promptTokensPerSecond = (1000 * batch * promptTokens) / promptMs;
  return {
    batch,
    promptTokensPerSecond,
    tokensPerSecond,
    bytesPerStep: Math.round(bytesPerStep),
    boundTokensPerSecond,
    shareOfBandwidth: tokensPerSecond / boundTokensPerSecond,
    shareOfPeak: (batch * promptFlops(model, promptTokens)) / promptMs / 1e6 / peakGflops(machine, dtype),
  };
}

/** Milliseconds until every sequence has its first token, and for each token after that. */
async function timeRun(
  model: Decoder,
  prompts: readonly (readonly number[])[],
  options: RequestOptions,
  ctx: Context,
): Promise<{ promptMs: number; tokenMs: number }> {
  const engine = new Engine(model, { ctx, maxBatch: prompts.length, ahead: options.maxTokens });
  const began = performance.now();
  let waiting = prompts.length;
  let promptsRead = began;
  let after = 0;
  await Promise.all(
    prompts.map(async (ids) => {
      for await (const { index } of engine.add(ids, options)) {
        if (waiting === 0) after++;
        else if (index === 0 && --waiting === 0) promptsRead = performance.now();
      }
    }),
  );
  const ended = performance.now();
  await engine.dispose();
  return { promptMs: promptsRead - began, tokenMs: (ended - promptsRead) / after };
}

interface Counted {
  /** For each mixture layer, the mean number of distinct experts a step of decoding takes. */
  readonly experts: readonly { readonly layer: number; readonly distinct: number }[];
  readonly cacheBytesPerPosition: number;
}

async function countExperts(
  model: Decoder,
  prompts: readonly (readonly number[])[],
  options: RequestOptions,
  ctx: Context,
): Promise<Counted> {
  const engine = new Engine(model, { ctx, maxBatch: prompts.length, ahead: options.maxTokens });
  const steps: GeneratedToken[][] = [];
  await Promise.all(
    prompts.map(async (ids) => {
      for await (const token of engine.add(ids, { ...options, routes: true })) {
        steps[token.index] ??= [];
        steps[token.index].push(token);
      }
    }),
  );
  // A page is as large in every layer; pools are doubled, so their bytes are no measure of a position.
  const cacheBytesPerPosition = engine.cacheBytesPerPosition;
  await engine.dispose();
  const decoding = steps.slice(1);
  const experts = model.routers.map(({ layer, spec }) => {
    const distinct = decoding.map((tokens) => {
      const routes = tokens.flatMap((token) => token.routes!.filter((route) => route.layer === layer));
      return routes.length > 0 ? new Set(routes.flatMap((route) => route.experts)).size : spec.experts;
    });
    return { layer, distinct: distinct.reduce((a, b) => a + b, 0) / decoding.length };
  });
  return { experts, cacheBytesPerPosition };
}

function bytesOf(parameter: Parameter): number {
  const pieces = parameter.pieces ?? [parameter.value];
  return pieces.reduce((sum, piece) => sum + byteLength(piece.shape, piece.dtype), 0);
}

function weightBytes(model: Decoder): number {
  return [...model.tensors()].reduce((sum, [, parameter]) => sum + bytesOf(parameter), 0);
}

/** What every step reads: all but the experts, and of an embedding that is not the head as good as nothing. */
function sharedBytes(model: Decoder): number {
  let sum = 0;
  for (const [name, parameter] of model.tensors()) {
    const part = partOf(name);
    if (part !== "experts" && (part !== "embedding" || model.tied)) sum += bytesOf(parameter);
  }
  return sum;
}

/** One expert of a block. */
function expertBytes(model: Decoder, layer: number): number {
  const { experts } = model.blocks[layer].moe!;
  return [...experts.tensors()].reduce((sum, [, parameter]) => sum + bytesOf(parameter), 0) / experts.count;
}
