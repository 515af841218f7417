import { fail } from "../errors.ts";
import type { Storage } from "./abi.ts";
import type { Recording } from "./kernels.ts";
import type { Linear } from "./linear.ts";

/** A kernel call as its arguments stood in the slots. */
interface Call {
  readonly kernel: number;
  readonly slots: Float64Array;
  readonly list: number;
}

/** What a recording under way has noted. */
interface Notes {
  readonly calls: Call[];
  readonly storages: Set<Storage>;
}

/** What a host of compiled kernels needs besides, to have its calls recorded. */
export interface RecordableHost extends Linear {
  /** How often memory was read or written from outside the kernels. */
  looks(): number;
}

/**
 * Stands before a host, and notes the calls that pass while it records. A recording holds addresses, so that nothing of what led to
 * the calls is done when they are made again.
 */
export class Recorder implements Linear {
  readonly slotsAddress: number;
  private readonly host: RecordableHost;
  private notes: Notes | null = null;

  constructor(host: RecordableHost) {
    this.host = host;
    this.slotsAddress = host.slotsAddress;
  }

  /** See {@link Kernels.record}. */
  record(body: () => void): Recording | null {
    const { host } = this;
    if (this.notes) fail("state", "kernels: a recording within a recording");
    const looks = host.looks();
    const { calls, storages }: Notes = { calls: [], storages: new Set() };
    this.notes = { calls, storages };
    try {
      body();
    } finally {
      this.notes = null;
    }
    if (host.looks() !== looks) return null;
    let freed = -1;
    const replay = (): void => {
      if (this.notes)
        fail("state", "kernels: a replay while a recording is under way, which would not have it");
      if (freed !== host.freed()) for (const storage of storages) host.address(storage, true);
      freed = host.freed();
      const slots = host.slots();
      for (const call of calls) {
        slots.set(call.slots);
        host.call(call.kernel, call.slots.length, call.list);
      }
    };
    return { storages, replay };
  }

  address(storage: Storage, again: boolean): number {
    this.notes?.storages.add(storage);
    return this.host.address(storage, again);
  }

  slots(): Float64Array {
    return this.host.slots();
  }

  /** While it records nobody may rely on addresses known before: it has to see every storage. */
  freed(): number {
    return this.notes ? Number.NaN : this.host.freed();
  }

  call(kernel: number, count: number, list: number): void {
    this.notes?.calls.push({ kernel, slots: this.host.slots().slice(0, count), list });
    this.host.call(kernel, count, list);
  }
}
