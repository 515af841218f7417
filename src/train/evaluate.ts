/** Held-out evaluation: bits per byte, by domain, and where the routers sent the tokens. T tokens of a batch. */

import type { Decoder } from "../models/index.ts";
import { measureRoute, type RouteFigures, routeFigures } from "../moe/index.ts";
import { context, crossEntropy, type Device, type Precision, scope, tensor } from "../tensor/index.ts";
import { type Batch, batched, bitsPerByte, heldOutWindows, labelsOf, type TokenCorpus } from "./data.ts";
import { type EvaluatedLayer, LoadSum } from "./load.ts";
import { pause } from "./pause.ts";

export interface DomainFigures {
  readonly domain: string;
  readonly bitsPerByte: number;
  readonly tokens: number;
  readonly bytes: number;
}

/** What a model makes of held-out text. Every number follows from the weights and the text alone. */
export interface Evaluation {
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
  for (const batch of batched(
    heldOut,
    heldOutWindows(heldOut, options.sequence, options.limit),
    options.batch,
  )) {
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
  const total = (key: "nats" | "tokens" | "bytes"): number => sums.reduce((all, sum) => all + sum[key], 0);
  return {
    bitsPerByte: bitsPerByte(total("nats"), total("bytes")),
    loss: total("nats") / total("tokens"),
    tokens: total("tokens"),
    bytes: total("bytes"),
    domains: sums
      .filter(({ tokens }) => tokens > 0)
      .map(({ domain, nats, tokens, bytes }) => ({
        domain,
        bitsPerByte: bitsPerByte(nats, bytes),
        tokens,
        bytes,
      })),
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
