/**
 * Steps of an engine: a forward pass each, for the rows of several requests. One that writes a token in each request is the same
 * kernels every time, only their inputs differ: it is recorded, and done again without a look at the model (as CUDA graphs are used by
 * servers of language models), which on CPUs leaves the caches to the weights.
 *
 * T rows, B sequences, M pages each.
 */
import type { Decoder } from "../models/index.ts";
import type { TokenLabels } from "../moe/index.ts";
import type { Parameter } from "../nn/index.ts";
import {
  type Context,
  type Device,
  type PagedRows,
  Repeated,
  scope,
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

/** Steps that are kept: batches of other sizes come and go. */
const mostKept = 8;

/** What a step reads. */
interface StepTensors {
  readonly ids_T: Tensor;
  readonly labels: TokenLabels | null;
  readonly places: PagedRows;
  /** See {@link StepInputs}. */
  readonly inverse_N1: Tensor | null;
}

/** A step that comes again. */
interface KeptStep {
  readonly inputs: StepTensors;
  readonly pass: Repeated<StepOutputs | null>;
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
  private readonly kept = new Map<string, KeptStep>();
  /** The labels that all of its routers know; null where none routes by label. */
  private readonly labelNames: readonly string[] | null;
  /** Those with pieces that are made when they are needed, as a step that is done again does not. */
  private partial: readonly Parameter[];

  constructor(model: Decoder, cache: PagedCache, ctx: Context) {
    this.model = model;
    this.cache = cache;
    this.ctx = ctx;
    this.device = deviceOf(model);
    this.labelNames = commonLabels(model);
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
    return await (this.comesAgain(rows) ? this.again(work) : this.once(work));
  }

  /** After a step that failed: waits for what it had called, and what that has to say is said to nobody. */
  settle(): void {
    try {
      this.device.kernels.finish();
    } catch {
      // The step's own error is the one that is told.
    }
  }

  dispose(): void {
    for (const key of [...this.kept.keys()]) this.forget(key);
  }

  /** Whether the step comes again: a token of each request, and nothing that JavaScript has to see, decide or make. */
  private comesAgain(rows: readonly StepRows[]): boolean {
    if (
      this.ctx.tap !== untapped ||
      !rows.every(({ ids, sampled, experts }) => ids.length === 1 && sampled && !experts)
    )
      return false;
    this.partial = this.partial.filter((parameter) => parameter.isPartial);
    return this.partial.length === 0;
  }

  private async once(work: StepWork): Promise<StepResult[]> {
    const inputs = stepTensors(this.device, work, this.labelNames);
    try {
      const outputs = this.compute(inputs, work, work.places.end);
      if (!outputs) {
        // Kernels run later than they are called: what they have to say is said in this step, not in the next one's.
        this.device.kernels.finish();
        return [];
      }
      try {
        return await readStep(outputs, work.rows);
      } finally {
        disposeOutputs(outputs);
      }
    } finally {
      disposeTensors(inputs);
    }
  }

  private async again(work: StepWork): Promise<StepResult[]> {
    const { inputs, pass } = this.keptFor(work);
    // Later steps stand at later positions, as far as the pages reach.
    const reach = Math.min(work.places.pagesEach * this.cache.pageSize, this.model.mostPositions);
    const outputs = pass.run(() => this.compute(inputs, work, reach));
    try {
      return outputs ? await readStep(outputs, work.rows) : [];
    } finally {
      pass.release(outputs);
    }
  }

  private compute(
    { places, ...inputs }: StepTensors,
    { rows, wishes }: StepWork,
    end: number,
  ): StepOutputs | null {
    const pass = this.cache.passAt(places, end);
    return computeStep(this.model, { ...inputs, pass, rows }, this.ctx, wishes);
  }

  /** The step of its kind, with the inputs of this one. */
  private keptFor(work: StepWork): KeptStep {
    const { rows, places, wishes } = work;
    const key = [rows.length, places.pagesEach, wishes.logits, wishes.totals, wishes.routes].join();
    const known = this.kept.get(key);
    const step = known ?? {
      inputs: stepTensors(this.device, work, this.labelNames),
      pass: new Repeated<StepOutputs | null>(this.device, {
        disposeOf: (made) => made && disposeOutputs(made),
      }),
    };
    if (known) writeTensors(known.inputs, work);
    this.kept.delete(key);
    const [oldest] = this.kept.keys();
    if (this.kept.size === mostKept) this.forget(oldest);
    this.kept.set(key, step);
    return step;
  }

  private forget(key: string): void {
    const { inputs, pass } = this.kept.get(key)!;
    this.kept.delete(key);
    pass.dispose();
    disposeTensors(inputs);
  }
}

/** Of a model with several tables, the labels that each of them has: the only ones that a request may give. */
function commonLabels({ routers }: Decoder): readonly string[] | null {
  const tables = routers.flatMap(({ spec: { select } }) => (select.by === "label" ? [select.table] : []));
  if (tables.length === 0) return null;
  return Object.keys(tables[0]).filter((label) => tables.every((table) => Object.hasOwn(table, label)));
}

function labelIds(rows: readonly StepRows[], names: readonly string[]): Int32Array<ArrayBuffer> {
  return Int32Array.from(
    rows.flatMap(({ labels }) => labels ?? []),
    (label) => names.indexOf(label),
  );
}

function stepTensors(
  device: Device,
  { rows, ids, places, wishes }: StepWork,
  labelNames: readonly string[] | null,
): StepTensors {
  const inverse = wishes.totals ? inverseTemperatures(rows) : [];
  // In a scope, so that where memory ends the tensors made before are freed.
  return scope(() => ({
    ids_T: tensor(device, ids),
    labels: labelNames && { names: labelNames, ids_T: tensor(device, labelIds(rows, labelNames)) },
    places: pagedRows(device, places),
    inverse_N1: inverse.length > 0 ? tensor(device, inverse, [inverse.length, 1]) : null,
  }));
}

function writeTensors({ ids_T, labels, places, inverse_N1 }: StepTensors, work: StepWork): void {
  ids_T.write(work.ids);
  labels?.ids_T.write(labelIds(work.rows, labels.names));
  places.pages_BM.write(work.places.pages);
  places.sequence_T.write(work.places.sequence);
  places.position_T.write(work.places.position);
  inverse_N1?.write(inverseTemperatures(work.rows));
}

function disposeTensors({ ids_T, labels, places, inverse_N1 }: StepTensors): void {
  for (const input of [
    ids_T,
    labels?.ids_T,
    places.pages_BM,
    places.sequence_T,
    places.position_T,
    inverse_N1,
  ])
    input?.dispose();
}

function inverseTemperatures(rows: readonly StepRows[]): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    rows.filter(({ sampled }) => sampled),
    ({ temperature }) => 1 / temperature,
  );
}
