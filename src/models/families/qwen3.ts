/** Qwen3 (Yang et al. 2025): Llama with queries and keys normed head by head. D width, F hidden width. */
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
import { readWindows, windowKeys, writeWindows } from "../window-config.ts";

export interface Qwen3Config extends DecoderConfig {
  /** F. */
  readonly hidden: number;
  /** Of each layer: how many positions a token attends to, itself included; 0: all before it. */
  readonly windows: readonly number[];
  /** Offsets on the four projections of attention. */
  readonly attentionBias: boolean;
}

export class Qwen3Model extends Decoder<Qwen3Config> {
  readonly layout: FileLayout = qwen3Layout;

  constructor(config: Qwen3Config) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => qwen3Block(config, rotary, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeQwen3(this.config);
  }
}

function qwen3Block(config: Qwen3Config, rotary: Rotary, layer: number): PreNormBlock {
  const { width, hidden, normEps: eps, attentionBias, initStd: std } = config;
  const outStd = residualStd(config);
  return new PreNormBlock({
    layer,
    width,
    normEps: eps,
    attention: new Attention({
      ...config,
      rotary,
      window: config.windows[layer],
      qkvBias: attentionBias,
      outBias: attentionBias,
      qkNorm: { over: "head", eps },
      std,
      outStd,
    }),
    feedForward: new SwigluMlp(width, hidden, std, outStd),
  });
}

const schema = z.strictObject({
  ...decoderKeys,
  ...windowKeys,
  head_dim: size.default(128),
  intermediate_size: size,
  attention_bias: z.boolean().default(false),
});
const defaults: FamilyDefaults = { kvHeads: 32, ropeTheta: 10_000, normEps: 1e-6 };

/** Reads the config.json of a Qwen3ForCausalLM. Errors: "config". */
export function readQwen3(json: unknown, source = "config.json"): Qwen3Config {
  const parsed = parseConfig(schema, json, source);
  const config = readDecoder(parsed, defaults, source);
  const windows = readWindows(parsed, config.layers, (layer, most) => layer >= most, source);
  return { ...config, hidden: parsed.intermediate_size, windows, attentionBias: parsed.attention_bias };
}

/** The config.json of a Qwen3ForCausalLM. */
export function writeQwen3(config: Qwen3Config): Record<string, unknown> {
  return {
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    ...writeDecoder(config),
    ...writeWindows(config.windows),
    intermediate_size: config.hidden,
    attention_bias: config.attentionBias,
  };
}

/** Where the parameters of a Qwen3 stand in its files. */
const qwen3Layout: FileLayout = { ...decoderParts, ...attentionParts, ...mlpParts };
