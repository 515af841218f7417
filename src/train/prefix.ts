/**
 * What a model that is not causal makes of text as it would meet it: one prefix at a time. Over whole windows its routers have seen the
 * tokens that it is to predict, so its figure there is no figure of prediction.
 *
 * S tokens a window, V vocabulary.
 */
import type { Decoder } from "../models/index.ts";
import type { TokenLabels } from "../moe/index.ts";
import {
  type Context,
  context,
  crossEntropy,
  type Device,
  gatherRows,
  type Precision,
  Random,
  Repeated,
  type Seed,
  scope,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import { bitsPerByte, type TokenCorpus, type Window } from "./data.ts";
import { pause } from "./pause.ts";

/** Positions that a run's figures are taken over; all of them where the text has fewer. */
export const prefixPositions = 2000;

/** Figures over positions drawn with the run's seed, each read from the start of its window up to it and no further. */
export interface PrefixFigures {
  readonly prefixBitsPerByte: number;
  /** Of prefixBitsPerByte, over the draw of the positions. */
  readonly prefixStandardError: number;
  /** Nats a token. */
  readonly prefixLoss: number;
  readonly prefixPositions: number;
}

/** The inputs of a window up to `offset`, from which the token after it is predicted. */
export interface Position {
  readonly window: Window;
  readonly offset: number;
}

/** What one position costs. */
export interface PositionLoss {
  readonly stream: number;
  readonly nats: number;
  /** Of the text that the predicted token stands for. */
  readonly bytes: number;
}

export interface PrefixOptions {
  readonly device: Device;
  readonly precision: Precision;
}

/** `count` different positions of `windows`, all with the same chance, in order; all of them where there are no more. */
export function drawPositions(windows: readonly Window[], count: number, seed: Seed): Position[] {
  const total = windows.reduce((sum, { length }) => sum + length, 0);
  const chosen = total <= count ? Array.from({ length: total }, (_, i) => i) : draw(total, count, seed);
  const positions: Position[] = [];
  let index = 0;
  let start = 0;
  for (const place of chosen) {
    while (place >= start + windows[index].length) start += windows[index++].length;
    positions.push({ window: windows[index], offset: place - start });
  }
  return positions;
}

/** `count` different whole numbers below `total`, rising (Floyd's algorithm, Bentley & Floyd 1987). */
function draw(total: number, count: number, seed: Seed): number[] {
  const random = new Random(seed, "prefixes");
  const chosen = new Set<number>();
  for (let last = total - count; last < total; last++) {
    const place = random.integer(last + 1);
    chosen.add(chosen.has(place) ? last : place);
  }
  return [...chosen].sort((a, b) => a - b);
}

/** The loss at each position, in any order. A causal model reads all those of a window at once, another a prefix for each. */
export async function prefixLosses(
  model: Decoder,
  corpus: TokenCorpus,
  positions: readonly Position[],
  options: PrefixOptions,
): Promise<PositionLoss[]> {
  const causal = model.causality === "causal";
  const sameShape = causal
    ? groupBy(positions, ({ window }) => window)
    : groupBy(positions, ({ offset }) => offset);
  const losses: PositionLoss[] = [];
  for (const group of sameShape.values()) {
    // Of a window whose positions are read at once, or of the prefixes of one length, one by one.
    const passes = causal ? [group] : group.map((position) => [position]);
    const reader = new PrefixReader(
      model,
      corpus,
      passes[0].map(({ offset }) => offset),
      options,
    );
    for (const { window } of passes.map(([first]) => first)) losses.push(...(await reader.read(window)));
    reader.dispose();
    await pause();
  }
  return losses;
}

function groupBy<K>(positions: readonly Position[], keyOf: (position: Position) => K): Map<K, Position[]> {
  const groups = new Map<K, Position[]>();
  for (const position of positions) {
    const key = keyOf(position);
    const group = groups.get(key);
    if (group) group.push(position);
    else groups.set(key, [position]);
  }
  return groups;
}

/** Reads windows up to the last of some offsets, for the losses there: the same pass each time, which is recorded. N offsets. */
class PrefixReader {
  private readonly model: Decoder;
  private readonly corpus: TokenCorpus;
  private readonly offsets: readonly number[];
  private readonly ctx: Context;
  private readonly length: number;
  private readonly ids_BS: Tensor;
  private readonly targets_N: Tensor;
  private readonly offsets_N: Tensor;
  private readonly labels: TokenLabels;
  private readonly pass: Repeated<Tensor>;

  constructor(
    model: Decoder,
    corpus: TokenCorpus,
    offsets: readonly number[],
    { device, precision }: PrefixOptions,
  ) {
    this.model = model;
    this.corpus = corpus;
    this.offsets = offsets;
    this.ctx = context({ precision });
    this.length = offsets[offsets.length - 1] + 1;
    this.ids_BS = tensor(device, new Int32Array(this.length), [1, this.length]);
    this.targets_N = tensor(device, new Int32Array(offsets.length));
    this.offsets_N = tensor(device, Int32Array.from(offsets));
    const names = corpus.heldOut.map(({ domain }) => domain);
    this.labels = { names, ids_T: tensor(device, new Int32Array(this.length)) };
    this.pass = new Repeated(device, { disposeOf: (loss_N) => loss_N.dispose() });
  }

  async read({ stream, start }: Window): Promise<PositionLoss[]> {
    const { ids } = this.corpus.heldOut[stream];
    const targets = Int32Array.from(this.offsets, (offset) => ids[start + offset + 1]);
    this.ids_BS.write(ids.slice(start, start + this.length));
    this.targets_N.write(targets);
    this.labels.ids_T.write(new Int32Array(this.length).fill(stream));
    const loss_N = this.pass.run(() => this.losses());
    const nats = await loss_N.data();
    this.pass.release(loss_N);
    return Array.from(targets, (target, n) => ({
      stream,
      nats: nats[n],
      bytes: this.corpus.tokenBytes[target],
    }));
  }

  dispose(): void {
    this.pass.dispose();
    for (const one of [this.ids_BS, this.targets_N, this.offsets_N, this.labels.ids_T]) one.dispose();
  }

  private losses(): Tensor {
    return scope(() => {
      const { x_TD } = this.model.hidden(this.ids_BS, this.ctx, { labels: this.labels });
      const logits_NV = this.model.logits(gatherRows(x_TD, this.offsets_N), this.ctx);
      return crossEntropy(logits_NV, this.targets_N);
    });
  }
}

/**
 * The figures of a sample that is `share` of all positions: sums over sums, with the standard error of that ratio, 0 where all were read (Cochran
 * 1977, section 6.4).
 */
export function prefixFigures(losses: readonly PositionLoss[], share: number): PrefixFigures {
  const count = losses.length;
  const nats = losses.reduce((sum, loss) => sum + loss.nats, 0);
  const bytes = losses.reduce((sum, loss) => sum + loss.bytes, 0);
  const ratio = nats / bytes;
  const squares = losses.reduce((sum, loss) => sum + (loss.nats - ratio * loss.bytes) ** 2, 0);
  const error = Math.sqrt(((1 - share) * squares) / Math.max(1, count * (count - 1))) / (bytes / count);
  return {
    prefixBitsPerByte: bitsPerByte(nats, bytes),
    prefixStandardError: bitsPerByte(error, 1),
    prefixLoss: nats / count,
    prefixPositions: count,
  };
}
