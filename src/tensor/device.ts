import { fail } from "../errors.ts";
import { bytesOf, type DType, type Storage } from "../kernels/abi.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { Pool } from "./pool.ts";
import { Replay } from "./replay.ts";

/** A piece of device memory that several tensors (views) may share; it goes back to the device with the last of them. */
export interface Block {
  readonly storage: Storage;
  readonly bytes: number;
  references: number;
  /** A file: it is given back whole, not kept for reuse. */
  readonly mapped: boolean;
  /** The work it was made in, if that is to be done again. */
  readonly maker: Replay | null;
  /** The range of the integers that the host wrote here; empty (low above high) if none. */
  hostRange: IdRange;
}

export interface IdRange {
  readonly low: number;
  readonly high: number;
}

export const emptyRange: IdRange = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };

/** How much memory a device holds, in bytes. */
export interface MemoryFigures {
  /** In tensors that are alive. */
  live: number;
  /** The most that was alive at once since the last {@link Device.resetPeak}. */
  peak: number;
  /** Kept for reuse. */
  pooled: number;
  /** In mapped files; how much of it is in memory is the system's choice. */
  mapped: number;
}

/** Where tensors live: one set of kernels and the memory it works on. Freed blocks are reused by size class. */
export class Device {
  readonly kernels: Kernels;
  readonly memory: MemoryFigures = { live: 0, peak: 0, pooled: 0, mapped: 0 };
  private readonly pool = new Pool();
  private readonly replays = new Set<Replay>();
  /** Under way. */
  private recording: Replay | null = null;

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  allocate(bytes: number): Block {
    const size = sizeClass(bytes);
    const maker = this.recording;
    const storage = maker?.pool.take(size) ?? this.take(size);
    return { storage, bytes: size, references: 1, mapped: false, maker, hostRange: emptyRange };
  }

  /** A file as a block. Errors: "kernels" where the kernels cannot map files, else those of reading it. */
  map(path: string): Block {
    const { mapping, name } = this.kernels;
    if (mapping === null)
      return fail(
        "kernels",
        `the ${name} kernels cannot map ${path} as memory`,
        "use the native kernels, or read the file",
      );
    const storage = mapping.map(path);
    const bytes = storage.byteLength;
    this.memory.mapped += bytes;
    return { storage, bytes, references: 1, mapped: true, maker: null, hostRange: emptyRange };
  }

  /** Memory that counts as alive from now on. */
  private take(size: number): Storage {
    const { memory } = this;
    const storage = this.pool.take(size) ?? this.allocateNew(size);
    memory.pooled = this.pool.bytes;
    memory.live += size;
    memory.peak = Math.max(memory.peak, memory.live);
    return storage;
  }

  private allocateNew(size: number): Storage {
    try {
      return this.kernels.alloc(size);
    } catch (error) {
      for (const replay of this.replays) replay.dispose(); // the work can be done without them
      if (this.pool.bytes === 0) throw error;
      this.trim(); // the pool may hold the memory in blocks of other sizes
      return this.kernels.alloc(size);
    }
  }

  release(block: Block): void {
    if (--block.references > 0) return;
    const { storage, bytes, mapped, maker } = block;
    if (maker?.usable && maker === this.recording) {
      maker.pool.put(bytes, storage);
      return;
    }
    for (const replay of this.replays) if (replay.uses(storage)) replay.dispose();
    if (mapped) {
      this.memory.mapped -= bytes;
      this.kernels.free(storage);
    } else this.put(bytes, storage);
  }

  private put(size: number, storage: Storage): void {
    this.pool.put(size, storage);
    this.memory.live -= size;
    this.memory.pooled = this.pool.bytes;
  }

  /**
   * Runs `body`, and gives what can do the same work again: on new contents of the tensors that were there before, into the same
   * results. Null where the work depends on what `body` found in memory or wrote there from the host, or frees what it did not make, or
   * where the kernels do not record. The memory that `body` used is the replay's own until it is disposed of, or a tensor that it uses is,
   * be it one of the results.
   */
  record<T>(body: () => T): { readonly result: T; readonly replay: Replay | null } {
    if (this.recording) fail("state", "record: another recording is under way", "end it first");
    const replay = new Replay((ended) => {
      this.replays.delete(ended);
      ended.pool.empty((size, storage) => this.put(size, storage));
    });
    this.replays.add(replay);
    this.recording = replay;
    try {
      let result: T;
      const recording = this.kernels.record(() => {
        result = body();
      });
      if (recording) replay.start(recording);
      else replay.dispose();
      return { result: result!, replay: replay.usable ? replay : null };
    } catch (error) {
      replay.dispose();
      throw error;
    } finally {
      this.recording = null;
    }
  }

  /** Says that work under way does what is done once: it gives no replay. */
  once(): void {
    this.recording?.dispose();
  }

  resetPeak(): void {
    this.memory.peak = this.memory.live;
  }

  /** Gives pooled memory back to the kernels. */
  trim(): void {
    this.pool.empty((_, storage) => this.kernels.free(storage));
    this.memory.pooled = 0;
  }

  dispose(): void {
    this.trim();
    this.kernels.dispose();
  }
}

/** Rounds up to one of eight steps an octave, so that blocks of nearly the same size are interchangeable (at most 12.5 % waste). */
export function sizeClass(bytes: number): number {
  const least = 64;
  if (bytes <= least) return least;
  const step = Math.max(least, 2 ** (Math.floor(Math.log2(bytes)) - 3));
  return Math.ceil(bytes / step) * step;
}

/** The bytes of a tensor. */
export function byteLength(shape: readonly number[], dtype: DType): number {
  return bytesOf(dtype, sizeOf(shape));
}

/** Number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}
