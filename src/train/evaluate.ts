/** Held-out evaluation: bits per byte, by domain, and where the routers sent the tokens. T tokens of a batch. */

import type { Decoder } from "../models/index.ts";
import { type Causality, measureRoute, type RouteFigures, routeFigures } from "../moe/index.ts";
import {
  context,
  crossEntropy,
  type Device,
  type Precision,
  type Seed,
  scope,
  tensor,
} from "../tensor/index.ts";
import { type Batch, batched, bitsPerByte, heldOutWindows, labelsOf, type TokenCorpus } from "./data.ts";
import { type EvaluatedLayer, LoadSum } from "./load.ts";
import { pause } from "./pause.ts";
import {
  drawPositions,
  type PositionLoss,
  type PrefixFigures,
  prefixFigures,
  prefixLosses,
} from "./prefix.ts";

export interface DomainFigures extends Partial<PrefixFigures> {
  readonly domain: string;
  readonly bitsPerByte: number;
  readonly tokens: number;
  readonly bytes: number;
}

/**
 * What a model makes of held-out text. Every number follows from the weights, the text and the seed alone. Where a mixture is not causal, the
 * figures over whole windows have seen the answer, and those from prefixes ({@link PrefixFigures}) stand beside them, for its twin too.
 */
export interface Evaluation extends Partial<PrefixFigures> {
  /** What the model's logits at a token depend on. */
  readonly causality: Causality;
  /** Bits that a byte of text costs: total nats / ln 2 / bytes of the text that the predicted tokens stand for. */
  readonly bitsPerByte: number;
  /** Nats a token. */
  readonly loss: number;
  readonly tokens: number;
  readonly bytes: number;
  /** The domains that were looked at. */
  readonly domains: readonly DomainFigures[];
  /** The mixture layers. */
  readonly layers: readonly EvaluatedLayer[];
}

export interface EvaluateOptions {
  readonly device: Device;
  readonly precision: Precision;
  /** S, tokens a window. */
  readonly sequence: number;
  /** Windows at once. */
  readonly batch: number;
  /** At most this many windows, spread evenly over the text; Infinity for all of it. */
  readonly limit: number;
  /** How many positions of all the text, whatever `limit`, are read from their prefix alone, drawn with `seed`; null: none. */
  readonly prefixes?: { readonly count: number; readonly seed: Seed } | null;
}

/** The bits per byte that a model is judged by: those it needs where it does not see the answer. */
export function leadingBitsPerByte(figures: Pick<Evaluation, "bitsPerByte" | "prefixBitsPerByte">): number {
  return figures.prefixBitsPerByte ?? figures.bitsPerByte;
}

/** Evaluates `model` on the held-out part of `corpus`. */
export async function evaluate(
  model: Decoder,
  corpus: TokenCorpus,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { heldOut, tokenBytes } = corpus;
  const sums = heldOut.map(({ domain }) => ({ domain, nats: 0, tokens: 0, bytes: 0 }));
  const layers: LoadSum[] = [];
  const windows = heldOutWindows(heldOut, options.sequence, options.limit);
  for (const batch of batched(heldOut, windows, options.batch)) {
    const { nats, routes } = await evaluateBatch(model, batch, corpus, options);
    const sum = sums[batch.domains[0]];
    sum.nats += nats;
    sum.tokens += batch.targets.length;
    for (const target of batch.targets) sum.bytes += tokenBytes[target];
    routes.forEach((figures, layer) => {
      layers[layer] ??= new LoadSum(figures.experts, heldOut.length);
      layers[layer].add(batch.domains[0], figures);
    });
    await pause();
  }
  const { prefixes = null } = options;
  const everything = heldOutWindows(heldOut, options.sequence, Number.POSITIVE_INFINITY);
  const positions = prefixes ? drawPositions(everything, prefixes.count, prefixes.seed) : [];
  const share = positions.length / everything.reduce((sum, { length }) => sum + length, 0);
  const read = await prefixLosses(model, corpus, positions, options);
  const prefixesOf = (losses: readonly PositionLoss[]): Partial<PrefixFigures> =>
    losses.some(({ bytes }) => bytes > 0) ? prefixFigures(losses, share) : {};
  const total = (key: "nats" | "tokens" | "bytes"): number => sums.reduce((all, sum) => all + sum[key], 0);
  return {
    causality: model.causality,
    bitsPerByte: bitsPerByte(total("nats"), total("bytes")),
    ...prefixesOf(read),
    loss: total("nats") / total("tokens"),
    tokens: total("tokens"),
    bytes: total("bytes"),
    domains: sums.flatMap(({ domain, nats, tokens, bytes }, stream) =>
      tokens === 0
        ? []
        : [
            {
              domain,
              bitsPerByte: bitsPerByte(nats, bytes),
              ...prefixesOf(read.filter((loss) => loss.stream === stream)),
              tokens,
              bytes,
            },
          ],
    ),
    layers: layers.map((layer) => layer.figures()),
  };
}

async function evaluateBatch(
  model: Decoder,
  batch: Batch,
  corpus: TokenCorpus,
  { device, precision }: EvaluateOptions,
): Promise<{ nats: number; routes: RouteFigures[] }> {
  const made = scope(() => {
    const ids_BS = tensor(device, batch.inputs, [batch.batch, batch.sequence]);
    const { logits_TV, moe } = model.forward(ids_BS, context({ precision }), {
      labels: labelsOf(batch, corpus.heldOut),
    });
    const loss_T = crossEntropy(logits_TV, tensor(device, batch.targets));
    return { loss_T, measures: moe.map(({ route }) => measureRoute(route)) };
  });
  const losses = Array.from(await made.loss_T.data());
  const routes = await Promise.all(made.measures.map(routeFigures));
  made.loss_T.dispose();
  for (const { packed } of made.measures) packed.dispose();
  return { nats: losses.reduce((sum, loss) => sum + loss, 0), routes };
}
