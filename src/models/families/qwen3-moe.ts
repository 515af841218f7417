/**
 * Qwen3-MoE (Yang et al. 2025): 128 experts, none shared; queries and keys normed head by head; some layers may be
 * dense.
 *
 * D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
import { fail } from "../../errors.ts";
import { type LossSpec, noLosses } from "../../moe/index.ts";
import { Attention, Rotary, SwigluMlp } from "../../nn/index.ts";
import { PreNormBlock, swigluMixture } from "../block.ts";
import { Decoder, type DecoderConfig, residualStd } from "../decoder.ts";
import {
  decoderKeys,
  type FamilyDefaults,
  parseConfig,
  readDecoder,
  size,
  writeDecoder,
  writeWindow,
} from "../hf-config.ts";
import { attentionParts, decoderParts, expertParts, type FileLayout, mlpParts } from "../layout.ts";
import { readSparse, type SparseConfig, sparseKeys, writeSparse } from "../moe-config.ts";

export interface Qwen3MoeConfig extends DecoderConfig, SparseConfig {
  /** Offsets on the four projections of attention. */
  readonly attentionBias: boolean;
  /** A token attends to this many positions, itself included; 0: to all before it. */
  readonly window: number;
}

export class Qwen3MoeModel extends Decoder<Qwen3MoeConfig> {
  readonly layout: FileLayout = qwen3MoeLayout;

  constructor(config: Qwen3MoeConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => qwen3MoeBlock(config, rotary, losses, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeQwen3Moe(this.config);
  }
}

function qwen3MoeBlock(
  config: Qwen3MoeConfig,
  rotary: Rotary,
  losses: LossSpec,
  layer: number,
): PreNormBlock {
  const { width, normEps: eps, routing, expertHidden, attentionBias, initStd: std } = config;
  const outStd = residualStd(config);
  return new PreNormBlock({
    layer,
    width,
    normEps: eps,
    attention: new Attention({
      ...config,
      rotary,
      qkvBias: attentionBias,
      outBias: attentionBias,
      qkNorm: { over: "head", eps },
      std,
      outStd,
    }),
    feedForward: config.sparse[layer]
      ? swigluMixture({ routing, width, hidden: expertHidden, losses, layer, std, outStd })
      : new SwigluMlp(width, config.hidden, std, outStd),
  });
}

const schema = z.strictObject({
  ...decoderKeys,
  ...sparseKeys,
  num_experts: size.optional(),
  num_local_experts: size.optional(),
  attention_bias: z.boolean().default(false),
  use_sliding_window: z.boolean().default(false),
  sliding_window: size.nullable().default(4096),
  // Qwen3-Coder's config says these of every Qwen3-MoE.
  qkv_bias: z.literal(false).optional(),
  use_qk_norm: z.literal(true).optional(),
  shared_expert_intermediate_size: z.literal(0).optional(),
});
/** Written by Qwen2's configs and carried on; all layers of a Qwen3-MoE are alike. */
const unused = ["max_window_layers"];
const defaults: FamilyDefaults = { kvHeads: 4, ropeTheta: 10_000, normEps: 1e-6 };

/** Reads the config.json of a Qwen3MoeForCausalLM. Errors: "config". */
export function readQwen3Moe(json: unknown, source = "config.json"): Qwen3MoeConfig {
  const parsed = parseConfig(schema, json, source, unused);
  const config = readDecoder(parsed, defaults, source);
  const { num_experts: own, num_local_experts: local } = parsed;
  const experts = own ?? local ?? fail("config", `${source}: num_experts: missing`);
  if (local !== undefined && local !== experts)
    fail("config", `${source}: num_local_experts: ${local} is not num_experts (${experts})`);
  return {
    ...config,
    ...readSparse(parsed, experts, config.layers, source),
    attentionBias: parsed.attention_bias,
    window: parsed.use_sliding_window ? (parsed.sliding_window ?? 0) : 0,
  };
}

/** The config.json of a Qwen3MoeForCausalLM. Errors: "model" where it cannot say the routing. */
export function writeQwen3Moe(config: Qwen3MoeConfig): Record<string, unknown> {
  return {
    architectures: ["Qwen3MoeForCausalLM"],
    model_type: "qwen3_moe",
    ...writeDecoder(config),
    ...writeSparse(config, "qwen3_moe"),
    attention_bias: config.attentionBias,
    use_sliding_window: config.window > 0,
    sliding_window: writeWindow(config.window),
  };
}

/** Where the parameters of a Qwen3-MoE stand in its files. */
const qwen3MoeLayout: FileLayout = { ...decoderParts, ...attentionParts, ...mlpParts, ...expertParts };
