import { type Device, type Replay, type Tensor, tensor } from "../tensor/index.ts";
import type { Batch } from "./data.ts";

/** A batch on the device. */
export interface BatchTensors {
  readonly ids_BS: Tensor;
  readonly targets_T: Tensor;
}

/**
 * What a recorded pass works on stays its own, also while others evaluate. Above this many bytes its kernels take so long that the
 * JavaScript between them does not matter (docs/log.md).
 */
const mostBytes = 256 * 2 ** 20;
/** Recording is given up after as many passes that cannot be done again: noise is drawn by JavaScript, places under a capacity given. */
const mostFailures = 3;

/** Passes over batches of one shape, the same kernels each time: recorded where they can be, and then done again without JavaScript. */
export class RepeatedPass<T> {
  private readonly device: Device;
  private readonly disposeOf: (result: T) => void;
  private recorded: { readonly replay: Replay; readonly batch: BatchTensors; readonly result: T } | null =
    null;
  private failures = 0;

  /** `disposeOf` gives a result's memory back. */
  constructor(device: Device, disposeOf: (result: T) => void) {
    this.device = device;
    this.disposeOf = disposeOf;
  }

  /** What `compute` makes of the batch; give it to {@link release} when it was read. */
  run(host: Batch, compute: (batch: BatchTensors) => T): T {
    const { recorded } = this;
    if (recorded?.replay.usable) {
      recorded.batch.ids_BS.write(host.inputs);
      recorded.batch.targets_T.write(host.targets);
      recorded.replay.run();
      return recorded.result;
    }
    this.forget();
    const batch = batchTensors(this.device, host);
    try {
      return this.failures < mostFailures ? this.record(batch, compute) : compute(batch);
    } finally {
      if (!this.recorded) disposeBatch(batch);
    }
  }

  release(result: T): void {
    if (result !== this.recorded?.result) this.disposeOf(result);
  }

  dispose(): void {
    this.forget();
  }

  private record(batch: BatchTensors, compute: (batch: BatchTensors) => T): T {
    const { result, replay } = this.device.record(() => compute(batch));
    if (!replay) this.failures++;
    else if (replay.bytes > mostBytes) this.failures = mostFailures;
    else this.recorded = { replay, batch, result };
    if (!this.recorded) replay?.dispose();
    return result;
  }

  private forget(): void {
    const { recorded } = this;
    this.recorded = null;
    if (!recorded) return;
    recorded.replay.dispose();
    disposeBatch(recorded.batch);
    this.disposeOf(recorded.result);
  }
}

export function batchTensors(device: Device, { inputs, targets, batch, sequence }: Batch): BatchTensors {
  return { ids_BS: tensor(device, inputs, [batch, sequence]), targets_T: tensor(device, targets) };
}

function disposeBatch({ ids_BS, targets_T }: BatchTensors): void {
  ids_BS.dispose();
  targets_T.dispose();
}
