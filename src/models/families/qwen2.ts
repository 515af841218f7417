/** Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with offsets on queries, keys and values. D width, F hidden width. */
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

export interface Qwen2Config extends DecoderConfig {
  /** F. */
  readonly hidden: number;
  /** Of each layer: how many positions a token attends to, itself included; 0: all before it. */
  readonly windows: readonly number[];
}

export class Qwen2Model extends Decoder<Qwen2Config> {
  readonly layout: FileLayout = qwen2Layout;

  constructor(config: Qwen2Config) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => qwen2Block(config, rotary, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeQwen2(this.config);
  }
}

function qwen2Block(config: Qwen2Config, rotary: Rotary, layer: number): PreNormBlock {
  const { width, hidden, normEps, initStd: std } = config;
  const outStd = residualStd(config);
  const window = config.windows[layer];
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new Attention({ ...config, rotary, window, qkvBias: true, std, outStd }),
    feedForward: new SwigluMlp(width, hidden, std, outStd),
  });
}

const schema = z.strictObject({
  ...decoderKeys,
  ...windowKeys,
  intermediate_size: size,
  use_mrope: z.literal(false, "positions of images are not supported").optional(),
});
const defaults: FamilyDefaults = { kvHeads: 32, ropeTheta: 10_000, normEps: 1e-6 };

/** Reads the config.json of a Qwen2ForCausalLM. Errors: "config". */
export function readQwen2(json: unknown, source = "config.json"): Qwen2Config {
  const parsed = parseConfig(schema, json, source);
  const config = readDecoder(parsed, defaults, source);
  const windows = readWindows(parsed, config.layers, (layer, most) => layer >= most, source);
  return { ...config, hidden: parsed.intermediate_size, windows };
}

/** The config.json of a Qwen2ForCausalLM. */
export function writeQwen2(config: Qwen2Config): Record<string, unknown> {
  return {
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    ...writeDecoder(config),
    ...writeWindows(config.windows),
    intermediate_size: config.hidden,
  };
}

/** Where the parameters of a Qwen2 stand in its files. */
const qwen2Layout: FileLayout = { ...decoderParts, ...attentionParts, ...mlpParts };
