/**
 * The paged key/value cache (Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with PagedAttention"):
 * keys and values of all sequences lie in pages of a pool a layer, so that sequences grow, shrink and end without moving memory.
 *
 * T rows, H heads, G key/value heads, C key width, Cv value width, P pages of S positions.
 */
import { fail } from "../errors.ts";
import type { AttentionCache, CachedAttention, CachedPass } from "../nn/index.ts";
import {
  appendPages,
  type Device,
  empty,
  keep,
  type PagedRows,
  pagedAttention,
  type Tensor,
  tensor,
} from "../tensor/index.ts";

/** Positions a page: few enough that a short sequence wastes little, enough that a page's keys are one long read. */
const defaultPageSize = 32;
/** Pages of a pool at first; doubled from then on. */
const firstPages = 4;

/** One sequence's place in a cache. */
export interface CachedSequence {
  /** Positions held. */
  readonly length: number;
  /** Forgets all positions from `length` on, so that another continuation can be tried. */
  truncate(length: number): void;
  /** Gives its pages back. */
  dispose(): void;
}

/** How many rows of a pass continue which sequence. */
export interface SequenceRows {
  readonly sequence: CachedSequence;
  readonly count: number;
}

/** Where the rows of a pass stand, on the host: what {@link PagedRows} are made of. */
export interface RowPlaces {
  /** [B * M]. */
  readonly pages: Int32Array<ArrayBuffer>;
  /** M: room for this many pages a sequence; a power of two. */
  readonly pagesEach: number;
  /** [T]. */
  readonly sequence: Int32Array<ArrayBuffer>;
  /** [T]. */
  readonly position: Int32Array<ArrayBuffer>;
  /** One past the largest position. */
  readonly end: number;
}

/** The places as kernels take them. */
export function pagedRows(device: Device, { pages, pagesEach, sequence, position }: RowPlaces): PagedRows {
  return {
    pages_BM: tensor(device, pages, [pages.length / pagesEach, pagesEach]),
    sequence_T: tensor(device, sequence),
    position_T: tensor(device, position),
  };
}

/** Keys and values of any number of sequences, for all layers of one model. */
export class PagedCache {
  readonly pageSize: number;
  private readonly device: Device;
  private readonly layers: readonly LayerPool[];
  private readonly free: number[] = [];
  private pages = 0;

  constructor(device: Device, layers: number, pageSize: number = defaultPageSize) {
    this.device = device;
    this.pageSize = pageSize;
    this.layers = Array.from({ length: layers }, () => new LayerPool(device, pageSize));
  }

  /** Bytes of all pools. */
  get bytes(): number {
    return this.layers.reduce((sum, layer) => sum + layer.bytes, 0);
  }

  /** Bytes of one position in all layers; 0 before any was stored. */
  get bytesPerPosition(): number {
    return this.bytes / Math.max(1, this.layers[0].room * this.pageSize);
  }

  /** An empty sequence. */
  open(): CachedSequence {
    return new Sequence(this.pageSize, this.free);
  }

  /**
   * Makes room for the rows of a forward pass, each sequence's rows together and in order, and counts them as held. A pass that fails must be
   * taken back with `truncate`. Where there is no memory for more pages, nothing is held that was not held before. Errors: "state", "memory".
   */
  place(rows: readonly SequenceRows[]): RowPlaces {
    const sequences = rows.map(({ sequence }) => this.ownOf(sequence));
    const lengths = sequences.map(({ length }) => length);
    const pagesBefore = this.pages;
    const position: number[] = [];
    const sequence: number[] = [];
    let end = 0;
    for (const [i, { count }] of rows.entries()) {
      const { length } = sequences[i];
      if (count > 0) end = Math.max(end, length + count);
      sequences[i].grow(count, () => this.takePage());
      for (let t = 0; t < count; t++) {
        position.push(length + t);
        sequence.push(i);
      }
    }
    try {
      this.reserve();
    } catch (error) {
      // Pages that are not there are nobody's: else every later pass would ask for them again.
      for (const [i, one] of sequences.entries()) one.truncate(Math.min(lengths[i], one.length));
      const there = this.free.filter((page) => page < pagesBefore);
      this.free.splice(0, this.free.length, ...there);
      this.pages = pagesBefore;
      throw error;
    }
    const most = Math.max(1, ...sequences.map(({ table }) => table.length));
    const pagesEach = 2 ** Math.ceil(Math.log2(most));
    const pages = new Int32Array(sequences.length * pagesEach);
    for (const [i, { table }] of sequences.entries()) pages.set(table, i * pagesEach);
    return {
      pages,
      pagesEach,
      sequence: Int32Array.from(sequence),
      position: Int32Array.from(position),
      end,
    };
  }

  /** A forward pass over `rows`: see {@link place}. Its tensors belong to the scope it is called in. */
  pass(rows: readonly SequenceRows[]): CachedPass {
    const places = this.place(rows);
    return this.passAt(pagedRows(this.device, places), places.end);
  }

  /** A forward pass over rows that have their places, none past `end`. */
  passAt(rows: PagedRows, end: number): CachedPass {
    return { position_T: rows.position_T, end, layers: this.layers.map((layer) => layer.at(rows)) };
  }

  dispose(): void {
    for (const layer of this.layers) layer.dispose();
    this.free.length = 0;
    this.pages = 0;
  }

  /** Room for all pages in every layer, or in none: layers that grew before one that could not give the memory back. */
  private reserve(): void {
    const before = this.layers.map(({ room }) => room);
    try {
      for (const layer of this.layers) layer.reserve(this.pages);
    } catch (error) {
      for (const [i, layer] of this.layers.entries()) layer.shrink(before[i]);
      throw error;
    }
  }

  private takePage(): number {
    return this.free.pop() ?? this.pages++;
  }

  /** Kernels write to a sequence's pages unchecked: they must be this cache's. */
  private ownOf(sequence: CachedSequence): Sequence {
    return sequence instanceof Sequence && sequence.free === this.free
      ? sequence
      : fail("state", "key/value cache: the sequence is not one it opened");
  }
}

class Sequence implements CachedSequence {
  /** Its pages, in order of position. */
  readonly table: number[] = [];
  length = 0;
  private readonly pageSize: number;
  /** The cache's own list of pages that nobody holds. */
  readonly free: number[];

  constructor(pageSize: number, free: number[]) {
    this.pageSize = pageSize;
    this.free = free;
  }

  grow(count: number, takePage: () => number): void {
    this.length += count;
    while (this.table.length * this.pageSize < this.length) this.table.push(takePage());
  }

  truncate(length: number): void {
    if (!(length >= 0 && length <= this.length))
      fail("state", `key/value cache: the sequence holds ${this.length} positions, not ${length}`);
    this.length = length;
    this.free.push(...this.table.splice(Math.ceil(length / this.pageSize)));
  }

  dispose(): void {
    this.truncate(0);
  }
}

/** The pages of one layer. Their shape follows the first keys and values it is given. */
class LayerPool {
  private readonly device: Device;
  private readonly pageSize: number;
  private pages = 0;
  private k_PSGC: Tensor | null = null;
  private v_PSGV: Tensor | null = null;

  constructor(device: Device, pageSize: number) {
    this.device = device;
    this.pageSize = pageSize;
  }

  /** Pages there are. */
  get room(): number {
    return this.pages;
  }

  get bytes(): number {
    return 4 * ((this.k_PSGC?.size ?? 0) + (this.v_PSGV?.size ?? 0));
  }

  /** The layer's cache in a pass whose rows stand at `places`. */
  at(places: PagedRows): AttentionCache {
    return { attend: (q, k, v, options) => this.attend(q, k, v, options, places) };
  }

  /** Room for `pages` pages from the next pass on: for twice as many as before, so that growing is rare, or where memory is short for these alone. */
  reserve(pages: number): void {
    if (pages <= this.pages) return;
    const ample = Math.max(pages, firstPages, 2 * this.pages);
    try {
      this.resize(ample);
    } catch (error) {
      if (ample === pages) throw error;
      this.resize(pages);
    }
  }

  /** Gives the memory of all but the first `pages` pages back, where there is memory to move those. */
  shrink(pages: number): void {
    if (pages >= this.pages) return;
    try {
      this.resize(pages);
    } catch {
      // They stay: room that is not needed does no harm.
    }
  }

  dispose(): void {
    this.k_PSGC?.dispose();
    this.v_PSGV?.dispose();
    this.k_PSGC = null;
    this.v_PSGV = null;
    this.pages = 0;
  }

  private attend(
    q_THC: Tensor,
    k_TGC: Tensor,
    v_TGV: Tensor | null,
    options: CachedAttention,
    places: PagedRows,
  ): Tensor {
    this.k_PSGC ??= this.poolLike(k_TGC);
    appendPages(k_TGC, this.k_PSGC, places);
    if (v_TGV) {
      this.v_PSGV ??= this.poolLike(v_TGV);
      appendPages(v_TGV, this.v_PSGV, places);
    }
    return pagedAttention(q_THC, this.k_PSGC, v_TGV && this.v_PSGV, places, options);
  }

  private poolLike({ shape }: Tensor): Tensor {
    return keep(empty(this.device, [this.pages, this.pageSize, ...shape.slice(1)]));
  }

  /** Room for exactly `pages`; both pools, or on an error neither. */
  private resize(pages: number): void {
    const { k_PSGC, v_PSGV } = this;
    const k = k_PSGC && this.moved(k_PSGC, pages);
    let v: Tensor | null;
    try {
      v = v_PSGV && this.moved(v_PSGV, pages);
    } catch (error) {
      k?.dispose();
      throw error;
    }
    k_PSGC?.dispose();
    v_PSGV?.dispose();
    this.k_PSGC = k;
    this.v_PSGV = v;
    this.pages = pages;
  }

  /** A pool of `pages` pages, which begins as `old` does. */
  private moved(old: Tensor, pages: number): Tensor {
    const shape = [pages, ...old.shape.slice(1)];
    const next = keep(empty(this.device, shape));
    this.device.kernels.run.stridedCopy({
      x: old.buf,
      out: next.buf,
      dims: [1, 1, 1, Math.min(old.size, next.size)],
      xStrides: [0, 0, 0, 1],
      outStrides: [0, 0, 0, 1],
      accumulate: false,
    });
    return next;
  }
}
