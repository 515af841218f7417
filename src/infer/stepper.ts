/**
 * Steps of an engine: a forward pass each, for the rows of several requests. One that writes a token in each request is the same
 * kernels every time, only their inputs differ: it is recorded, and done again without a look at the model (as CUDA graphs are used by
 * servers of language models), which on CPUs leaves the caches to the weights.
 *
 * T rows, B sequences, M pages each.
 */
import type { Decoder } from "../models/index.ts";
import type { Parameter } from "../nn/index.ts";
import {
  type Context,
  type Device,
  type PagedRows,
  type Replay,
  type Tensor,
  tensor,
  untapped,
} from "../tensor/index.ts";
import { type PagedCache, pagedRows, type RowPlaces, type SequenceRows } from "./cache.ts";
import {
  computeStep,
  deviceOf,
  disposeOutputs,
  readStep,
  type StepOutputs,
  type StepResult,
  type StepRows,
  type StepWishes,
} from "./step.ts";

/** Recorded steps that are kept: batches of other sizes come and go. */
const mostRecorded = 8;
/** Recording is given up after as many steps, one after the other, that cannot be done again. */
const mostFailures = 3;

/** A step with the tensors that it reads and gives; without a replay it is done once. */
interface Step {
  readonly ids_T: Tensor;
  readonly places: PagedRows;
  /** See {@link StepInputs}. */
  readonly inverse_N1: Tensor | null;
  /** Null where no row is sampled from. */
  readonly outputs: StepOutputs | null;
  readonly replay: Replay | null;
}

/** What a step is about. */
interface StepWork {
  readonly rows: readonly StepRows[];
  readonly ids: Int32Array<ArrayBuffer>;
  readonly places: RowPlaces;
  readonly wishes: StepWishes;
}

export class Stepper {
  private readonly model: Decoder;
  private readonly cache: PagedCache;
  private readonly ctx: Context;
  private readonly device: Device;
  /** By what makes steps different; longest unused first. */
  private readonly recorded = new Map<string, Step>();
  private failures = 0;
  /** Those with pieces that are made when they are needed, as a step that is done again does not. */
  private partial: readonly Parameter[];

  constructor(model: Decoder, cache: PagedCache, ctx: Context) {
    this.model = model;
    this.cache = cache;
    this.ctx = ctx;
    this.device = deviceOf(model);
    this.partial = [...model.tensors()].map(([, parameter]) => parameter);
  }

  /** Runs the rows of each sequence, in their order; a result for each request that is sampled from. */
  async run(
    rows: readonly StepRows[],
    sequences: readonly SequenceRows[],
    wishes: StepWishes,
  ): Promise<StepResult[]> {
    const ids = Int32Array.from(rows.flatMap((row) => row.ids));
    const work = { rows, ids, places: this.cache.place(sequences), wishes };
    const step = this.repeats(rows) ? this.again(work) : this.first(work, false);
    try {
      return step.outputs ? await readStep(step.outputs, rows) : [];
    } finally {
      if (!step.replay) disposeStep(step);
    }
  }

  dispose(): void {
    for (const key of [...this.recorded.keys()]) this.forget(key);
  }

  /** Whether the step comes again: a token of each request, and nothing that JavaScript has to see, decide or make. */
  private repeats(rows: readonly StepRows[]): boolean {
    if (
      this.failures >= mostFailures ||
      this.ctx.tap !== untapped ||
      !rows.every(({ ids, sampled, labels, experts }) => ids.length === 1 && sampled && !labels && !experts)
    )
      return false;
    this.partial = this.partial.filter((parameter) => parameter.isPartial);
    return this.partial.length === 0;
  }

  private again(work: StepWork): Step {
    const { rows, ids, places, wishes } = work;
    const key = [rows.length, places.pagesEach, wishes.logits, wishes.totals, wishes.routes].join();
    const known = this.recorded.get(key);
    this.recorded.delete(key);
    if (known?.replay?.usable) {
      this.recorded.set(key, known);
      known.ids_T.write(ids);
      known.places.pages_BM.write(places.pages);
      known.places.sequence_T.write(places.sequence);
      known.places.position_T.write(places.position);
      known.inverse_N1?.write(inverseTemperatures(rows));
      known.replay.run();
      return known;
    }
    if (known) disposeStep(known);
    const step = this.first(work, true);
    this.failures = step.replay ? 0 : this.failures + 1;
    if (step.replay) {
      const [oldest] = this.recorded.keys();
      if (this.recorded.size === mostRecorded) this.forget(oldest);
      this.recorded.set(key, step);
    }
    return step;
  }

  /** Runs a step; `recorded`: so that it can be done again, if it can. */
  private first({ rows, ids, places, wishes }: StepWork, recorded: boolean): Step {
    const { model, cache, ctx, device } = this;
    const inverse = wishes.totals ? inverseTemperatures(rows) : [];
    const inputs = {
      ids_T: tensor(device, ids),
      places: pagedRows(device, places),
      inverse_N1: inverse.length > 0 ? tensor(device, inverse, [inverse.length, 1]) : null,
    };
    // Later steps stand at later positions, as far as the pages reach.
    const reach = Math.min(places.pagesEach * cache.pageSize, model.config.maxPositions);
    const pass = cache.passAt(inputs.places, recorded ? reach : places.end);
    const compute = () => computeStep(model, { ...inputs, pass, rows }, ctx, wishes);
    try {
      if (!recorded) return { ...inputs, outputs: compute(), replay: null };
      const { result, replay } = device.record(compute);
      return { ...inputs, outputs: result, replay };
    } catch (error) {
      disposeStep({ ...inputs, outputs: null, replay: null });
      throw error;
    }
  }

  private forget(key: string): void {
    const step = this.recorded.get(key);
    this.recorded.delete(key);
    if (step) disposeStep(step);
  }
}

function inverseTemperatures(rows: readonly StepRows[]): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    rows.filter(({ sampled }) => sampled),
    ({ temperature }) => 1 / temperature,
  );
}

function disposeStep({ ids_T, places, inverse_N1, outputs, replay }: Step): void {
  for (const input of [ids_T, places.pages_BM, places.sequence_T, places.position_T, inverse_N1])
    input?.dispose();
  if (outputs) disposeOutputs(outputs);
  replay?.dispose();
}
