import type { Storage } from "../kernels/abi.ts";

/** Memory that nobody uses, by size class. */
export class Pool {
  /** In all. */
  bytes = 0;
  private readonly free = new Map<number, Storage[]>();

  take(size: number): Storage | null {
    const storage = this.free.get(size)?.pop();
    if (!storage) return null;
    this.bytes -= size;
    return storage;
  }

  put(size: number, storage: Storage): void {
    this.bytes += size;
    const list = this.free.get(size);
    if (list) list.push(storage);
    else this.free.set(size, [storage]);
  }

  /** Takes everything out. */
  empty(each: (size: number, storage: Storage) => void): void {
    for (const [size, list] of this.free) for (const storage of list) each(size, storage);
    this.free.clear();
    this.bytes = 0;
  }
}
