import { fail } from "../errors.ts";
import { bytesOf, type DType, type Storage } from "../kernels/abi.ts";
import type { Kernels } from "../kernels/kernels.ts";

/** A piece of device memory that several tensors (views) may share; it goes back to the device with the last of them. */
export interface Block {
  readonly storage: Storage;
  readonly bytes: number;
  references: number;
  /** A file: it is given back whole, not kept for reuse. */
  readonly mapped: boolean;
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
  private readonly free = new Map<number, Storage[]>();

  constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  allocate(bytes: number): Block {
    const size = sizeClass(bytes);
    const pooled = this.free.get(size)?.pop();
    if (pooled) this.memory.pooled -= size;
    const storage = pooled ?? this.allocateNew(size);
    this.memory.live += size;
    this.memory.peak = Math.max(this.memory.peak, this.memory.live);
    return { storage, bytes: size, references: 1, mapped: false, hostRange: emptyRange };
  }

  /** A file as a block. Errors: "kernels" where the kernels cannot map files, else those of reading it. */
  map(path: string): Block {
    const { mapping, name } = this.kernels;
    if (mapping === null) return fail("kernels", `the ${name} kernels cannot map ${path} as memory`);
    const storage = mapping.map(path);
    this.memory.mapped += storage.byteLength;
    return { storage, bytes: storage.byteLength, references: 1, mapped: true, hostRange: emptyRange };
  }

  private allocateNew(size: number): Storage {
    try {
      return this.kernels.alloc(size);
    } catch (error) {
      if (this.memory.pooled === 0) throw error;
      this.trim(); // the pool may hold the memory in blocks of other sizes
      return this.kernels.alloc(size);
    }
  }

  release(block: Block): void {
    if (--block.references > 0) return;
    if (block.mapped) {
      this.memory.mapped -= block.bytes;
      this.kernels.free(block.storage);
      return;
    }
    this.memory.live -= block.bytes;
    this.memory.pooled += block.bytes;
    const list = this.free.get(block.bytes);
    if (list) list.push(block.storage);
    else this.free.set(block.bytes, [block.storage]);
  }

  resetPeak(): void {
    this.memory.peak = this.memory.live;
  }

  /** Gives pooled memory back to the kernels. */
  trim(): void {
    for (const list of this.free.values()) for (const storage of list) this.kernels.free(storage);
    this.free.clear();
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
