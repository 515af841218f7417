/**
 * What every decoder-only language model has around its blocks: embedding, final norm, head. The blocks are
 * each family's own.
 *
 * B batch, S sequence, T = B*S tokens, D width, V vocabulary.
 */
import { fail } from "../errors.ts";
import {
  activeShare,
  asTokenLabels,
  type Causality,
  causalityOf,
  furthest,
  type LayerPool,
  type MoeOutput,
  type RouteOptions,
  type Router,
} from "../moe/index.ts";
import {
  type CachedPass,
  consecutive,
  countParameters,
  disposeWeights,
  Embedding,
  Linear,
  type Module,
  type NamedParameter,
  RmsNorm,
  type Sequence,
  within,
} from "../nn/index.ts";
import {
  affine,
  ConstantOwner,
  type Context,
  owningConstants,
  reshape,
  scope,
  show,
  type Tensor,
} from "../tensor/index.ts";
import type { Block } from "./block.ts";
import { type GenerationDefaults, noGenerationDefaults } from "./generation-config.ts";
import type { FileLayout } from "./layout.ts";
import { turningInHalves } from "./rearranged.ts";
import { type RopeConfig, reachOf } from "./rope-config.ts";

/** What all families' configs say, in our words. Sizes in elements, positions in tokens. */
export interface DecoderConfig {
  readonly vocabulary: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Positions of the texts that it was trained on; {@link Decoder.reach} and {@link Decoder.mostPositions} say what it takes. */
  readonly maxPositions: number;
  readonly rope: RopeConfig;
  readonly normEps: number;
  /** The head is the embedding. */
  readonly tied: boolean;
  /** Standard deviation of the initial weights. */
  readonly initStd: number;
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
  readonly padId: number | null;
}

export interface ForwardOptions {
  /** The tokens are a list of rows that continue cached sequences; inference only. */
  readonly pass?: CachedPass;
  /** One a token, for routing and losses by label. */
  readonly labels?: RouteOptions["labels"];
  /** f32 [T]: whose places are given first, where a capacity's priority is "given". */
  readonly priority?: Tensor | null;
  /** What requests rule out in each layer's routing. */
  readonly limits?: RouteOptions["limits"];
  /** Sums over the micro-batches of a step, by number of the mixture layer from 0. */
  readonly pool?: (layer: number) => LayerPool;
}

export interface HiddenStates {
  /** After the final norm. */
  readonly x_TD: Tensor;
  /** Of the MoE layers, in order. */
  readonly moe: readonly MoeOutput[];
}

export interface ModelOutput {
  readonly logits_TV: Tensor;
  readonly moe: readonly MoeOutput[];
}

/** What a family builds its decoder from. */
export interface DecoderParts {
  readonly block: (layer: number) => Block;
  /** What the blocks share and the model disposes of: rotaries, tables of positions. */
  readonly shared: readonly { dispose(): void }[];
  /** Multiplies what the embedding gives (Granite); default 1. */
  readonly embeddingScale?: number;
  /** Multiplies the logits; default 1. */
  readonly logitScale?: number;
}

export abstract class Decoder<Config extends DecoderConfig = DecoderConfig> implements Module {
  readonly config: Config;
  /** Where its parameters stand in files. */
  abstract readonly layout: FileLayout;
  readonly embedding: Embedding;
  readonly blocks: readonly Block[];
  readonly norm: RmsNorm;
  /** Null where the embedding is the head. */
  readonly head: Linear | null;
  /** How its makers say it is sampled, where a file says so. */
  generation: GenerationDefaults = noGenerationDefaults;
  /** What of its files was passed over, a line each. */
  notes: readonly string[] = [];
  private readonly shared: DecoderParts["shared"];
  private readonly constants = new ConstantOwner();
  private readonly embeddingScale: number;
  private readonly logitScale: number;

  constructor(config: Config, { block, shared, embeddingScale = 1, logitScale = 1 }: DecoderParts) {
    const { vocabulary, width, layers, initStd, normEps, tied } = config;
    this.config = config;
    this.embedding = new Embedding(vocabulary, width, initStd);
    this.blocks = Array.from({ length: layers }, (_, layer) => block(layer));
    this.norm = new RmsNorm(width, normEps);
    this.head = tied ? null : new Linear(width, vocabulary, { std: initStd });
    this.shared = shared;
    this.embeddingScale = embeddingScale;
    this.logitScale = logitScale;
  }

  /** What the names of its file tensors may lack at their beginning, or have too many of. */
  get namePrefixes(): readonly string[] {
    return ["model."];
  }

  /** Where they stand in the files that are written, whichever it was read from. */
  savedLayout(): FileLayout {
    const { rope, headDim } = this.config;
    return rope.interleaved ? turningInHalves(this.layout, headDim) : this.layout;
  }

  /** Its config.json. */
  abstract configJson(): Record<string, unknown>;

  /**
   * Keys of its config that other libraries would not obey when they run its files; none where they give
   * the same logits.
   */
  beyondFamily(): readonly string[] {
    return [];
  }

  /** Of the mixture layers, in order. */
  get routers(): readonly Router[] {
    return this.blocks.flatMap(({ moe }) => (moe ? [moe.router] : []));
  }

  /** The share of the experts' weights that one token passes; 1 for a dense model. */
  get expertShare(): number {
    let [total, active] = [0, 0];
    for (const { moe } of this.blocks) {
      if (!moe) continue;
      const weights = countParameters(moe.experts);
      total += weights;
      active += weights * activeShare(moe.router.spec);
    }
    return total === 0 ? 1 : active / total;
  }

  /** What a token's logits depend on besides it and those before it: whoever evaluates or generates must know. */
  get causality(): Causality {
    return furthest(this.routers.map(({ spec }) => causalityOf(spec)));
  }

  /** Ids that end what it writes. */
  get eosIds(): readonly number[] {
    return this.generation.eosIds ?? this.config.eosIds;
  }

  /** Positions that it was trained on or that its rotary scaling reaches; beyond, it computes what nobody has trained or tried. */
  get reach(): number {
    return reachOf(this.config.rope, this.config.maxPositions);
  }

  /** Positions that it can compute at all. Rotary positions have no end; a family with a table of positions ends with the table. */
  get mostPositions(): number {
    const { rope, maxPositions } = this.config;
    return rope.scaling.kind === "dynamic" ? maxPositions : Number.POSITIVE_INFINITY;
  }

  /** Whether a tensor of its files is for what it does not do: a vision tower, or layers for drafting. It is not read. */
  leavesOut(_file: string): boolean {
    return false;
  }

  get tied(): boolean {
    return this.head === null;
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("embedding", this.embedding);
    for (const [layer, block] of this.blocks.entries()) yield* within(`layers.${layer}`, block);
    yield* within("norm", this.norm);
    if (this.head) yield* within("head", this.head);
  }

  /** ids i32 [B, S], or [T] of a cached pass, -> logits [T, V] and what each MoE layer did. Errors: "shape". */
  forward(ids: Tensor, ctx: Context, options: ForwardOptions = {}): ModelOutput {
    const { x_TD, moe } = this.hidden(ids, ctx, options);
    return { logits_TV: this.logits(x_TD, ctx), moe };
  }

  /** ids i32 [B, S], or [T] of a cached pass, -> the states the head reads. */
  hidden(ids: Tensor, ctx: Context, options: ForwardOptions = {}): HiddenStates {
    return owningConstants(this.constants, () => this.states(ids, ctx, options));
  }

  private states(ids: Tensor, ctx: Context, options: ForwardOptions): HiddenStates {
    const { pass, limits, priority, pool } = options;
    const sequence = pass ? this.cachedRows(ids, pass) : this.wholeSequences(ids);
    const ids_T = reshape(ids, [ids.size]);
    const labels = asTokenLabels(ids.device, options.labels);
    const shared = { tokenIds: ids_T, labels, sequence: sequence.length, priority, limits };
    const moe: MoeOutput[] = [];
    let x_TD = scaled(this.embedding.forward(ids_T), this.embeddingScale);
    ctx.tap("embedding", -1, x_TD);
    for (const [layer, block] of this.blocks.entries()) {
      const routing: RouteOptions = { ...shared, pool: pool?.(moe.length) };
      const inputs = { sequence, cache: pass?.layers[layer] ?? null, routing };
      const output = scope(() => block.forward(x_TD, inputs, ctx));
      x_TD = output.x_TD;
      if (output.moe) moe.push(output.moe);
      ctx.tap("block", layer, x_TD);
    }
    return { x_TD: this.norm.forward(x_TD), moe };
  }

  /** x_TD of {@link hidden} -> logits [T, V]. */
  logits(x_TD: Tensor, ctx: Context): Tensor {
    const raw_TV = this.head ? this.head.forward(x_TD, ctx) : this.embedding.logits(x_TD, ctx);
    const logits_TV = scaled(raw_TV, this.logitScale);
    ctx.tap("logits", -1, logits_TV);
    return logits_TV;
  }

  /** Gives the memory of its weights back, and of its tables of positions and routes. An arena they lie in is its maker's to free. */
  dispose(): void {
    disposeWeights(this);
    for (const one of this.shared) one.dispose();
    for (const router of this.routers) router.dispose();
    this.constants.dispose();
  }

  private wholeSequences(ids: Tensor): Sequence {
    if (ids.rank !== 2) fail("shape", `forward: ids of shape ${show(ids.shape)}; they are [batch, sequence]`);
    const [batch, length] = ids.shape;
    this.checkEnd(length);
    return consecutive(ids.device, batch, length);
  }

  private cachedRows(ids: Tensor, { layers, position_T, end }: CachedPass): Sequence {
    if (show(ids.shape) !== show(position_T.shape))
      fail("shape", `forward: ids of shape ${show(ids.shape)} for a pass of ${position_T.size} rows`);
    if (layers.length !== this.blocks.length)
      fail("shape", `forward: a cache of ${layers.length} layers for a model of ${this.blocks.length}`);
    this.checkEnd(end);
    return { batch: 1, length: ids.size, position_T, end };
  }

  private checkEnd(end: number): void {
    if (end > this.mostPositions)
      fail("shape", `forward: ${end} positions; the model has ${this.mostPositions}`, "pass fewer tokens");
  }
}

function scaled(x: Tensor, factor: number): Tensor {
  return factor === 1 ? x : affine(x, factor, 0);
}

/**
 * The standard deviation of what writes into the residual stream: smaller with depth, so that blocks begin near the identity. Radford et al.
 * 2019 divide by sqrt(2 * layers); the full division learns faster in short runs (docs/log.md).
 */
export function residualStd(config: DecoderConfig): number {
  return config.initStd / (2 * config.layers);
}
