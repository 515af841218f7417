/** Llama (Touvron et al. 2023; Dubey et al. 2024, "The Llama 3 herd of models"). D width, F hidden width. */
import { z } from "zod";
import { Attention, Rotary, SwigluMlp } from "../../nn/index.ts";
import { PreNormBlock } from "../block.ts";
import { Decoder, type DecoderConfig, residualStd } from "../decoder.ts";
import {
  decoderKeys,
  type FamilyDefaults,
  parseConfig,
  readDecoder,
  size,
  writeDecoder,
} from "../hf-config.ts";
import { attentionParts, decoderParts, type FileLayout, mlpParts } from "../layout.ts";

export interface LlamaConfig extends DecoderConfig {
  /** F. */
  readonly hidden: number;
  /** Offsets on the four projections of attention. */
  readonly attentionBias: boolean;
}

export class LlamaModel extends Decoder<LlamaConfig> {
  readonly layout: FileLayout = llamaLayout;

  constructor(config: LlamaConfig) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => llamaBlock(config, rotary, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeLlama(this.config);
  }
}

function llamaBlock(config: LlamaConfig, rotary: Rotary, layer: number): PreNormBlock {
  const { width, hidden, normEps, attentionBias, initStd: std } = config;
  const outStd = residualStd(config);
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new Attention({
      ...config,
      rotary,
      qkvBias: attentionBias,
      outBias: attentionBias,
      std,
      outStd,
    }),
    feedForward: new SwigluMlp(width, hidden, std, outStd),
  });
}

const schema = z.strictObject({
  ...decoderKeys,
  intermediate_size: size,
  attention_bias: z.boolean().default(false),
  mlp_bias: z.literal(false, "feed-forward layers with offsets are not supported").default(false),
});
const defaults: FamilyDefaults = { kvHeads: "heads", ropeTheta: 10_000, normEps: 1e-6 };

/** Reads the config.json of a LlamaForCausalLM. Errors: "config". */
export function readLlama(json: unknown, source = "config.json"): LlamaConfig {
  const parsed = parseConfig(schema, json, source);
  return {
    ...readDecoder(parsed, defaults, source),
    hidden: parsed.intermediate_size,
    attentionBias: parsed.attention_bias,
  };
}

/** The config.json of a LlamaForCausalLM. */
export function writeLlama(config: LlamaConfig): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    ...writeDecoder(config),
    intermediate_size: config.hidden,
    attention_bias: config.attentionBias,
  };
}

/** Where the parameters of a Llama stand in its files. */
const llamaLayout: FileLayout = { ...decoderParts, ...attentionParts, ...mlpParts };
