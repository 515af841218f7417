/**
 * The shape of a model as data, and the one formula that counts its weights.
 *
 * D width, F hidden width of a feed-forward layer or of one expert, E experts, H heads, G key/value heads,
 * C headDim.
 */
import { noParts, type ParameterCounts, type Part, parts, summarise } from "./counts.ts";

interface GroupedAttention {
  readonly kind: "grouped";
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Offsets on the four projections. */
  readonly bias: boolean;
  /** One learned logit a head that takes weight from the softmax (gpt-oss). */
  readonly sinks: boolean;
  /** RMSNorm of queries and keys: one weight vector for each head to share, or over all heads at once. */
  readonly headNorm: "none" | "shared" | "all-heads";
}

/** Multi-head latent attention (DeepSeek-V2, section 2.1). */
interface LatentAttention {
  readonly kind: "latent";
  readonly heads: number;
  readonly queryRank: number;
  readonly kvRank: number;
  readonly plainDim: number;
  readonly ropeDim: number;
  readonly valueDim: number;
}

export type AttentionShape = GroupedAttention | LatentAttention;

export interface DenseShape {
  readonly kind: "dense";
  readonly hidden: number;
  /** Gate and up (three matrices) or only up (two). */
  readonly gated: boolean;
}

export interface ExpertsShape {
  readonly kind: "experts";
  readonly experts: number;
  readonly active: number;
  readonly hidden: number;
  readonly gated: boolean;
  readonly bias: boolean;
  /** E extra numbers: an offset of the logits, or one for selection only. */
  readonly routerBias: boolean;
  /** Hidden width of the experts every token passes; 0: none. */
  readonly shared: number;
}

export interface LayersShape {
  readonly layers: number;
  /**
   * Attentions a layer: a decoder of an encoder-decoder model has two. Each has a norm before it, as the
   * feed-forward layer does.
   */
  readonly attentions: number;
  readonly attention: AttentionShape;
  readonly feedForward: DenseShape | ExpertsShape;
}

export interface ModelShape {
  readonly kind: "shape";
  readonly title: string;
  readonly width: number;
  readonly vocabulary: number;
  readonly tied: boolean;
  readonly layers: readonly LayersShape[];
  /** Norms outside the layers: one a stack. */
  readonly finalNorms: number;
  /** Learned relative-position biases outside the layers (T5). */
  readonly positionBias: number;
  /** Weights no text token passes. */
  readonly other: number;
}

/** A model of which only a sum is rumoured. */
export interface RumouredShape {
  readonly kind: "rumour";
  readonly title: string;
  readonly experts: number;
  readonly active: number;
  readonly expertParameters: number;
}

export type PublishedShape = ModelShape | RumouredShape;

/** Weights in all and for one token, by part. */
export function countShape(shape: PublishedShape): ParameterCounts {
  if (shape.kind === "rumour") {
    return summarise(
      { ...noParts(), experts: shape.experts * shape.expertParameters },
      shape.active / shape.experts,
      false,
    );
  }
  const totals = noParts();
  const { width, vocabulary, tied } = shape;
  totals.embedding = vocabulary * width;
  totals.head = tied ? 0 : vocabulary * width;
  totals.norms = shape.finalNorms * width;
  totals.attention = shape.positionBias;
  totals.other = shape.other;
  let activeExperts = 0;
  for (const group of shape.layers) {
    const counts = countLayer(group, width);
    for (const part of parts) totals[part] += group.layers * counts[part];
    const { feedForward } = group;
    if (feedForward.kind === "experts")
      activeExperts += (group.layers * counts.experts * feedForward.active) / feedForward.experts;
  }
  return summarise(totals, totals.experts === 0 ? 0 : activeExperts / totals.experts, tied);
}

function countLayer(
  { attention, attentions, feedForward }: LayersShape,
  width: number,
): Record<Part, number> {
  const counts = noParts();
  const { weights, norms } = countAttention(attention, width);
  counts.attention = attentions * weights;
  counts.norms = attentions * (norms + width) + width;
  const matrices = feedForward.gated ? 3 : 2;
  if (feedForward.kind === "dense") {
    counts.mlp = matrices * width * feedForward.hidden;
    return counts;
  }
  const { experts, hidden, bias, routerBias, shared } = feedForward;
  const offsets = bias ? (matrices - 1) * hidden + width : 0;
  counts.experts = experts * (matrices * width * hidden + offsets);
  counts.router = experts * width + (routerBias ? experts : 0);
  counts.mlp = matrices * width * shared;
  return counts;
}

function countAttention(shape: AttentionShape, width: number): { weights: number; norms: number } {
  if (shape.kind === "latent") {
    const { heads, queryRank, kvRank, plainDim, ropeDim, valueDim } = shape;
    const query = width * queryRank + queryRank * heads * (plainDim + ropeDim);
    const keyValue = width * (kvRank + ropeDim) + kvRank * heads * (plainDim + valueDim);
    return { weights: query + keyValue + heads * valueDim * width, norms: queryRank + kvRank };
  }
  const { heads, kvHeads, headDim, bias, sinks, headNorm } = shape;
  const inner = (heads + 2 * kvHeads) * headDim;
  const weights = width * inner + heads * headDim * width + (bias ? inner + width : 0) + (sinks ? heads : 0);
  const norms = { none: 0, shared: 2 * headDim, "all-heads": (heads + kvHeads) * headDim }[headNorm];
  return { weights, norms };
}
