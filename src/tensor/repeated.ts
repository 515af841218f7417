import type { Device } from "./device.ts";
import type { Replay } from "./replay.ts";

/** Recording is given up after as many tries, one after the other: what JavaScript has to see, decide or make, it will the next time. */
const mostFailures = 3;

export interface RepeatedOptions<T> {
  /** Gives a result's memory back. */
  readonly disposeOf: (result: T) => void;
  /** A replay that would keep more than this for itself is done without; default: no limit. */
  readonly mostBytes?: number;
}

/**
 * Work that is done over and over on the same tensors, whose contents change: recorded where it can be ({@link Device.record}), and done
 * again without JavaScript from then on.
 */
export class Repeated<T> {
  private readonly device: Device;
  private readonly options: RepeatedOptions<T>;
  private recorded: { readonly replay: Replay; readonly result: T } | null = null;
  private failures = 0;

  constructor(device: Device, options: RepeatedOptions<T>) {
    this.device = device;
    this.options = options;
  }

  /** What `work`, the same each time, makes of its tensors as they are now. Give it to {@link release} when it was read. */
  run(work: () => T): T {
    const { recorded } = this;
    if (recorded?.replay.usable) {
      recorded.replay.run();
      return recorded.result;
    }
    this.dispose();
    return this.failures < mostFailures ? this.record(work) : work();
  }

  release(result: T): void {
    if (result !== this.recorded?.result) this.options.disposeOf(result);
  }

  dispose(): void {
    const { recorded } = this;
    this.recorded = null;
    if (!recorded) return;
    recorded.replay.dispose();
    this.options.disposeOf(recorded.result);
  }

  private record(work: () => T): T {
    const { mostBytes = Number.POSITIVE_INFINITY } = this.options;
    const { result, replay } = this.device.record(work);
    if (replay && replay.bytes <= mostBytes) {
      this.recorded = { replay, result };
      this.failures = 0;
    } else {
      this.failures = replay ? mostFailures : this.failures + 1;
      replay?.dispose();
    }
    return result;
  }
}
