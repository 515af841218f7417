/**
 * OLMoE (Muennighoff et al. 2024): many small experts, queries and keys normed over all heads at once.
 *
 * D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
import { fail } from "../../errors.ts";
import { type LossSpec, noLosses } from "../../moe/index.ts";
import { Attention, Rotary } from "../../nn/index.ts";
import { PreNormBlock, swigluMixture } from "../block.ts";
import { Decoder, type DecoderConfig, residualStd } from "../decoder.ts";
import {
  decoderKeys,
  type FamilyDefaults,
  parseConfig,
  readDecoder,
  size,
  writeDecoder,
} from "../hf-config.ts";
import { attentionParts, decoderParts, expertParts, type FileLayout } from "../layout.ts";
import { asTopK, type MixtureConfig, readTopK } from "../moe-config.ts";

export interface OlmoeConfig extends DecoderConfig, MixtureConfig {
  /** Queries, keys and values are held within [-clip, clip]; null: not. */
  readonly clip: number | null;
  /** Offsets on the four projections of attention. */
  readonly attentionBias: boolean;
}

export class OlmoeModel extends Decoder<OlmoeConfig> {
  readonly layout: FileLayout = olmoeLayout;

  constructor(config: OlmoeConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => olmoeBlock(config, rotary, losses, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeOlmoe(this.config);
  }
}

function olmoeBlock(config: OlmoeConfig, rotary: Rotary, losses: LossSpec, layer: number): PreNormBlock {
  const { width, routing, expertHidden: hidden, normEps: eps, attentionBias, initStd: std } = config;
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
      qkNorm: { over: "projection", eps },
      std,
      outStd,
    }),
    feedForward: swigluMixture({ routing, width, hidden, losses, layer, std, outStd }),
  });
}

const schema = z.strictObject({
  ...decoderKeys,
  intermediate_size: size,
  num_experts: size,
  num_experts_per_tok: size,
  norm_topk_prob: z.boolean().default(false),
  router_aux_loss_coef: z.number().min(0).default(0.01),
  clip_qkv: z.number().gt(0).nullable().default(null),
  attention_bias: z.boolean().default(false),
});
const defaults: FamilyDefaults = { kvHeads: "heads", ropeTheta: 10_000, normEps: 1e-5 };

/** Reads the config.json of an OlmoeForCausalLM. Errors: "config". */
export function readOlmoe(json: unknown, source = "config.json"): OlmoeConfig {
  const parsed = parseConfig(schema, json, source);
  const decoder = readDecoder(parsed, defaults, source);
  if (decoder.heads * decoder.headDim !== decoder.width)
    fail(
      "config",
      `${source}: head_dim: OLMoE's heads share the width evenly, so it is ${decoder.width / decoder.heads}`,
    );
  return {
    ...decoder,
    routing: readTopK(parsed.num_experts_per_tok, parsed.num_experts, parsed.norm_topk_prob, source),
    expertHidden: parsed.intermediate_size,
    balanceCoefficient: parsed.router_aux_loss_coef,
    clip: parsed.clip_qkv,
    attentionBias: parsed.attention_bias,
  };
}

/** The config.json of an OlmoeForCausalLM. Errors: "model" where it cannot say the routing. */
export function writeOlmoe(config: OlmoeConfig): Record<string, unknown> {
  const { k, normalise } = asTopK(config.routing, "olmoe");
  const { head_dim: _, ...decoder } = writeDecoder(config);
  return {
    architectures: ["OlmoeForCausalLM"],
    model_type: "olmoe",
    ...decoder,
    intermediate_size: config.expertHidden,
    num_experts: config.routing.experts,
    num_experts_per_tok: k,
    norm_topk_prob: normalise,
    router_aux_loss_coef: config.balanceCoefficient,
    clip_qkv: config.clip,
    attention_bias: config.attentionBias,
  };
}

/** Where the parameters of an OLMoE stand in its files. */
const olmoeLayout: FileLayout = { ...decoderParts, ...attentionParts, ...expertParts };
