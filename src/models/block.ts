/**
 * The block that nearly every decoder repeats: attention, then a feed-forward layer or a mixture, each reading its
 * normalised input and adding to the residual stream ("pre-norm", Xiong et al. 2020).
 *
 * T tokens, D width, E experts, F expert hidden width.
 */
import {
  type LossSpec,
  MoeLayer,
  type MoeOutput,
  noLosses,
  type RouteOptions,
  type RoutingSpec,
  SharedExpert,
  SwigluExperts,
} from "../moe/index.ts";
import {
  type AttentionCache,
  type Module,
  type NamedParameter,
  RmsNorm,
  type Sequence,
  type SwigluMlp,
  within,
} from "../nn/index.ts";
import { add, affine, type Context, type Tensor } from "../tensor/index.ts";

/** What a block is told besides its input. */
export interface BlockInputs {
  readonly sequence: Sequence;
  readonly cache: AttentionCache | null;
  /** What routers read besides the tokens' features. */
  readonly routing: RouteOptions;
}

export interface BlockOutput {
  readonly x_TD: Tensor;
  /** What its MoE layer did; null for a dense block. */
  readonly moe: MoeOutput | null;
}

export interface Block extends Module {
  /** Its mixture of experts; null in a dense block. */
  readonly moe: MoeLayer | null;
  forward(x_TD: Tensor, inputs: BlockInputs, ctx: Context): BlockOutput;
}

/** Self-attention of any kind: x_TD -> [T, D]. With a cache, the tokens continue what it holds. */
export interface SelfAttention extends Module {
  forward(x_TD: Tensor, sequence: Sequence, cache: AttentionCache | null, ctx: Context): Tensor;
}

export interface PreNormOptions {
  /** Its number, named in taps. */
  readonly layer: number;
  /** D. */
  readonly width: number;
  readonly normEps: number;
  readonly attention: SelfAttention;
  readonly feedForward: SwigluMlp | MoeLayer;
  /** What both parts write to the residual stream is multiplied with this (Granite); default 1. */
  readonly residualScale?: number;
}

/** x += attention(norm(x)); x += feedForward(norm(x)). Taps "attention" and "mlp": what is added. */
export class PreNormBlock implements Block {
  readonly layer: number;
  readonly attentionNorm: RmsNorm;
  readonly attention: SelfAttention;
  readonly mlpNorm: RmsNorm;
  readonly mlp: SwigluMlp | null;
  readonly moe: MoeLayer | null;
  private readonly residualScale: number;

  constructor({ layer, width, normEps, attention, feedForward, residualScale = 1 }: PreNormOptions) {
    this.layer = layer;
    this.attentionNorm = new RmsNorm(width, normEps);
    this.attention = attention;
    this.mlpNorm = new RmsNorm(width, normEps);
    this.moe = feedForward instanceof MoeLayer ? feedForward : null;
    this.mlp = feedForward instanceof MoeLayer ? null : feedForward;
    this.residualScale = residualScale;
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("attentionNorm", this.attentionNorm);
    yield* within("attention", this.attention);
    yield* within("mlpNorm", this.mlpNorm);
    if (this.mlp) yield* within("mlp", this.mlp);
    if (this.moe) yield* within("moe", this.moe);
  }

  forward(x_TD: Tensor, { sequence, cache, routing }: BlockInputs, ctx: Context): BlockOutput {
    const attended_TD = this.attention.forward(this.attentionNorm.forward(x_TD), sequence, cache, ctx);
    const middle_TD = this.write(x_TD, "attention", attended_TD, ctx);
    const normed_TD = this.mlpNorm.forward(middle_TD);
    const moe = this.moe?.forward(normed_TD, ctx, routing) ?? null;
    const hidden_TD = moe?.y ?? this.mlp!.forward(normed_TD, ctx);
    return { x_TD: this.write(middle_TD, "mlp", hidden_TD, ctx), moe };
  }

  private write(x_TD: Tensor, tap: string, part_TD: Tensor, ctx: Context): Tensor {
    const scaled_TD = this.residualScale === 1 ? part_TD : affine(part_TD, this.residualScale, 0);
    ctx.tap(tap, this.layer, scaled_TD);
    return add(x_TD, scaled_TD);
  }
}

export interface SwigluMixtureOptions {
  readonly routing: RoutingSpec;
  /** D. */
  readonly width: number;
  /** F. */
  readonly hidden: number;
  /** An expert that every token passes besides; null: none. */
  readonly shared?: { readonly hidden: number; readonly gate: "none" | "sigmoid" } | null;
  readonly losses?: LossSpec;
  readonly layer: number;
  /** Standard deviations of the initial weights, and of those that write to the residual stream. */
  readonly std: number;
  readonly outStd: number;
}

/** A mixture of SwiGLU experts under `routing`. */
export function swigluMixture(options: SwigluMixtureOptions): MoeLayer {
  const { routing: spec, width, hidden, shared = null, losses = noLosses, layer, std, outStd } = options;
  const experts = new SwigluExperts({ count: spec.experts, width, hidden, std, outStd });
  const sharing =
    shared &&
    new SharedExpert({
      expert: new SwigluExperts({ count: 1, width, hidden: shared.hidden, std, outStd }),
      width,
      gate: shared.gate,
      std,
    });
  return new MoeLayer({ spec, width, experts, shared: sharing, losses, layer, std });
}
