/**
 * Qwen1.5-MoE and Qwen2-MoE (Yang et al. 2024): beside the routed experts a wide one that every token passes, opened by a gate of
 * its own; some layers may be dense.
 *
 * D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
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
} from "../hf-config.ts";
import {
  attentionParts,
  decoderParts,
  expertParts,
  type FileLayout,
  gateUpPair,
  mlpParts,
  part,
} from "../layout.ts";
import { readSparse, type SparseConfig, sparseKeys, writeSparse } from "../moe-config.ts";
import { readWindows, windowKeys, writeWindows } from "../window-config.ts";

export interface Qwen2MoeConfig extends DecoderConfig, SparseConfig {
  /** Hidden width of the expert that every token passes. */
  readonly sharedHidden: number;
  /** Offsets on queries, keys and values. */
  readonly qkvBias: boolean;
  /** Of each layer: how many positions a token attends to, itself included; 0: all before it. */
  readonly windows: readonly number[];
}

export class Qwen2MoeModel extends Decoder<Qwen2MoeConfig> {
  readonly layout: FileLayout = qwen2MoeLayout;

  constructor(config: Qwen2MoeConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => qwen2MoeBlock(config, rotary, losses, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeQwen2Moe(this.config);
  }
}

function qwen2MoeBlock(
  config: Qwen2MoeConfig,
  rotary: Rotary,
  losses: LossSpec,
  layer: number,
): PreNormBlock {
  const { width, normEps, routing, expertHidden, sharedHidden, initStd: std } = config;
  const outStd = residualStd(config);
  const shared = { hidden: sharedHidden, gate: "sigmoid" } as const;
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new Attention({ ...config, rotary, window: config.windows[layer], std, outStd }),
    feedForward: config.sparse[layer]
      ? swigluMixture({ routing, width, hidden: expertHidden, shared, losses, layer, std, outStd })
      : new SwigluMlp(width, config.hidden, std, outStd),
  });
}

const schema = z.strictObject({
  ...decoderKeys,
  ...windowKeys,
  ...sparseKeys,
  num_experts: size,
  shared_expert_intermediate_size: size,
  qkv_bias: z.boolean().default(true),
});
const defaults: FamilyDefaults = { kvHeads: 16, ropeTheta: 10_000, normEps: 1e-6 };

/** Reads the config.json of a Qwen2MoeForCausalLM. Errors: "config". */
export function readQwen2Moe(json: unknown, source = "config.json"): Qwen2MoeConfig {
  const parsed = parseConfig(schema, json, source);
  const config = readDecoder(parsed, defaults, source);
  // Every second layer slides below max_window_layers, by transformers' rule for this family alone.
  const slides = (layer: number, most: number): boolean => layer % 2 === 0 && layer < most;
  return {
    ...config,
    ...readSparse(parsed, parsed.num_experts, config.layers, source),
    sharedHidden: parsed.shared_expert_intermediate_size,
    qkvBias: parsed.qkv_bias,
    windows: readWindows(parsed, config.layers, slides, source),
  };
}

/** The config.json of a Qwen2MoeForCausalLM. Errors: "model" where it cannot say the routing. */
export function writeQwen2Moe(config: Qwen2MoeConfig): Record<string, unknown> {
  return {
    architectures: ["Qwen2MoeForCausalLM"],
    model_type: "qwen2_moe",
    ...writeDecoder(config),
    ...writeWindows(config.windows),
    ...writeSparse(config, "qwen2_moe"),
    shared_expert_intermediate_size: config.sharedHidden,
    qkv_bias: config.qkvBias,
  };
}

/** Where the parameters of a Qwen2-MoE stand in its files. */
const qwen2MoeLayout: FileLayout = {
  ...decoderParts,
  ...attentionParts,
  ...mlpParts,
  ...expertParts,
  "layers.#.moe.shared.expert.gateUp": (at, shape) => [
    gateUpPair(`model.layers.${at}.mlp.shared_expert`, shape),
  ],
  "layers.#.moe.shared.expert.down": (at, shape) => [
    [part(`model.layers.${at}.mlp.shared_expert.down_proj.weight`, shape.slice(1))],
  ],
  "layers.#.moe.shared.gate": (at) => [[part(`model.layers.${at}.mlp.shared_expert_gate.weight`)]],
};
