/**
 * The shape of a model as data, and the one formula that counts its weights.
 *
 * D width, F hidden width of a feed-forward layer or of one expert, E experts, H heads, G key/value heads,
 * C headDim.
 */
import {
  noParts,
  type ParameterCounts,
  type Part,
  type PartCount,
  parts,
  summarise,
  withActive,
} from "./counts.ts";

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
  /** Offsets on every matrix. */
  readonly bias: boolean;
}

export interface ExpertsShape {
  readonly kind: "experts";
  readonly experts: number;
  readonly active: number;
  readonly hidden: number;
  readonly gated: boolean;
  /** Offsets on every matrix. */
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

/** The output layer: the embedding again, a matrix as long as the vocabulary, or one of another length. */
export type HeadShape =
  | { readonly kind: "tied" }
  | { readonly kind: "vocabulary" }
  | { readonly kind: "outputs"; readonly outputs: number; readonly bias: boolean };

export interface ModelShape {
  readonly kind: "shape";
  readonly title: string;
  readonly width: number;
  /** Rows of the token embeddings, of all of them if there are several; 0: the model reads no ids. */
  readonly vocabulary: number;
  /** Learned vectors of width D that stand for positions; the class token of an image model is one of them. */
  readonly positions: number;
  /** Numbers in an image patch (height * width * channels), which one matrix with offsets takes to D; 0: no images. */
  readonly patch: number;
  readonly head: HeadShape;
  /** RMSNorm has D weights, LayerNorm has D offsets too. */
  readonly norm: "rms" | "layer";
  readonly layers: readonly LayersShape[];
  /** Norms outside the layers: one a stack. */
  readonly finalNorms: number;
  /** Learned relative-position biases outside the layers (T5). */
  readonly positionBias: number;
  /** Weights no text token passes. */
  readonly other: number;
}

/**
 * A model of which only this is told: how many experts, and how large each is with all it needs to run alone.
 * What the experts share is not known, so its count is a range.
 */
export interface RumouredShape {
  readonly kind: "rumour";
  readonly title: string;
  readonly experts: number;
  readonly active: number;
  /** Weights of one expert, those it may share with the others among them. */
  readonly expertParameters: number;
  /** Share of an expert that is feed-forward layers. They are its own; all else (attention, embeddings) may be shared. */
  readonly feedForwardShare: number;
  /** What each end of the range takes for granted, for readers. */
  readonly bounds: { readonly low: string; readonly high: string };
}

export type PublishedShape = ModelShape | RumouredShape;

/** The least and the most there can be; no number of `low` is larger than its counterpart in `high`. */
export interface CountRange {
  readonly low: ParameterCounts;
  readonly high: ParameterCounts;
}

/**
 * Weights of a rumoured model. Low: there is one copy of all that is not feed-forward. High: each expert has its
 * own. That part counts as attention, of which embeddings are a small share.
 */
export function countRumour(shape: RumouredShape): CountRange {
  const { experts, active, expertParameters, feedForwardShare } = shape;
  const feedForward = feedForwardShare * expertParameters;
  const rest = expertParameters - feedForward;
  const times = (weights: number, total: number, ofToken: number): PartCount => ({
    total: Math.round(total * weights),
    active: Math.round(ofToken * weights),
  });
  const withCopies = (copies: number, activeCopies: number): ParameterCounts => {
    const counts = withActive(noParts(), 0);
    counts.experts = times(feedForward, experts, active);
    counts.attention = times(rest, copies, activeCopies);
    return summarise(counts, 0);
  };
  return { low: withCopies(1, 1), high: withCopies(experts, active) };
}

/** Weights in all and for one token, by part. */
export function countShape(shape: ModelShape): ParameterCounts {
  const totals = noParts();
  const { width, vocabulary, positions, patch, head } = shape;
  const norm = shape.norm === "layer" ? 2 * width : width;
  const projection = patch === 0 ? 0 : (patch + 1) * width;
  totals.embedding = (vocabulary + positions) * width + projection;
  totals.head = countHead(head, width, vocabulary);
  totals.norms = shape.finalNorms * norm;
  totals.attention = shape.positionBias;
  totals.other = shape.other;
  let activeExperts = 0;
  for (const group of shape.layers) {
    const counts = countLayer(group, width, norm);
    for (const part of parts) totals[part] += group.layers * counts[part];
    const { feedForward } = group;
    if (feedForward.kind === "experts")
      activeExperts += (group.layers * counts.experts * feedForward.active) / feedForward.experts;
  }
  const lookedUp = ((head.kind === "tied" ? 0 : vocabulary) + positions) * width;
  return summarise(withActive(totals, totals.experts === 0 ? 0 : activeExperts / totals.experts), lookedUp);
}

function countHead(head: HeadShape, width: number, vocabulary: number): number {
  if (head.kind === "tied") return 0;
  if (head.kind === "vocabulary") return vocabulary * width;
  return head.outputs * (head.bias ? width + 1 : width);
}

/** One layer, whose norms over the width have `norm` weights each. */
function countLayer(
  { attention, attentions, feedForward }: LayersShape,
  width: number,
  norm: number,
): Record<Part, number> {
  const counts = noParts();
  const { weights, norms } = countAttention(attention, width);
  counts.attention = attentions * weights;
  counts.norms = attentions * (norms + norm) + norm;
  const { hidden, gated, bias } = feedForward;
  const matrices = gated ? 3 : 2;
  const offsets = bias ? (matrices - 1) * hidden + width : 0;
  const network = matrices * width * hidden + offsets;
  if (feedForward.kind === "dense") {
    counts.mlp = network;
    return counts;
  }
  const { experts, routerBias, shared } = feedForward;
  counts.experts = experts * network;
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
