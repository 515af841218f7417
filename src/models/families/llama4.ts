/**
 * Llama 4 (Meta 2025), text: layers look at chunks of positions by turning keys and queries, and some at everything with no positions at
 * all; a token's weight multiplies the input of its expert; beside it every token passes a shared one. Of checkpoints that also
 * see, the text model is read and the vision tower left out.
 *
 * D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
import { fail } from "../../errors.ts";
import {
  type LossSpec,
  noLosses,
  parseRoutingSpec,
  picksOf,
  type RoutingSpec,
  type SpecSource,
} from "../../moe/index.ts";
import { Attention, PositionTable, Rotary, SwigluMlp } from "../../nn/index.ts";
import { tensor } from "../../tensor/index.ts";
import { PreNormBlock, swigluMixture } from "../block.ts";
import { Decoder, type DecoderConfig, residualStd } from "../decoder.ts";
import {
  checkLength,
  decoderKeys,
  type FamilyDefaults,
  parseConfig,
  readDecoder,
  size,
  writeDecoder,
} from "../hf-config.ts";
import { attentionParts, decoderParts, type FileLayout, type FilePart, gateUpPair, part } from "../layout.ts";
import { type MixtureConfig, mustSay, specSource } from "../moe-config.ts";
import { transposedStack } from "../rearranged.ts";

export interface Llama4Config extends DecoderConfig, MixtureConfig {
  /** Whether each layer has the mixture. */
  readonly sparse: readonly boolean[];
  /** Hidden width of the layers without. */
  readonly hidden: number;
  /** Whether each layer's queries and keys turn with their positions. */
  readonly turns: readonly boolean[];
  /** Of each layer: a token looks only at its own chunk of this many positions; 0: at all before it. */
  readonly chunks: readonly number[];
  /** Queries and keys of turning layers are divided by their length. */
  readonly qkNorm: boolean;
  /** How queries of layers that do not turn grow with their position; null: not. */
  readonly temperature: { readonly scale: number; readonly floor: number } | null;
  readonly attentionBias: boolean;
  /** The files also hold a vision tower. */
  readonly sees: boolean;
}

export class Llama4Model extends Decoder<Llama4Config> {
  readonly layout: FileLayout;

  constructor(config: Llama4Config, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    const temperature = config.temperature && temperatureTable(config.temperature);
    super(config, {
      block: (layer) => llama4Block(config, { rotary, temperature }, losses, layer),
      shared: temperature ? [rotary, temperature] : [rotary],
    });
    this.layout = config.sees ? inLanguageModel(llama4Layout) : llama4Layout;
  }

  /** Of the text model alone, without what it had beside it. */
  override savedLayout(): FileLayout {
    return llama4Layout;
  }

  configJson(): Record<string, unknown> {
    return writeLlama4(this.config);
  }

  /** The text model alone is also found under the name that it has in one that sees. */
  override get namePrefixes(): readonly string[] {
    return this.config.sees ? ["model."] : ["model.", "language_model."];
  }

  override leavesOut(file: string): boolean {
    return this.config.sees && /^(vision_model|multi_modal_projector)\./.test(file);
  }
}

interface PositionTables {
  readonly rotary: Rotary;
  readonly temperature: PositionTable | null;
}

function llama4Block(
  config: Llama4Config,
  { rotary, temperature }: PositionTables,
  losses: LossSpec,
  layer: number,
): PreNormBlock {
  const { width, normEps, routing, expertHidden, attentionBias, initStd: std } = config;
  const outStd = residualStd(config);
  const turns = config.turns[layer];
  const shared = { hidden: expertHidden, gate: "none" } as const;
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new Attention({
      ...config,
      rotary: turns ? rotary : null,
      qkNorm: turns && config.qkNorm ? { over: "turned-head", eps: normEps } : null,
      queryScale: turns ? null : temperature,
      chunk: config.chunks[layer],
      qkvBias: attentionBias,
      outBias: attentionBias,
      std,
      outStd,
    }),
    feedForward: config.sparse[layer]
      ? swigluMixture({ routing, width, hidden: expertHidden, shared, losses, layer, std, outStd })
      : new SwigluMlp(width, config.hidden, std, outStd),
  });
}

/** 1 + scale * ln(1 + floor((position + 1) / floor)) (Nakanishi 2025, "Scalable-Softmax"). */
function temperatureTable({ scale, floor }: { scale: number; floor: number }): PositionTable {
  return new PositionTable((device, positions) => {
    const factors = Float32Array.from(
      { length: positions },
      (_, position) => 1 + scale * Math.log1p(Math.floor((position + 1) / floor)),
    );
    return [tensor(device, factors, [positions, 1])];
  });
}

/** The K highest logits, each through a sigmoid of its own, before the expert. */
function llama4Routing(experts: number, k: number, from?: SpecSource): RoutingSpec {
  const select = { by: "token", k };
  return parseRoutingSpec(
    {
      experts,
      score: "sigmoid",
      order: "select-then-score",
      select,
      weightAt: "input",
    },
    from,
  );
}

const chunked = "chunked_attention";
const flags = z.array(z.union([z.literal(0), z.literal(1), z.boolean()]).transform(Boolean));
const schema = z.strictObject({
  ...decoderKeys,
  intermediate_size: size,
  intermediate_size_mlp: size,
  num_local_experts: size,
  num_experts_per_tok: size.default(1),
  moe_layers: z.array(z.int().min(0)).nullable().optional(),
  interleave_moe_layer_step: size.default(1),
  use_qk_norm: z.boolean().default(true),
  no_rope_layers: flags.nullable().optional(),
  no_rope_layer_interval: size.default(4),
  attention_chunk_size: size.nullable().default(8192),
  layer_types: z
    .array(z.enum([chunked, "full_attention"]))
    .nullable()
    .optional(),
  // An early revision of the published configs gave a number.
  attn_temperature_tuning: z.union([z.boolean(), z.number()]).transform(Boolean).default(true),
  floor_scale: z.number().gt(0).default(8192),
  attn_scale: z.number().default(0.1),
  attention_bias: z.boolean().default(false),
  router_aux_loss_coef: z.number().min(0).default(0.001),
});
const defaults: FamilyDefaults = { kvHeads: 8, ropeTheta: 500_000, normEps: 1e-5 };
const defaultHeadDim = 128;

/** For training. */
const unused = ["router_jitter_noise"];

/** Reads the config.json of a Llama4ForCausalLM. Errors: "config". */
export function readLlama4Text(json: unknown, source = "config.json"): Llama4Config {
  const parsed = parseConfig(schema, json, source, unused);
  const { num_local_experts: experts, num_experts_per_tok: k } = parsed;
  const headDim = parsed.head_dim === undefined ? defaultHeadDim : parsed.head_dim;
  const base = readDecoder({ ...parsed, head_dim: headDim }, defaults, source);
  const { layers } = base;
  const each = <T>(of: (layer: number) => T): T[] => Array.from({ length: layers }, (_, layer) => of(layer));
  const given = parsed.no_rope_layers?.length ? parsed.no_rope_layers : null;
  checkLength("no_rope_layers", given, layers, source);
  checkLength("layer_types", parsed.layer_types, layers, source);
  const turns = given ?? each((layer) => (layer + 1) % parsed.no_rope_layer_interval !== 0);
  const isChunked = parsed.layer_types?.map((type) => type === chunked) ?? turns;
  if (isChunked.includes(true) && parsed.attention_chunk_size === null)
    fail("config", `${source}: attention_chunk_size: null, but some layers look at chunks`);
  const step = parsed.interleave_moe_layer_step;
  const sparse = parsed.moe_layers
    ? each((layer) => parsed.moe_layers!.includes(layer))
    : each((layer) => (layer + 1) % step === 0);
  return {
    ...base,
    rope: { ...base.rope, interleaved: true },
    routing: llama4Routing(experts, k, specSource(source, "num_local_experts")),
    expertHidden: parsed.intermediate_size,
    balanceCoefficient: parsed.router_aux_loss_coef,
    sparse,
    hidden: parsed.intermediate_size_mlp,
    turns,
    chunks: isChunked.map((yes) => (yes ? parsed.attention_chunk_size! : 0)),
    qkNorm: parsed.use_qk_norm,
    temperature: parsed.attn_temperature_tuning
      ? { scale: parsed.attn_scale, floor: parsed.floor_scale }
      : null,
    attentionBias: parsed.attention_bias,
    sees: false,
  };
}

const seeing = z.strictObject({
  text_config: z.record(z.string(), z.unknown()),
  vision_config: z.record(z.string(), z.unknown()).optional(),
  tie_word_embeddings: z.boolean().optional(),
});

/** Reads the config.json of a Llama4ForConditionalGeneration, whose text model alone is run. Errors: "config". */
export function readLlama4(json: unknown, source = "config.json"): Llama4Config {
  const images = ["boi_token_index", "eoi_token_index", "image_token_index"];
  const tokens = ["bos_token_id", "eos_token_id", "pad_token_id"];
  const { text_config: text } = parseConfig(seeing, json, source, [...images, ...tokens]);
  return { ...readLlama4Text(text, `${source}: text_config`), sees: true };
}

/** The config.json of a Llama4ForCausalLM. Errors: "model" where it cannot say the routing. */
export function writeLlama4(config: Llama4Config): Record<string, unknown> {
  const { routing, chunks, temperature } = config;
  const k = picksOf(routing) ?? 1;
  mustSay(routing, llama4Routing(routing.experts, k), "llama4_text");
  return {
    architectures: ["Llama4ForCausalLM"],
    model_type: "llama4_text",
    ...writeDecoder(config),
    intermediate_size: config.expertHidden,
    intermediate_size_mlp: config.hidden,
    num_local_experts: routing.experts,
    num_experts_per_tok: k,
    moe_layers: [...config.sparse.keys()].filter((layer) => config.sparse[layer]),
    use_qk_norm: config.qkNorm,
    no_rope_layers: config.turns.map(Number),
    attention_chunk_size: Math.max(...chunks) || null,
    layer_types: chunks.map((chunk) => (chunk > 0 ? chunked : "full_attention")),
    attn_temperature_tuning: temperature !== null,
    ...(temperature ? { attn_scale: temperature.scale, floor_scale: temperature.floor } : {}),
    attention_bias: config.attentionBias,
    router_aux_loss_coef: config.balanceCoefficient,
  };
}

/** Where the parameters of a Llama 4 stand in its files: experts stacked with rows for columns. */
const llama4Layout: FileLayout = {
  ...decoderParts,
  ...attentionParts,
  "layers.#.mlp.gateUp": (at, shape) => [gateUpPair(`model.layers.${at}.feed_forward`, shape)],
  "layers.#.mlp.down.weight": (at) => [[part(`model.layers.${at}.feed_forward.down_proj.weight`)]],
  "layers.#.moe.router.gate.weight": (at) => [[part(`model.layers.${at}.feed_forward.router.weight`)]],
  "layers.#.moe.experts.gateUp": stacked("gate_up_proj"),
  "layers.#.moe.experts.down": stacked("down_proj"),
  "layers.#.moe.shared.expert.gateUp": (at, shape) => [
    gateUpPair(`model.layers.${at}.feed_forward.shared_expert`, shape),
  ],
  "layers.#.moe.shared.expert.down": (at, shape) => [
    [part(`model.layers.${at}.feed_forward.shared_expert.down_proj.weight`, shape.slice(1))],
  ],
};

function stacked(name: string): FileLayout[string] {
  return (at, shape) => [
    transposedStack(`model.layers.${at}.feed_forward.experts.${name}`, shape, "columns for rows"),
  ];
}

/** The same under the name that the text model has in one that sees. */
function inLanguageModel(layout: FileLayout): FileLayout {
  const renamed = (one: FilePart): FilePart => ({ ...one, file: `language_model.${one.file}` });
  return Object.fromEntries(
    Object.entries(layout).map(([name, rule]) => [
      name,
      (layer, shape) => rule(layer, shape).map((parts) => parts.map(renamed)),
    ]),
  );
}
