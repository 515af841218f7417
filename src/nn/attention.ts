/**
 * Causal self-attention with grouped heads (Vaswani et al. 2017; Ainslie et al. 2023), and what families add to it.
 *
 * B batch, S sequence, T = B*S tokens, D width, H heads, G key/value heads, C headDim.
 */
import { fail } from "../errors.ts";
import {
  attention,
  type Context,
  clamp,
  gatherRows,
  mul,
  reshape,
  rmsNorm,
  type Tensor,
} from "../tensor/index.ts";
import type { AttentionCache } from "./cache.ts";
import { Linear } from "./linear.ts";
import { type Module, type NamedParameter, Parameter, within } from "./module.ts";
import { RmsNorm } from "./norm.ts";
import type { PositionTable, Sequence } from "./positions.ts";
import { type Rotary, rotate } from "./rope.ts";

/** How queries and keys are normed before they meet. */
export type QkNorm =
  /** RMS over each head, weights [C] shared by the heads, before they turn (Qwen3). */
  | { readonly over: "head"; readonly eps: number }
  /** RMS over all heads together, weights [H*C] and [G*C], before they turn (OLMoE). */
  | { readonly over: "projection"; readonly eps: number }
  /** RMS over each head without weights, after they turn (Llama 4's L2 norm). */
  | { readonly over: "turned-head"; readonly eps: number };

export interface AttentionOptions {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** How queries and keys learn their positions; null: not at all. Whoever made it disposes of it. */
  readonly rotary: Rotary | null;
  /** A token looks at this many positions, itself included; 0: at all before it. */
  readonly window?: number;
  /** A token looks only at positions of its own chunk of this many (Llama 4); 0: no chunks. */
  readonly chunk?: number;
  /** A learned logit a head joins the softmax and brings no value (gpt-oss). */
  readonly sinks?: boolean;
  /** Factor of the scores; 1 / sqrt(headDim) unless given. */
  readonly scale?: number;
  /** Offsets for q, k and v, and for the output; none unless given. */
  readonly qkvBias?: boolean;
  readonly outBias?: boolean;
  readonly qkNorm?: QkNorm | null;
  /** Queries, keys and values are clamped into [-clip, clip] (OLMoE's clip_qkv); null: not. */
  readonly clip?: number | null;
  /** Rows [positions, 1] that queries are multiplied with by their position (Llama 4's temperature); null: none. */
  readonly queryScale?: PositionTable | null;
  /** Standard deviation of the initial weights, and of those of the output projection. */
  readonly std?: number;
  readonly outStd?: number;
}

export class Attention implements Module {
  readonly options: AttentionOptions;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  readonly qNorm: RmsNorm | null;
  readonly kNorm: RmsNorm | null;
  readonly sinks_H: Parameter | null;

  constructor(options: AttentionOptions) {
    const { width, heads, kvHeads, headDim, qkvBias: bias, outBias, qkNorm = null } = options;
    const { std, outStd = std } = options;
    if (heads % kvHeads !== 0)
      fail("config", `attention: ${heads} heads cannot share ${kvHeads} key/value heads evenly`);
    this.options = options;
    this.q = new Linear(width, heads * headDim, { bias, std });
    this.k = new Linear(width, kvHeads * headDim, { bias, std });
    this.v = new Linear(width, kvHeads * headDim, { bias, std });
    this.o = new Linear(heads * headDim, width, { bias: outBias, std: outStd });
    this.qNorm = learnedNorm(qkNorm, heads, headDim);
    this.kNorm = learnedNorm(qkNorm, kvHeads, headDim);
    this.sinks_H = options.sinks ? new Parameter([heads], { kind: "zeros" }) : null;
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("q", this.q);
    yield* within("k", this.k);
    yield* within("v", this.v);
    yield* within("o", this.o);
    if (this.qNorm) yield* within("qNorm", this.qNorm);
    if (this.kNorm) yield* within("kNorm", this.kNorm);
    if (this.sinks_H) yield ["sinks", this.sinks_H];
  }

  /** x_TD -> [T, D]. With a cache, the tokens continue what it holds. */
  forward(x_TD: Tensor, sequence: Sequence, cache: AttentionCache | null, ctx: Context): Tensor {
    const { heads, kvHeads, headDim, window = 0, chunk = 0, scale = headDim ** -0.5 } = this.options;
    // A cache takes rows of any sequences, the plain operation whole sequences.
    const leading = cache ? [x_TD.shape[0]] : [sequence.batch, sequence.length];
    const project = (linear: Linear, norm: RmsNorm | null, parts: number): Tensor =>
      reshape(this.bounded(linear.forward(x_TD, ctx), norm), [...leading, parts, headDim]);

    const sinks_H = this.sinks_H?.value ?? null;
    const q = this.tempered(this.turned(project(this.q, this.qNorm, heads), this.qNorm, sequence), sequence);
    const k = this.turned(project(this.k, this.kNorm, kvHeads), this.kNorm, sequence);
    const v = project(this.v, null, kvHeads);
    const mixed = cache
      ? cache.attend(q, k, v, { window, chunk, scale, sinks_H })
      : attention(q, k, v, { window, chunk, scale, sinks: sinks_H });
    return this.o.forward(reshape(mixed, [-1, heads * headDim]), ctx);
  }

  /** A projection [T, H*C], normed as a whole and clipped where the family does so. */
  private bounded(x: Tensor, norm: RmsNorm | null): Tensor {
    const { qkNorm, clip = null } = this.options;
    const normed = norm && qkNorm?.over === "projection" ? norm.forward(x) : x;
    return clip === null ? normed : clamp(normed, -clip, clip);
  }

  /** Heads [..., H, C] turned by their positions, normed before or after that. */
  private turned(x: Tensor, norm: RmsNorm | null, sequence: Sequence): Tensor {
    const { rotary, qkNorm } = this.options;
    const normed = norm && qkNorm?.over === "head" ? norm.forward(x) : x;
    const turned = rotary ? rotate(normed, rotary, sequence) : normed;
    return qkNorm?.over === "turned-head" ? rmsNorm(turned, null, qkNorm.eps) : turned;
  }

  /** Queries [..., H, C] times the factor of their position. */
  private tempered(q: Tensor, { position_T, end }: Sequence): Tensor {
    const { queryScale } = this.options;
    if (!queryScale) return q;
    const [factor_P1] = queryScale.upTo(q.device, end);
    const leading = q.shape.slice(0, -2);
    return mul(q, reshape(gatherRows(factor_P1, position_T), [...leading, 1, 1]));
  }
}

function learnedNorm(norm: QkNorm | null, heads: number, headDim: number): RmsNorm | null {
  if (!norm || norm.over === "turned-head") return null;
  return new RmsNorm(norm.over === "head" ? headDim : heads * headDim, norm.eps);
}
