/**
 * Causal self-attention with grouped heads (Vaswani et al. 2017; Ainslie et al. 2023).
 *
 * B batch, S sequence, T = B*S tokens, D width, H heads, G key/value heads, C headDim.
 */
import { fail } from "../errors.ts";
import { attention, type Context, reshape, type Tensor } from "../tensor/index.ts";
import { Linear } from "./linear.ts";
import { type Module, type NamedParameter, within } from "./module.ts";
import { rotate, type Sequence } from "./rope.ts";

export interface AttentionOptions {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** A token looks at this many positions, itself included; 0: at all before it. */
  readonly window: number;
  /** Standard deviation of the initial weights, and of those of the output projection. */
  readonly std: number;
  readonly outStd: number;
}

/** The keys and values one layer has seen so far. Written in place, so it is for inference only. */
export interface KeyValueCache {
  readonly length: number;
  /** Appends k and v [B,S,G,C] and returns everything so far, [B,length,G,C]; valid until the next append. */
  append(k: Tensor, v: Tensor): { readonly k: Tensor; readonly v: Tensor };
}

export class Attention implements Module {
  readonly options: AttentionOptions;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;

  constructor(options: AttentionOptions) {
    const { width, heads, kvHeads, headDim, std, outStd } = options;
    if (heads % kvHeads !== 0)
      fail("config", `attention: ${heads} heads cannot share ${kvHeads} key/value heads evenly`);
    this.options = options;
    this.q = new Linear(width, heads * headDim, { std });
    this.k = new Linear(width, kvHeads * headDim, { std });
    this.v = new Linear(width, kvHeads * headDim, { std });
    this.o = new Linear(heads * headDim, width, { std: outStd });
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("q", this.q);
    yield* within("k", this.k);
    yield* within("v", this.v);
    yield* within("o", this.o);
  }

  /** x_TD -> [T, D]. With a cache, the tokens continue what it holds. */
  forward(x_TD: Tensor, sequence: Sequence, cache: KeyValueCache | null, ctx: Context): Tensor {
    const { heads, kvHeads, headDim, window } = this.options;
    const { batch, length, start } = sequence;
    const split = (x: Tensor, parts: number): Tensor => reshape(x, [batch, length, parts, headDim]);

    const q_BSHC = rotate(split(this.q.forward(x_TD, ctx), heads), sequence);
    const k_BSGC = rotate(split(this.k.forward(x_TD, ctx), kvHeads), sequence);
    const v_BSGC = split(this.v.forward(x_TD, ctx), kvHeads);
    const { k, v } = cache ? cache.append(k_BSGC, v_BSGC) : { k: k_BSGC, v: v_BSGC };
    const mixed_BSHC = attention(q_BSHC, k, v, { window, queryStart: start });
    return this.o.forward(reshape(mixed_BSHC, [batch * length, heads * headDim]), ctx);
  }
}
