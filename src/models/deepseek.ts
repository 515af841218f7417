/**
 * What DeepSeek-V2 and V3 have in common (Liu et al. 2024): multi-head latent attention, some dense layers, then mixtures of many
 * narrow experts beside a few that every token passes.
 *
 * D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
import { fail } from "../errors.ts";
import type { LossSpec, RoutingSpec, SpecSource } from "../moe/index.ts";
import { LatentAttention, type Rotary, SwigluMlp, yarnMagnitude } from "../nn/index.ts";
import { PreNormBlock, swigluMixture } from "./block.ts";
import { type DecoderConfig, residualStd } from "./decoder.ts";
import { type DecoderJson, type FamilyDefaults, readDecoder, size, writeDecoder } from "./hf-config.ts";
import {
  attentionParts,
  decoderParts,
  expertParts,
  type FileLayout,
  gateUpPair,
  mlpParts,
  part,
} from "./layout.ts";
import { specSource } from "./moe-config.ts";
import { ropeParametersOf } from "./rope-config.ts";

/** headDim is the part of a head that turns with the position. */
export interface DeepseekConfig extends DecoderConfig {
  /** Width of the vector that keys and values are made from, and of that of queries; null: none. */
  readonly latent: number;
  readonly queryLatent: number | null;
  /** Features of a head's key that do not turn, and of its value. */
  readonly plainDim: number;
  readonly valueDim: number;
  /** How much YaRN's magnitude sharpens the scores; 0: not. */
  readonly magnitudeWeight: number;
  readonly attentionBias: boolean;
  readonly routing: RoutingSpec;
  /** F. */
  readonly expertHidden: number;
  /** Experts that every token passes. */
  readonly sharedExperts: number;
  /** The layers before this one are dense. */
  readonly firstSparse: number;
  /** Hidden width of those. */
  readonly hidden: number;
}

/** One layer. */
export function deepseekBlock(
  config: DeepseekConfig,
  rotary: Rotary,
  losses: LossSpec,
  layer: number,
): PreNormBlock {
  const { width, normEps, routing, expertHidden, sharedExperts, initStd: std } = config;
  const outStd = residualStd(config);
  const shared = { hidden: sharedExperts * expertHidden, gate: "none" } as const;
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new LatentAttention({
      width,
      heads: config.heads,
      latent: config.latent,
      queryLatent: config.queryLatent,
      plain: config.plainDim,
      value: config.valueDim,
      rotary,
      scale: scoreScale(config),
      bias: config.attentionBias,
      std,
      outStd,
    }),
    feedForward:
      layer >= config.firstSparse
        ? swigluMixture({ routing, width, hidden: expertHidden, shared, losses, layer, std, outStd })
        : new SwigluMlp(width, config.hidden, std, outStd),
  });
}

/** 1 / sqrt(width of a head), times the square of YaRN's magnitude where the config says so. */
function scoreScale({ plainDim, headDim, rope: { scaling }, magnitudeWeight }: DeepseekConfig): number {
  const magnitude =
    scaling.kind === "yarn" && magnitudeWeight !== 0 ? yarnMagnitude(scaling.factor, magnitudeWeight) : 1;
  return (plainDim + headDim) ** -0.5 * magnitude ** 2;
}

/** Keys beside those of every decoder; undefined: not given. */
export interface DeepseekJson {
  readonly intermediate_size: number;
  readonly moe_intermediate_size: number;
  readonly kv_lora_rank: number;
  readonly q_lora_rank: number | null;
  readonly qk_nope_head_dim: number;
  readonly qk_rope_head_dim: number;
  readonly qk_head_dim: number | undefined;
  readonly v_head_dim: number;
  readonly attention_bias: boolean;
  readonly n_routed_experts: number;
  readonly n_shared_experts: number;
  readonly num_experts_per_tok: number;
  readonly first_k_dense_replace: number;
  readonly moe_layer_freq: 1;
  readonly n_group: number | null;
  readonly topk_group: number | null;
}

export const deepseekKeys: { readonly [Key in keyof DeepseekJson]: z.ZodType<DeepseekJson[Key]> } = {
  intermediate_size: size,
  moe_intermediate_size: size,
  kv_lora_rank: size,
  q_lora_rank: size.nullable().default(1536),
  qk_nope_head_dim: size,
  qk_rope_head_dim: size,
  qk_head_dim: size.optional(),
  v_head_dim: size,
  attention_bias: z.boolean().default(false),
  n_routed_experts: size,
  n_shared_experts: size,
  num_experts_per_tok: size,
  first_k_dense_replace: z.int().min(0),
  moe_layer_freq: z.literal(1).default(1),
  n_group: size.nullable().default(null),
  topk_group: size.nullable().default(null),
};

/** The keys that say the routing, for errors. */
export function deepseekSource(source: string): SpecSource {
  const groups = { "groups.count": "n_group", "groups.keep": "topk_group", "groups.score": "n_group" };
  return specSource(source, "n_routed_experts", { ...groups, scale: "routed_scaling_factor" });
}

/** The balance loss of training. */
export const deepseekUnused: readonly string[] = ["router_aux_loss_coef"];

const defaults: FamilyDefaults = { kvHeads: "heads", ropeTheta: 10_000, normEps: 1e-6 };

/** The shared part of a config, checked. Errors: "config". */
export function readDeepseek(
  json: DecoderJson & DeepseekJson,
  routing: RoutingSpec,
  interleaved: boolean,
  source: string,
): DeepseekConfig {
  const { qk_nope_head_dim: plainDim, qk_rope_head_dim: turned, qk_head_dim: both } = json;
  if (both !== undefined && both !== plainDim + turned)
    fail(
      "config",
      `${source}: qk_head_dim: ${both} is not qk_nope_head_dim + qk_rope_head_dim (${plainDim + turned})`,
    );
  const base = readDecoder({ ...json, head_dim: turned }, defaults, source);
  if (base.kvHeads !== base.heads)
    fail(
      "config",
      `${source}: num_key_value_heads: ${base.kvHeads}; all ${base.heads} heads have keys of their own`,
    );
  const rope = ropeParametersOf(json);
  return {
    ...base,
    rope: { ...base.rope, interleaved },
    latent: json.kv_lora_rank,
    queryLatent: json.q_lora_rank,
    plainDim,
    valueDim: json.v_head_dim,
    magnitudeWeight: (rope?.rope_type === "yarn" && rope.mscale_all_dim) || 0,
    attentionBias: json.attention_bias,
    routing,
    expertHidden: json.moe_intermediate_size,
    sharedExperts: json.n_shared_experts,
    firstSparse: Math.min(json.first_k_dense_replace, base.layers),
    hidden: json.intermediate_size,
  };
}

/** Keys of {@link readDeepseek}, routing apart. */
export function writeDeepseek(config: DeepseekConfig): Record<string, unknown> {
  const { magnitudeWeight } = config;
  const decoder = writeDecoder(config);
  const scaling = decoder.rope_scaling as Record<string, unknown> | undefined;
  const magnified =
    scaling && magnitudeWeight !== 0 ? { ...scaling, mscale_all_dim: magnitudeWeight } : scaling;
  return {
    ...decoder,
    ...(magnified ? { rope_scaling: magnified } : {}),
    intermediate_size: config.hidden,
    moe_intermediate_size: config.expertHidden,
    kv_lora_rank: config.latent,
    q_lora_rank: config.queryLatent,
    qk_nope_head_dim: config.plainDim,
    qk_rope_head_dim: config.headDim,
    v_head_dim: config.valueDim,
    attention_bias: config.attentionBias,
    n_routed_experts: config.routing.experts,
    n_shared_experts: config.sharedExperts,
    first_k_dense_replace: config.firstSparse,
    n_group: config.routing.groups?.count ?? 1,
    topk_group: config.routing.groups?.keep ?? 1,
  };
}

/** How our names follow from those of the files, in latent attention. */
const latentNames = {
  qDown: "q_a_proj",
  qNorm: "q_a_layernorm",
  qUp: "q_b_proj",
  kvDown: "kv_a_proj_with_mqa",
  kvNorm: "kv_a_layernorm",
  kvUp: "kv_b_proj",
} as const;

/** Where the parameters of a DeepSeek stand in its files. */
export const deepseekLayout: FileLayout = {
  ...decoderParts,
  ...attentionParts,
  ...mlpParts,
  ...expertParts,
  ...Object.fromEntries(
    Object.entries(latentNames).flatMap(([ours, theirs]) =>
      ["weight", "bias"].map((kind): [string, FileLayout[string]] => [
        `layers.#.attention.${ours}.${kind}`,
        (at) => [[part(`model.layers.${at}.self_attn.${theirs}.${kind}`)]],
      ]),
    ),
  ),
  "layers.#.moe.router.bias": (at) => [[part(`model.layers.${at}.mlp.gate.e_score_correction_bias`)]],
  "layers.#.moe.shared.expert.gateUp": (at, shape) => [
    gateUpPair(`model.layers.${at}.mlp.shared_experts`, shape),
  ],
  "layers.#.moe.shared.expert.down": (at, shape) => [
    [part(`model.layers.${at}.mlp.shared_experts.down_proj.weight`, shape.slice(1))],
  ],
};
