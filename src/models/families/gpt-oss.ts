/**
 * gpt-oss (OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card"): every second layer looks at a window; each head may look at nothing,
 * by a learned sink; the router and the experts have offsets, and the experts' gated unit is cut off.
 *
 * D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
import { fail } from "../../errors.ts";
import {
  ClampedSwigluExperts,
  type LossSpec,
  MoeLayer,
  noLosses,
  parseRoutingSpec,
  picksOf,
  type RoutingSpec,
  type SpecSource,
} from "../../moe/index.ts";
import { Attention, Rotary } from "../../nn/index.ts";
import { PreNormBlock } from "../block.ts";
import { Decoder, type DecoderConfig, residualStd } from "../decoder.ts";
import {
  checkLength,
  decoderKeys,
  type FamilyDefaults,
  parseConfig,
  readDecoder,
  size,
  writeDecoder,
} from "../hf-config.ts";
import { attentionParts, decoderParts, type FileLayout, type FileParts, part } from "../layout.ts";
import { type MixtureConfig, mustSay, specSource } from "../moe-config.ts";
import { biasByTurns, fitsMxfp4, mxfp4Stack, transposedStack } from "../rearranged.ts";
import { ropeParametersOf } from "../rope-config.ts";

export interface GptOssConfig extends DecoderConfig, MixtureConfig {
  /** Of each layer: how many positions a token attends to, itself included; 0: all before it. */
  readonly windows: readonly number[];
  /** Offsets on the four projections of attention. */
  readonly attentionBias: boolean;
}

export class GptOssModel extends Decoder<GptOssConfig> {
  readonly layout: FileLayout = gptOssLayout;

  constructor(config: GptOssConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => gptOssBlock(config, rotary, losses, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeGptOss(this.config);
  }
}

function gptOssBlock(config: GptOssConfig, rotary: Rotary, losses: LossSpec, layer: number): PreNormBlock {
  const { width, normEps, routing, expertHidden, attentionBias, windows, initStd: std } = config;
  const outStd = residualStd(config);
  const experts = new ClampedSwigluExperts({
    count: routing.experts,
    width,
    hidden: expertHidden,
    std,
    outStd,
  });
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new Attention({
      ...config,
      rotary,
      window: windows[layer],
      sinks: true,
      qkvBias: attentionBias,
      outBias: attentionBias,
      std,
      outStd,
    }),
    feedForward: new MoeLayer({ spec: routing, width, experts, losses, layer, std }),
  });
}

/** The K highest logits, offset included, then softmax over them alone. */
function gptOssRouting(experts: number, k: number, from?: SpecSource): RoutingSpec {
  const gate = { kind: "linear", bias: true };
  return parseRoutingSpec({ experts, gate, select: { by: "token", k }, order: "select-then-score" }, from);
}

const sliding = "sliding_attention";
const schema = z.strictObject({
  ...decoderKeys,
  intermediate_size: size,
  num_local_experts: size,
  num_experts_per_tok: size.default(4),
  router_aux_loss_coef: z.number().min(0).default(0.001),
  sliding_window: size.nullable().default(128),
  layer_types: z.array(z.enum([sliding, "full_attention"])).optional(),
  attention_bias: z.boolean().default(true),
  swiglu_limit: z.literal(7).default(7),
  quantization_config: z
    .strictObject({
      quant_method: z.literal("mxfp4"),
      modules_to_not_convert: z.array(z.string()).optional(),
    })
    .optional(),
});
const defaults: FamilyDefaults = { kvHeads: 8, ropeTheta: 150_000, normEps: 1e-5 };
const defaultHeadDim = 64;

/** The same as other keys say, in the words of OpenAI's own code. */
const unused = ["experts_per_token", "initial_context_length"];

/** Reads the config.json of a GptOssForCausalLM. Errors: "config". */
export function readGptOss(json: unknown, source = "config.json"): GptOssConfig {
  const parsed = parseConfig(schema, json, source, unused);
  const { num_local_experts: experts, num_experts_per_tok: k } = parsed;
  if (!ropeParametersOf(parsed))
    fail(
      "config",
      `${source}: rope_scaling: missing, and no gpt-oss is without YaRN; say rope_type default for none`,
    );
  const headDim = parsed.head_dim === undefined ? defaultHeadDim : parsed.head_dim;
  // That experts are in MXFP4 shows in the file itself.
  const shared = { ...parsed, head_dim: headDim, quantization_config: undefined };
  const config = readDecoder(shared, defaults, source);
  return {
    ...config,
    routing: gptOssRouting(experts, k, specSource(source, "num_local_experts")),
    expertHidden: parsed.intermediate_size,
    balanceCoefficient: parsed.router_aux_loss_coef,
    windows: readLayerWindows(parsed.layer_types, parsed.sliding_window, config.layers, source),
    attentionBias: parsed.attention_bias,
  };
}

/** Without types for the layers, the first slides and then every second. */
function readLayerWindows(
  types: readonly string[] | undefined,
  width: number | null,
  layers: number,
  source: string,
): number[] {
  checkLength("layer_types", types, layers, source);
  return Array.from({ length: layers }, (_, layer) => {
    const slides = types ? types[layer] === sliding : layer % 2 === 0;
    if (slides && width === null)
      fail("config", `${source}: sliding_window: null, but layer ${layer} has a window`);
    return slides ? width! : 0;
  });
}

/** The config.json of a GptOssForCausalLM. Errors: "model" where it cannot say the routing. */
export function writeGptOss(config: GptOssConfig): Record<string, unknown> {
  const { routing, windows } = config;
  const k = picksOf(routing) ?? 1;
  mustSay(routing, gptOssRouting(routing.experts, k), "gpt_oss");
  return {
    architectures: ["GptOssForCausalLM"],
    model_type: "gpt_oss",
    ...writeDecoder(config),
    ...(config.rope.scaling.kind === "none" ? { rope_scaling: { rope_type: "default" } } : {}),
    intermediate_size: config.expertHidden,
    num_local_experts: routing.experts,
    num_experts_per_tok: k,
    router_aux_loss_coef: config.balanceCoefficient,
    sliding_window: Math.max(...windows) || null,
    layer_types: windows.map((window) => (window > 0 ? sliding : "full_attention")),
    attention_bias: config.attentionBias,
  };
}

/** Where the parameters of a gpt-oss stand in its files: experts stacked with rows for columns, or in MXFP4; gate and up by turns. */
const gptOssLayout: FileLayout = {
  ...decoderParts,
  ...attentionParts,
  "layers.#.attention.sinks": (at) => [[part(`model.layers.${at}.self_attn.sinks`)]],
  "layers.#.moe.router.gate.weight": inMlp("router.weight"),
  "layers.#.moe.router.gate.bias": inMlp("router.bias"),
  "layers.#.moe.experts.gateUp": (at, shape) => {
    const file = `model.layers.${at}.mlp.experts.gate_up_proj`;
    const stack = transposedStack(file, shape, "columns for rows, gate and up by turns", 2);
    return withMxfp4(stack, shape[2], () => mxfp4Stack(file, shape, 2));
  },
  "layers.#.moe.experts.gateUpBias": (at, shape) => [
    [biasByTurns(`model.layers.${at}.mlp.experts.gate_up_proj_bias`, shape)],
  ],
  "layers.#.moe.experts.down": (at, shape) => {
    const file = `model.layers.${at}.mlp.experts.down_proj`;
    const stack = transposedStack(file, shape, "columns for rows");
    return withMxfp4(stack, shape[2], () => mxfp4Stack(file, shape));
  },
  "layers.#.moe.experts.downBias": inMlp("experts.down_proj_bias"),
};

function inMlp(name: string): FileLayout[string] {
  return (at) => [[part(`model.layers.${at}.mlp.${name}`)]];
}

function withMxfp4(stack: FileParts, columns: number, mxfp4: () => FileParts): FileParts[] {
  return fitsMxfp4(columns) ? [stack, mxfp4()] : [stack];
}
