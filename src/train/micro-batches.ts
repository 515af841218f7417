/**
 * The micro-batches of a step: their tensors, and the sums that routers' losses take over all of them.
 *
 * T = B*S tokens a micro-batch, E experts.
 */
import { asPartOf, type LayerPool, type TokenLabels } from "../moe/index.ts";
import { addInto, type Device, full, keep, type Tensor, tensor } from "../tensor/index.ts";
import { type Batch, ofDomains } from "./data.ts";

/** What a pass reads of a batch, on the device. Written anew for each, so that a recorded pass reads the next. */
export class BatchTensors {
  readonly ids_BS: Tensor;
  readonly targets_T: Tensor;
  /** Each token's domain. */
  readonly labels: TokenLabels;
  /** f32 [T]; null: no capacity asks for it. */
  readonly priority_T: Tensor | null;
  private readonly priorities: readonly number[] | null;

  /** `priorities`: a number for each domain. */
  constructor(
    device: Device,
    batch: Batch,
    domains: readonly string[],
    priorities: readonly number[] | null,
  ) {
    this.priorities = priorities;
    this.ids_BS = tensor(device, batch.inputs, [batch.batch, batch.sequence]);
    this.targets_T = tensor(device, batch.targets);
    this.labels = { names: domains, ids_T: tensor(device, domainIds(batch)) };
    this.priority_T = priorities ? tensor(device, prioritiesOf(batch, priorities)) : null;
  }

  write(batch: Batch): void {
    this.ids_BS.write(batch.inputs);
    this.targets_T.write(batch.targets);
    this.labels.ids_T.write(domainIds(batch));
    if (this.priority_T && this.priorities) this.priority_T.write(prioritiesOf(batch, this.priorities));
  }

  dispose(): void {
    for (const one of [this.ids_BS, this.targets_T, this.labels.ids_T, this.priority_T]) one?.dispose();
  }
}

function domainIds(batch: Batch): Int32Array<ArrayBuffer> {
  return Int32Array.from(ofDomains(batch, (domain) => domain));
}

function prioritiesOf(batch: Batch, priorities: readonly number[]): Float32Array<ArrayBuffer> {
  return Float32Array.from(ofDomains(batch, (domain) => priorities[domain]));
}

/** Sums that one pass found, by layer and name. */
export type PassSums = ReadonlyMap<string, Tensor>;

/** Sums over the micro-batches of a step: added up in a first pass over each, used in the second (see {@link LayerPool}). */
export class StepSums {
  private readonly parts: number;
  private readonly totals = new Map<string, Tensor>();

  constructor(parts: number) {
    this.parts = parts;
  }

  /** Begins a step. */
  clear(): void {
    for (const total of this.totals.values())
      total.device.kernels.run.fill({ out: total.buf, n: total.size, value: 0 });
  }

  /** Adds what a pass with {@link gathering} found. */
  add(found: PassSums): void {
    for (const [key, sum] of found) {
      if (!this.totals.has(key)) this.totals.set(key, keep(full(sum.device, sum.shape, 0)));
      addInto(this.totals.get(key)!, sum.view(sum.shape));
    }
  }

  /** Pools that note the sums of a pass in `found`, which the caller disposes of. */
  gathering(found: Map<string, Tensor>): (layer: number) => LayerPool {
    return this.pools((key, local) => {
      found.set(key, keep(local.view(local.shape))); // beyond the scope of its layer
      return local;
    });
  }

  /** Pools that give the totals. */
  readonly using: (layer: number) => LayerPool = this.pools((key, local) =>
    asPartOf(this.totals.get(key)!, local),
  );

  dispose(): void {
    for (const total of this.totals.values()) total.dispose();
    this.totals.clear();
  }

  private pools(sum: (key: string, local: Tensor) => Tensor): (layer: number) => LayerPool {
    return (layer) => ({
      parts: this.parts,
      sum: (name, local) => sum(`${layer}.${name}`, local),
    });
  }
}
