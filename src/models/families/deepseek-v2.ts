/**
 * DeepSeek-V2 (Liu et al. 2024, "DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model"): softmax over
 * all experts; the larger models choose among the experts of the best groups alone, a group being as good as its best expert.
 */
import { z } from "zod";
import { fail } from "../../errors.ts";
import {
  type LossSpec,
  noLosses,
  parseRoutingSpec,
  picksOf,
  type RoutingSpec,
  type SpecSource,
} from "../../moe/index.ts";
import { Rotary } from "../../nn/index.ts";
import { Decoder } from "../decoder.ts";
import {
  type DeepseekConfig,
  deepseekBlock,
  deepseekKeys,
  deepseekLayout,
  deepseekSource,
  deepseekUnused,
  readDeepseek,
  writeDeepseek,
} from "../deepseek.ts";
import { decoderKeys, parseConfig } from "../hf-config.ts";
import type { FileLayout } from "../layout.ts";
import { mustSay } from "../moe-config.ts";

export class DeepseekV2Model extends Decoder<DeepseekConfig> {
  readonly layout: FileLayout = deepseekLayout;

  constructor(config: DeepseekConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => deepseekBlock(config, rotary, losses, layer), shared: [rotary] });
  }

  override savedLayout(): FileLayout {
    return deepseekLayout;
  }

  configJson(): Record<string, unknown> {
    return writeDeepseekV2(this.config);
  }
}

/** Softmax, then the K likeliest, of the `keep` best of `count` groups where there are groups; weights not normalised. */
function deepseekV2Routing(
  experts: number,
  k: number,
  groups: { readonly count: number; readonly keep: number } | null,
  scale: number,
  from?: SpecSource,
): RoutingSpec {
  const limited = groups && { ...groups, score: "max" };
  return parseRoutingSpec({ experts, select: { by: "token", k }, groups: limited, scale }, from);
}

const schema = z.strictObject({
  ...decoderKeys,
  ...deepseekKeys,
  routed_scaling_factor: z.number().gt(0).default(1),
  topk_method: z.enum(["greedy", "group_limited_greedy"]).default("greedy"),
  scoring_func: z.literal("softmax").default("softmax"),
  mlp_bias: z.literal(false).default(false),
  norm_topk_prob: z
    .literal(
      false,
      "transformers does not obey it and DeepSeek's own code leaves out the scale; no published model has it",
    )
    .default(false),
});

/** Reads the config.json of a DeepseekV2ForCausalLM. Errors: "config". */
export function readDeepseekV2(json: unknown, source = "config.json"): DeepseekConfig {
  const parsed = parseConfig(schema, json, source, deepseekUnused);
  const { n_routed_experts: experts, num_experts_per_tok: k, n_group: count, topk_group: keep } = parsed;
  const limited = parsed.topk_method === "group_limited_greedy";
  if (limited && (count === null || keep === null))
    fail(
      "config",
      `${source}: ${count === null ? "n_group" : "topk_group"}: missing, and topk_method is group_limited_greedy`,
    );
  const groups = limited ? { count: count!, keep: keep! } : null;
  const routing = deepseekV2Routing(experts, k, groups, parsed.routed_scaling_factor, deepseekSource(source));
  return readDeepseek(parsed, routing, true, source);
}

/** The config.json of a DeepseekV2ForCausalLM. Errors: "model" where it cannot say the routing. */
export function writeDeepseekV2(config: DeepseekConfig): Record<string, unknown> {
  const { routing } = config;
  const k = picksOf(routing) ?? 1;
  mustSay(routing, deepseekV2Routing(routing.experts, k, routing.groups, routing.scale), "deepseek_v2");
  return {
    architectures: ["DeepseekV2ForCausalLM"],
    model_type: "deepseek_v2",
    ...writeDeepseek(config),
    num_experts_per_tok: k,
    topk_method: routing.groups ? "group_limited_greedy" : "greedy",
    routed_scaling_factor: routing.scale,
    norm_topk_prob: false,
  };
}
