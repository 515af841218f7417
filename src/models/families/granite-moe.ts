/**
 * GraniteMoE (IBM Granite team 2024): Mixtral with constant factors on embedding, attention, residual stream and logits;
 * GraniteMoeShared adds an expert that every token passes.
 *
 * D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
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
import { attentionParts, decoderParts, type FileLayout, part } from "../layout.ts";
import { asSoftmaxOfTopK, type MixtureConfig, softmaxOfTopK, specSource } from "../moe-config.ts";

export interface GraniteMoeConfig extends DecoderConfig, MixtureConfig {
  /** Multiplies the embedding. */
  readonly embeddingScale: number;
  /** Multiplies the scores of attention, in place of 1 / sqrt(headDim). */
  readonly attentionScale: number;
  /** Multiplies what each layer adds to the residual stream. */
  readonly residualScale: number;
  /** Logits are divided by it. */
  readonly logitDivisor: number;
  /** Offsets on the four projections of attention. */
  readonly attentionBias: boolean;
  /** Hidden width of an expert that every token passes; 0: none. */
  readonly sharedHidden: number;
}

export class GraniteMoeModel extends Decoder<GraniteMoeConfig> {
  readonly layout: FileLayout = graniteMoeLayout;

  constructor(config: GraniteMoeConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, {
      block: (layer) => graniteMoeBlock(config, rotary, losses, layer),
      shared: [rotary],
      embeddingScale: config.embeddingScale,
      logitScale: 1 / config.logitDivisor,
    });
  }

  configJson(): Record<string, unknown> {
    return writeGraniteMoe(this.config);
  }
}

function graniteMoeBlock(
  config: GraniteMoeConfig,
  rotary: Rotary,
  losses: LossSpec,
  layer: number,
): PreNormBlock {
  const { width, normEps, residualScale, routing, expertHidden, sharedHidden, initStd: std } = config;
  const { attentionScale: scale, attentionBias: bias } = config;
  const outStd = residualStd(config);
  const shared = sharedHidden > 0 ? ({ hidden: sharedHidden, gate: "none" } as const) : null;
  return new PreNormBlock({
    layer,
    width,
    normEps,
    residualScale,
    attention: new Attention({ ...config, rotary, scale, qkvBias: bias, outBias: bias, std, outStd }),
    feedForward: swigluMixture({ routing, width, hidden: expertHidden, shared, losses, layer, std, outStd }),
  });
}

const factor = z.number().gt(0).default(1);
const schema = z.strictObject({
  ...decoderKeys,
  intermediate_size: size,
  num_local_experts: size,
  num_experts_per_tok: size,
  router_aux_loss_coef: z.number().min(0).default(0.001),
  embedding_multiplier: factor,
  attention_multiplier: factor,
  residual_multiplier: factor,
  logits_scaling: factor,
  attention_bias: z.boolean().default(false),
});
const sharedSchema = z.strictObject({ ...schema.shape, shared_intermediate_size: z.int().min(0) });
const defaults: FamilyDefaults = { kvHeads: "heads", ropeTheta: 10_000, normEps: 1e-6 };

/** Reads the config.json of a GraniteMoeForCausalLM or GraniteMoeSharedForCausalLM. Errors: "config". */
export function readGraniteMoe(json: unknown, source = "config.json"): GraniteMoeConfig {
  const parsed = isShared(json)
    ? parseConfig(sharedSchema, json, source)
    : { ...parseConfig(schema, json, source), shared_intermediate_size: 0 };
  const { num_local_experts: experts, num_experts_per_tok: k } = parsed;
  return {
    ...readDecoder(parsed, defaults, source),
    routing: softmaxOfTopK(experts, k, specSource(source, "num_local_experts")),
    expertHidden: parsed.intermediate_size,
    balanceCoefficient: parsed.router_aux_loss_coef,
    embeddingScale: parsed.embedding_multiplier,
    attentionScale: parsed.attention_multiplier,
    residualScale: parsed.residual_multiplier,
    logitDivisor: parsed.logits_scaling,
    attentionBias: parsed.attention_bias,
    sharedHidden: parsed.shared_intermediate_size,
  };
}

function isShared(json: unknown): boolean {
  return (json as { model_type?: unknown } | null)?.model_type === "granitemoeshared";
}

/** The config.json of a GraniteMoe, shared where it has such an expert. Errors: "model" where it cannot say the routing. */
export function writeGraniteMoe(config: GraniteMoeConfig): Record<string, unknown> {
  const { routing, sharedHidden } = config;
  const shared = sharedHidden > 0;
  return {
    architectures: [shared ? "GraniteMoeSharedForCausalLM" : "GraniteMoeForCausalLM"],
    model_type: shared ? "granitemoeshared" : "granitemoe",
    ...writeDecoder(config),
    intermediate_size: config.expertHidden,
    num_local_experts: routing.experts,
    num_experts_per_tok: asSoftmaxOfTopK(routing, "granitemoe"),
    router_aux_loss_coef: config.balanceCoefficient,
    embedding_multiplier: config.embeddingScale,
    attention_multiplier: config.attentionScale,
    residual_multiplier: config.residualScale,
    logits_scaling: config.logitDivisor,
    attention_bias: config.attentionBias,
    ...(shared ? { shared_intermediate_size: sharedHidden } : {}),
  };
}

/** Where the parameters of a GraniteMoE stand in its files: experts fused, gate's rows before up's. */
const graniteMoeLayout: FileLayout = {
  ...decoderParts,
  ...attentionParts,
  "layers.#.moe.router.gate.weight": inMoe("router.layer.weight"),
  "layers.#.moe.experts.gateUp": inMoe("input_linear.weight"),
  "layers.#.moe.experts.down": inMoe("output_linear.weight"),
  "layers.#.moe.shared.expert.gateUp": (at, shape) => [
    [part(`model.layers.${at}.shared_mlp.input_linear.weight`, shape.slice(1))],
  ],
  "layers.#.moe.shared.expert.down": (at, shape) => [
    [part(`model.layers.${at}.shared_mlp.output_linear.weight`, shape.slice(1))],
  ],
};

function inMoe(name: string): FileLayout[string] {
  return (at) => [[part(`model.layers.${at}.block_sparse_moe.${name}`)]];
}
