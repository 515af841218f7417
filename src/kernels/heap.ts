/**
 * A free-list allocator over a growing range of addresses. It keeps its books outside the memory it manages; blocks are
 * 64-byte aligned, neighbours that are free become one, and the lowest block that fits is taken.
 */
export class Heap {
  /** Free blocks by rising address. */
  #free: { address: number; size: number }[] = [];
  readonly #used = new Map<number, number>();
  #end: number;
  readonly #grow: (bytes: number) => number;

  /** Manages addresses from `start` on. `grow(bytes)` makes at least so many more usable and returns how many. */
  constructor(start: number, grow: (bytes: number) => number) {
    this.#end = roundUp(start);
    this.#grow = grow;
  }

  /** Bytes in use. */
  get used(): number {
    let bytes = 0;
    for (const size of this.#used.values()) bytes += size;
    return bytes;
  }

  /** The address of a block of at least `bytes`. */
  take(bytes: number): number {
    const size = roundUp(Math.max(bytes, 1));
    let place = this.#free.findIndex((block) => block.size >= size);
    if (place < 0) {
      const last = this.#free.at(-1);
      const open = last !== undefined && last.address + last.size === this.#end ? last.size : 0;
      const more = this.#grow(size - open);
      const from = this.#end;
      this.#end += more;
      this.#insert(from, more);
      place = this.#free.length - 1;
    }
    const block = this.#free[place]!;
    const { address } = block;
    block.address += size;
    block.size -= size;
    if (block.size === 0) this.#free.splice(place, 1);
    this.#used.set(address, size);
    return address;
  }

  /** Gives back the block at `address`. Returns false when none is there. */
  give(address: number): boolean {
    const size = this.#used.get(address);
    if (size === undefined) return false;
    this.#used.delete(address);
    this.#insert(address, size);
    return true;
  }

  #insert(address: number, size: number): void {
    let place = this.#free.findIndex((block) => block.address > address);
    if (place < 0) place = this.#free.length;
    const before = this.#free[place - 1];
    const after = this.#free[place];
    const joinsBefore = before !== undefined && before.address + before.size === address;
    const joinsAfter = after !== undefined && address + size === after.address;
    if (joinsBefore) {
      before.size += size + (joinsAfter ? after.size : 0);
      if (joinsAfter) this.#free.splice(place, 1);
    } else if (joinsAfter) {
      after.address = address;
      after.size += size;
    } else {
      this.#free.splice(place, 0, { address, size });
    }
  }
}

const roundUp = (bytes: number): number => Math.ceil(bytes / 64) * 64;
