/** One model in training: its weights, optimizer and batches. T = B*S tokens a step. */
import type { Decoder } from "../models/index.ts";
import {
  choiceCounts,
  type LossName,
  layerFigures,
  measureRoute,
  type RouteLosses,
  type RouteMeasure,
  routeFigures,
} from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import {
  add,
  affine,
  type Context,
  context,
  crossEntropy,
  type Device,
  Draws,
  mean,
  Repeated,
  scope,
  Tape,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import type { TrainConfig } from "./config.ts";
import { type Batch, checkIds, labelsOf, type TokenCorpus, trainingBatch } from "./data.ts";
import { nonFinitePlace } from "./diagnose.ts";
import type { StepRecord } from "./events.ts";
import { AdamW } from "./optimizer.ts";
import { learningRate } from "./schedule.ts";

/** A step whose loss or gradient is not a number. The weights are still those before it. */
export class Divergence extends Error {}

interface Losses {
  /** Mean cross-entropy, nats a token. */
  readonly loss: Tensor;
  /** With the routers' losses: what is minimised. */
  readonly total: Tensor;
  readonly routes: readonly RouteLoad[];
}

/** With the gradients in the arena. */
interface Pass extends Losses {
  readonly squaredNorm: Tensor;
}

interface RouteLoad {
  readonly measure: RouteMeasure;
  /** i32 [E], in token choice: what the selection bias moves by. */
  readonly counts_E: Tensor | null;
  readonly losses: RouteLosses;
}

/** A batch on the device. */
interface BatchTensors {
  readonly ids_BS: Tensor;
  readonly targets_T: Tensor;
}

function batchTensors(device: Device, { inputs, targets, batch, sequence }: Batch): BatchTensors {
  return { ids_BS: tensor(device, inputs, [batch, sequence]), targets_T: tensor(device, targets) };
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
  private readonly pass: Repeated<Pass>;

  /** Gives `model` memory on `device` and its first weights. Error "data" where the corpus holds ids that it does not know. */
  constructor(model: Decoder, config: TrainConfig, corpus: TokenCorpus, device: Device) {
    checkIds(corpus, model.config.vocabulary);
    this.model = model;
    this.config = config;
    this.corpus = corpus;
    this.device = device;
    this.draws = new Draws(device, config.seed);
    this.pass = new Repeated(device, { disposeOf: disposePass, mostBytes });
    this.optimizer = new AdamW(materialise(model, device, config.seed), config.optimizer);
  }

  /** Does step `step` (from 1) and returns its figures. Throws {@link Divergence} before any weight is touched. */
  async step(step: number): Promise<StepRecord> {
    const { optimizer } = this;
    const host = this.batchOf(step);
    const batch = this.loaded(host);
    this.draws.set(step);
    const pass = this.pass.run(() =>
      scope(() => {
        optimizer.arena.clearGradients();
        const tape = new Tape();
        const losses = tape.run(() => this.lossesOf(batch, host, this.context()));
        tape.backward(losses.total);
        return { ...losses, squaredNorm: optimizer.squaredNorm() };
      }),
    );
    try {
      return await this.learn(step, pass);
    } finally {
      this.pass.release(pass);
    }
  }

  /** Moves the weights by the gradients of `pass`. */
  private async learn(step: number, pass: Pass): Promise<StepRecord> {
    const { config, optimizer } = this;
    const loss = await pass.loss.item();
    const gradNorm = Math.sqrt(await pass.squaredNorm.item());
    if (!Number.isFinite(loss)) throw await this.divergence(step, `the loss is ${loss}`);
    if (!Number.isFinite(gradNorm)) throw await this.divergence(step, "the gradient is not finite");
    const lr = learningRate(step, config.optimizer, config.steps);
    optimizer.update(step, lr, pass.squaredNorm);
    scope(() => {
      this.model.routers.forEach((router, i) => {
        const { counts_E } = pass.routes[i];
        if (counts_E) router.bias?.update(counts_E);
      });
    });
    const figures = await Promise.all(pass.routes.map(({ measure }) => routeFigures(measure)));
    const losses = await meanParts(pass.routes.map((route) => route.losses));
    return { step, loss, lr, gradNorm, losses, layers: figures.map((layer) => layerFigures([layer])) };
  }

  /** Gives the memory of weights and optimizer back. */
  dispose(): void {
    this.pass.dispose();
    this.batch?.ids_BS.dispose();
    this.batch?.targets_T.dispose();
    this.draws.dispose();
    this.optimizer.arena.dispose();
    this.optimizer.dispose();
  }

  /** Of the step that the draws are set to. */
  private context(): Context {
    return context({ training: true, precision: this.config.precision, draws: this.draws });
  }

  private lossesOf({ ids_BS, targets_T }: BatchTensors, host: Batch, ctx: Context): Losses {
    const { logits_TV, moe } = this.model.forward(ids_BS, ctx, {
      labels: labelsOf(host, this.corpus.train),
    });
    const loss = mean(crossEntropy(logits_TV, targets_T));
    let total = loss;
    const routes = moe.map(({ route, losses }) => {
      // A mean over layers, so that a coefficient means the same at any depth.
      if (losses.total) total = add(total, affine(losses.total, 1 / moe.length, 0));
      return {
        measure: measureRoute(route),
        counts_E: route.by === "token" ? choiceCounts(route) : null,
        losses,
      };
    });
    return { loss, total, routes };
  }

  /** `what` is not finite at `step`: with the place, if a forward pass on the step's batch or the gradient shows it. */
  async divergence(step: number, what: string): Promise<Divergence> {
    const host = this.batchOf(step);
    this.draws.set(step);
    const place = await nonFinitePlace(
      (ctx) => this.lossesOf(batchTensors(this.device, host), host, ctx),
      this.context(),
      this.optimizer.arena,
    );
    return new Divergence(place ? `${what}, first seen in ${place}` : what);
  }

  /** The tokens of `host` on the device, where those of the step before were. */
  private loaded(host: Batch): BatchTensors {
    if (!this.batch) this.batch = batchTensors(this.device, host);
    else {
      this.batch.ids_BS.write(host.inputs);
      this.batch.targets_T.write(host.targets);
    }
    return this.batch;
  }

  private batchOf(step: number): Batch {
    return trainingBatch(this.corpus.train, this.config.data, this.config.seed, step);
  }
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

function disposePass({ loss, total, routes, squaredNorm }: Pass): void {
  const ofRoutes = routes.flatMap(({ measure, counts_E, losses }) => [
    measure.packed,
    counts_E,
    losses.total,
    ...Object.values(losses.parts),
  ]);
  for (const made of [loss, total, squaredNorm, ...ofRoutes]) made?.dispose();
}
