/** One model in training: its weights, optimizer and batches. T = B*S tokens a micro-batch, E experts. */
import type { Decoder } from "../models/index.ts";
import {
  choiceCounts,
  isPooled,
  type LayerFigures,
  type LossName,
  layerFigures,
  lossNames,
  measureRoute,
  type RouteFigures,
  type RouteLosses,
  type RouteMeasure,
  routeFigures,
  weightOf,
} from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import {
  add,
  addInto,
  affine,
  type Context,
  cast,
  context,
  crossEntropy,
  type Device,
  Draws,
  full,
  keep,
  mean,
  Repeated,
  scope,
  Tape,
  type Tensor,
  withoutTape,
} from "../tensor/index.ts";
import type { TrainConfig } from "./config.ts";
import { type Batch, checkIds, splitBatch, type TokenCorpus, trainingBatch } from "./data.ts";
import { nonFinitePlace } from "./diagnose.ts";
import type { StepRecord } from "./events.ts";
import { BatchTensors, type PassSums, StepSums } from "./micro-batches.ts";
import { AdamW } from "./optimizer.ts";
import { learningRate } from "./schedule.ts";

/** A step whose loss or gradient is not a number. The weights are still those before it. */
export class Divergence extends Error {}

/** What a pass over one micro-batch leaves, with its gradients added to the arena. */
interface Pass {
  /** Mean cross-entropy, nats a token. */
  readonly loss: Tensor;
  /** What is minimised: the micro-batch's share of the step's loss, the routers' losses included. */
  readonly total: Tensor;
  readonly routes: readonly RouteLoad[];
}

interface RouteLoad {
  readonly measure: RouteMeasure;
  /** f32 [E], in token choice: what the selection bias moves by. */
  readonly counts_E: Tensor | null;
  readonly losses: RouteLosses;
}

/** A {@link Pass}, read. */
interface PassFigures {
  readonly loss: number;
  readonly layers: readonly RouteFigures[];
  readonly losses: Partial<Record<LossName, number>>;
}

/**
 * What a recorded pass works on stays its own, also while others evaluate. Above this many bytes its kernels take so long that the
 * JavaScript between them does not matter (docs/log.md).
 */
const mostBytes = 256 * 2 ** 20;

export class Learner {
  readonly model: Decoder;
  readonly optimizer: AdamW;
  private readonly config: TrainConfig;
  private readonly corpus: TokenCorpus;
  private readonly device: Device;
  private readonly draws: Draws;
  /** What a pass reads; made with the first. */
  private batch: BatchTensors | null = null;
  private readonly repeated: Repeated<Pass>;
  /** What losses are pooled by; null where a step is one micro-batch. */
  private readonly sums: StepSums | null;
  /** f32 [E] of each router: choices of the step under way, for its selection bias. */
  private readonly choices: Tensor[];

  /** Gives `model` memory on `device` and its first weights. Error "data" where the corpus holds ids that it does not know. */
  constructor(model: Decoder, config: TrainConfig, corpus: TokenCorpus, device: Device) {
    checkIds(corpus, model.config.vocabulary);
    this.model = model;
    this.config = config;
    this.corpus = corpus;
    this.device = device;
    this.draws = new Draws(device, config.seed);
    this.repeated = new Repeated(device, { disposeOf: disposePass, mostBytes });
    this.sums = config.data.accumulate > 1 ? new StepSums(config.data.accumulate) : null;
    this.optimizer = new AdamW(materialise(model, device, config.seed), config.optimizer);
    this.choices = model.routers.map(({ spec }) => keep(full(device, [spec.experts], 0)));
  }

  /** Does step `step` (from 1) and returns its figures. Throws {@link Divergence} before any weight is touched. */
  async step(step: number): Promise<StepRecord> {
    const parts = this.partsOf(step);
    this.addUpSums(step, parts);
    // In parts every gradient is added to zeros, so that the passes over all of them are the same kernels.
    if (parts.length > 1) this.optimizer.arena.zeroGradients();
    for (const one of this.choices) fillZero(one);
    const figures: PassFigures[] = [];
    for (const [part, host] of parts.entries()) {
      const batch = this.load(step, part, host);
      const pass = this.repeated.run(() => this.pass(batch, parts.length === 1));
      try {
        this.countChoices(pass);
        figures.push(await readPass(pass));
      } finally {
        this.repeated.release(pass);
      }
      const { loss } = figures[part];
      if (!Number.isFinite(loss)) throw await this.divergence(step, `the loss is ${loss}`, part);
    }
    return await this.learn(step, figures);
  }

  /** Moves the weights by the gradients of the step's micro-batches. */
  private async learn(step: number, figures: readonly PassFigures[]): Promise<StepRecord> {
    const { config, optimizer } = this;
    const squaredNorm = scope(() => optimizer.squaredNorm());
    const gradNorm = Math.sqrt(await squaredNorm.item());
    if (!Number.isFinite(gradNorm)) throw await this.divergence(step, "the gradient is not finite");
    const lr = learningRate(step, config.optimizer, config.steps);
    optimizer.update(step, lr, squaredNorm);
    squaredNorm.dispose();
    this.model.routers.forEach((router, i) => {
      router.bias?.update(this.choices[i]);
    });
    const loss = meanOf(figures.map((part) => part.loss));
    return { step, loss, lr, gradNorm, losses: meanLosses(figures), layers: figuresByLayer(figures) };
  }

  /** Gives the memory of the model and the optimizer back. */
  dispose(): void {
    this.repeated.dispose();
    this.sums?.dispose();
    this.batch?.dispose();
    this.draws.dispose();
    for (const one of this.choices) one.dispose();
    this.optimizer.arena.dispose();
    this.optimizer.dispose();
    this.model.dispose();
  }

  /**
   * A pass over every micro-batch for the sums that the losses of each take over all of them. It is not recorded: a recording would keep its
   * working memory beside that of the other.
   */
  private addUpSums(step: number, parts: readonly Batch[]): void {
    const { sums } = this;
    if (!sums || !this.poolsLosses) return;
    sums.clear();
    for (const [part, host] of parts.entries()) {
      const found = this.findSums(this.load(step, part, host), sums);
      sums.add(found);
      for (const sum of found.values()) sum.dispose();
    }
  }

  /** Whether any loss takes sums over all micro-batches. */
  private get poolsLosses(): boolean {
    const { losses } = this.config;
    const pooled = lossNames.some((name) => weightOf(losses, name) !== 0 && isPooled(name, losses));
    return pooled && this.model.routers.length > 0;
  }

  private findSums({ ids_BS, labels, priority_T }: BatchTensors, sums: StepSums): PassSums {
    return scope(() => {
      const found = new Map<string, Tensor>();
      const pool = sums.gathering(found);
      this.model.hidden(ids_BS, this.context, { labels, priority: priority_T, pool });
      return found;
    });
  }

  /** Forward and backward. `whole`: the step is this batch alone, whose gradients are written, not added. */
  private pass(batch: BatchTensors, whole: boolean): Pass {
    return scope(() => {
      if (whole) this.optimizer.arena.clearGradients();
      const tape = new Tape();
      const losses = tape.run(() => this.lossesOf(batch, this.context));
      tape.backward(losses.total);
      return losses;
    });
  }

  private get context(): Context {
    return context({ training: true, precision: this.config.precision, draws: this.draws });
  }

  private lossesOf({ ids_BS, targets_T, labels, priority_T }: BatchTensors, ctx: Context): Pass {
    const { logits_TV, moe } = this.model.forward(ids_BS, ctx, {
      labels,
      priority: priority_T,
      pool: this.sums?.using,
    });
    const loss = mean(crossEntropy(logits_TV, targets_T));
    const { accumulate } = this.config.data;
    let total = accumulate === 1 ? loss : affine(loss, 1 / accumulate, 0);
    const routes = moe.map(({ route, losses }) => {
      // A mean over layers, so that a coefficient means the same at any depth.
      if (losses.total) total = add(total, affine(losses.total, 1 / moe.length, 0));
      return {
        measure: measureRoute(route),
        counts_E: route.by === "token" ? withoutTape(() => cast(choiceCounts(route), "f32")) : null,
        losses,
      };
    });
    return { loss, total, routes };
  }

  private countChoices({ routes }: Pass): void {
    this.model.routers.forEach(({ bias }, i) => {
      const { counts_E } = routes[i];
      if (bias && counts_E) addInto(this.choices[i], counts_E.view(counts_E.shape));
    });
  }

  /** `what` is not finite at `step`: with the place, if a forward pass on a micro-batch of the step or the gradient shows it. */
  async divergence(step: number, what: string, part = 0): Promise<Divergence> {
    const host = this.partsOf(step)[part];
    const batch = this.load(step, part, host);
    const place = await nonFinitePlace(
      (ctx) => this.lossesOf(batch, ctx),
      this.context,
      this.optimizer.arena,
    );
    return new Divergence(place ? `${what}, first seen in ${place}` : what);
  }

  /** Puts a micro-batch where the one before was, and the draws where the whole batch's would be at its tokens. */
  private load(step: number, part: number, host: Batch): BatchTensors {
    this.draws.set(step, part * host.inputs.length);
    if (this.batch) this.batch.write(host);
    else {
      const { train } = this.corpus;
      const { priority } = this.config.data;
      const priorities =
        Object.keys(priority).length > 0 ? train.map(({ domain }) => priority[domain]) : null;
      const domains = train.map(({ domain }) => domain);
      this.batch = new BatchTensors(this.device, host, domains, priorities);
    }
    return this.batch;
  }

  private partsOf(step: number): Batch[] {
    const { batch, sequence, accumulate } = this.config.data;
    const size = { batch: batch * accumulate, sequence };
    return splitBatch(trainingBatch(this.corpus.train, size, this.config.seed, step), accumulate);
  }
}

async function readPass({ loss, routes }: Pass): Promise<PassFigures> {
  return {
    loss: await loss.item(),
    layers: await Promise.all(routes.map(({ measure }) => routeFigures(measure))),
    losses: await meanParts(routes.map((route) => route.losses)),
  };
}

async function meanParts(layers: readonly RouteLosses[]): Promise<Partial<Record<LossName, number>>> {
  const means: Partial<Record<LossName, number>> = {};
  for (const { parts } of layers) {
    for (const [name, part] of Object.entries(parts)) {
      means[name as LossName] = (means[name as LossName] ?? 0) + (await part.item()) / layers.length;
    }
  }
  return means;
}

/** A loss over sums is the same in every micro-batch; of the others it is the mean. */
function meanLosses(parts: readonly PassFigures[]): Partial<Record<LossName, number>> {
  const names = Object.keys(parts[0].losses) as LossName[];
  return Object.fromEntries(names.map((name) => [name, meanOf(parts.map(({ losses }) => losses[name]!))]));
}

function figuresByLayer(parts: readonly PassFigures[]): LayerFigures[] {
  return parts[0].layers.map((_, layer) => layerFigures(parts.map(({ layers }) => layers[layer])));
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function fillZero(x: Tensor): void {
  x.device.kernels.run.fill({ out: x.buf, n: x.size, value: 0 });
}

function disposePass({ loss, total, routes }: Pass): void {
  const ofRoutes = routes.flatMap(({ measure, counts_E, losses }) => [
    measure.packed,
    counts_E,
    losses.total,
    ...Object.values(losses.parts),
  ]);
  for (const made of [loss, total, ...ofRoutes]) made?.dispose();
}
