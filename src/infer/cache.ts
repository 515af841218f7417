import { fail } from "../errors.ts";
import type { Decoder } from "../models/index.ts";
import type { AttentionCache, CachedAttention } from "../nn/index.ts";
import { attention, type Device, empty, keep, reshape, show, type Tensor } from "../tensor/index.ts";

/** Room is made for this many positions at first, and doubled from then on. */
const firstRoom = 64;

/** The keys and values of one layer for one sequence, in memory that grows. G key/value heads, C headDim. */
export class GrowingCache implements AttentionCache {
  private readonly device: Device;
  private readonly row: readonly [kvHeads: number, headDim: number];
  private used = 0;
  private room = 0;
  private stores: { k: Tensor; v: Tensor } | null = null;

  constructor(device: Device, kvHeads: number, headDim: number) {
    this.device = device;
    this.row = [kvHeads, headDim];
  }

  get length(): number {
    return this.used;
  }

  attend(q_THC: Tensor, k_TGC: Tensor, v_TGC: Tensor | null, options: CachedAttention): Tensor {
    const whole = (x: Tensor): Tensor => reshape(x, [1, ...x.shape]);
    const { window, scale } = options;
    if (!v_TGC || options.chunk || options.sinks_H)
      fail("state", "key/value cache: values of their own, no chunks and no sinks are what it takes");
    const queryStart = this.used;
    const { k, v } = this.append(whole(k_TGC), whole(v_TGC));
    return reshape(attention(whole(q_THC), k, v, { window, scale, queryStart }), q_THC.shape);
  }

  private append(k: Tensor, v: Tensor): { k: Tensor; v: Tensor } {
    const [batch, added, ...row] = k.shape;
    if (batch !== 1 || show(row) !== show(this.row) || show(v.shape) !== show(k.shape)) {
      fail(
        "shape",
        `key/value cache: keys ${show(k.shape)} and values ${show(v.shape)}; it takes [1, S, ${this.row.join(", ")}]`,
      );
    }
    if (k.tracked || v.tracked)
      fail(
        "state",
        "key/value cache: it is written in place, so no gradient can flow through it",
        "train without a cache",
      );
    const stores = this.reserve(this.used + added);
    const start = this.used * row[0] * row[1];
    copy(k, stores.k.view(k.shape, start));
    copy(v, stores.v.view(v.shape, start));
    this.used += added;
    const shape = [1, this.used, ...row];
    return { k: stores.k.view(shape), v: stores.v.view(shape) };
  }

  /** Forgets all positions from `length` on, so that another continuation can be tried. */
  truncate(length: number): void {
    if (length > this.used) fail("state", `key/value cache: it holds ${this.used} positions, not ${length}`);
    this.used = length;
  }

  dispose(): void {
    this.stores?.k.dispose();
    this.stores?.v.dispose();
    this.stores = null;
    this.used = 0;
    this.room = 0;
  }

  private reserve(positions: number): { k: Tensor; v: Tensor } {
    if (this.stores && positions <= this.room) return this.stores;
    const room = Math.max(positions, firstRoom, 2 * this.room);
    const grow = (old: Tensor | undefined): Tensor => {
      const larger = keep(empty(this.device, [1, room, ...this.row]));
      if (old) {
        copy(old, larger.view(old.shape));
        old.dispose();
      }
      return larger;
    };
    this.stores = { k: grow(this.stores?.k), v: grow(this.stores?.v) };
    this.room = room;
    return this.stores;
  }
}

/** One empty cache for each layer of `model`. */
export function createCaches(model: Decoder, device: Device): GrowingCache[] {
  const { layers, kvHeads, headDim } = model.config;
  return Array.from({ length: layers }, () => new GrowingCache(device, kvHeads, headDim));
}

/** Copies all of `from`; `into` is a view made for this and is given up. */
function copy(from: Tensor, into: Tensor): void {
  from.device.kernels.run.stridedCopy({
    x: from.buf,
    out: into.buf,
    dims: [1, 1, 1, from.size],
    xStrides: [0, 0, 0, 1],
    outStrides: [0, 0, 0, 1],
    accumulate: false,
  });
  into.dispose();
}
