/**
 * Mistral (Jiang et al. 2023): the dense decoder that Mixtral is made from. T tokens, D width, F hidden
 * width.
 */
import { z } from "zod";
import { Attention, type NamedParameter, RmsNorm, Rotary, SwigluMlp, within } from "../../nn/index.ts";
import { add, type Context, type Tensor } from "../../tensor/index.ts";
import {
  type Block,
  type BlockInputs,
  type BlockOutput,
  Decoder,
  type DecoderConfig,
  residualStd,
} from "../decoder.ts";
import { decoderKeys, type FamilyDefaults, parseConfig, readDecoder, writeDecoder } from "../hf-config.ts";
import { attentionParts, decoderParts, type FileLayout, part } from "../layout.ts";

export interface MistralConfig extends DecoderConfig {
  /** F. */
  readonly hidden: number;
}

class MistralBlock implements Block {
  readonly moe = null;
  readonly layer: number;
  readonly attentionNorm: RmsNorm;
  readonly attention: Attention;
  readonly mlpNorm: RmsNorm;
  readonly mlp: SwigluMlp;

  constructor(config: MistralConfig, rotary: Rotary, layer: number) {
    const outStd = residualStd(config);
    this.layer = layer;
    this.attentionNorm = new RmsNorm(config.width, config.normEps);
    this.attention = new Attention({ ...config, rotary, std: config.initStd, outStd });
    this.mlpNorm = new RmsNorm(config.width, config.normEps);
    this.mlp = new SwigluMlp(config.width, config.hidden, config.initStd, outStd);
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("attentionNorm", this.attentionNorm);
    yield* within("attention", this.attention);
    yield* within("mlpNorm", this.mlpNorm);
    yield* within("mlp", this.mlp);
  }

  forward(x_TD: Tensor, { sequence, cache }: BlockInputs, ctx: Context): BlockOutput {
    const attended_TD = this.attention.forward(this.attentionNorm.forward(x_TD), sequence, cache, ctx);
    ctx.tap("attention", this.layer, attended_TD);
    const middle_TD = add(x_TD, attended_TD);
    const hidden_TD = this.mlp.forward(this.mlpNorm.forward(middle_TD), ctx);
    ctx.tap("mlp", this.layer, hidden_TD);
    return { x_TD: add(middle_TD, hidden_TD), moe: null };
  }
}

export class MistralModel extends Decoder {
  readonly config: MistralConfig;
  readonly layout: FileLayout = mistralLayout;
  readonly expertShare = 1;

  constructor(config: MistralConfig) {
    const rotary = new Rotary({ dims: config.headDim, theta: config.ropeTheta });
    super(
      config,
      Array.from({ length: config.layers }, (_, layer) => new MistralBlock(config, rotary, layer)),
      [rotary],
    );
    this.config = config;
  }

  configJson(): Record<string, unknown> {
    return writeMistral(this.config);
  }

  beyondFamily(): readonly string[] {
    return [];
  }
}

const schema = z.strictObject(decoderKeys);
const defaults: FamilyDefaults = { kvHeads: 8, ropeTheta: 10_000, normEps: 1e-6, window: 4096 };

/** Reads the config.json of a MistralForCausalLM. Errors: "config". */
export function readMistral(json: unknown, source = "config.json"): MistralConfig {
  const parsed = parseConfig(schema, json, source);
  return { ...readDecoder(parsed, defaults, source), hidden: parsed.intermediate_size };
}

/** The config.json of a MistralForCausalLM. */
export function writeMistral(config: MistralConfig): Record<string, unknown> {
  return {
    architectures: ["MistralForCausalLM"],
    model_type: "mistral",
    ...writeDecoder(config),
    intermediate_size: config.hidden,
  };
}

/** Where the parameters of a Mistral stand in its files. */
export const mistralLayout: FileLayout = {
  ...decoderParts,
  "layers.#.attentionNorm.weight": (at) => [[part(`model.layers.${at}.input_layernorm.weight`)]],
  "layers.#.mlpNorm.weight": (at) => [[part(`model.layers.${at}.post_attention_layernorm.weight`)]],
  ...attentionParts,
  "layers.#.mlp.gateUp": (at, [rows, width]) => [
    [
      part(`model.layers.${at}.mlp.gate_proj.weight`, [rows / 2, width]),
      part(`model.layers.${at}.mlp.up_proj.weight`, [rows / 2, width]),
    ],
  ],
  "layers.#.mlp.down.weight": (at) => [[part(`model.layers.${at}.mlp.down_proj.weight`)]],
};
