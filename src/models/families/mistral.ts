/**
 * Mistral (Jiang et al. 2023): the dense decoder that Mixtral is made from. T tokens, D width, F hidden
 * width.
 */
import { z } from "zod";
import { Attention, Rotary, SwigluMlp } from "../../nn/index.ts";
import { PreNormBlock } from "../block.ts";
import { Decoder, type DecoderConfig, residualStd } from "../decoder.ts";
import {
  decoderKeys,
  type FamilyDefaults,
  parseConfig,
  readDecoder,
  readWindow,
  size,
  writeDecoder,
  writeWindow,
} from "../hf-config.ts";
import { attentionParts, decoderParts, type FileLayout, mlpParts } from "../layout.ts";

export interface MistralConfig extends DecoderConfig {
  /** F. */
  readonly hidden: number;
  /** A token attends to this many positions, itself included; 0: to all before it. */
  readonly window: number;
}

export class MistralModel extends Decoder<MistralConfig> {
  readonly layout: FileLayout = mistralLayout;

  constructor(config: MistralConfig) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => mistralBlock(config, rotary, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeMistral(this.config);
  }
}

function mistralBlock(config: MistralConfig, rotary: Rotary, layer: number): PreNormBlock {
  const { width, hidden, normEps, initStd: std } = config;
  const outStd = residualStd(config);
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new Attention({ ...config, rotary, std, outStd }),
    feedForward: new SwigluMlp(width, hidden, std, outStd),
  });
}

const schema = z.strictObject({
  ...decoderKeys,
  intermediate_size: size,
  sliding_window: size.nullable().default(4096),
});
const defaults: FamilyDefaults = { kvHeads: 8, ropeTheta: 10_000, normEps: 1e-6 };

/** Reads the config.json of a MistralForCausalLM. Errors: "config". */
export function readMistral(json: unknown, source = "config.json"): MistralConfig {
  const parsed = parseConfig(schema, json, source);
  return {
    ...readDecoder(parsed, defaults, source),
    hidden: parsed.intermediate_size,
    window: readWindow(parsed.sliding_window),
  };
}

/** The config.json of a MistralForCausalLM. */
export function writeMistral(config: MistralConfig): Record<string, unknown> {
  return {
    architectures: ["MistralForCausalLM"],
    model_type: "mistral",
    ...writeDecoder(config),
    sliding_window: writeWindow(config.window),
    intermediate_size: config.hidden,
  };
}

/** Where the parameters of a Mistral stand in its files. */
const mistralLayout: FileLayout = { ...decoderParts, ...attentionParts, ...mlpParts };
