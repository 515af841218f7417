/**
 * DeepSeek-V3 and R1 (DeepSeek-AI 2024, "DeepSeek-V3 Technical Report"): sigmoid scores; a bias a expert, moved by load and not by
 * gradient, counts in the choice alone; experts come from the groups whose best two score highest together.
 */
import { z } from "zod";
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

export class DeepseekV3Model extends Decoder<DeepseekConfig> {
  readonly layout: FileLayout = deepseekLayout;

  constructor(config: DeepseekConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => deepseekBlock(config, rotary, losses, layer), shared: [rotary] });
  }

  override savedLayout(): FileLayout {
    return deepseekLayout;
  }

  configJson(): Record<string, unknown> {
    return writeDeepseekV3(this.config);
  }

  /** Layers past the last draft further tokens (multi-token prediction, section 2.2); they are not needed to run the model. */
  override leavesOut(file: string): boolean {
    const [, layer] = /^model\.layers\.(\d+)\./.exec(file) ?? [];
    return layer !== undefined && Number(layer) >= this.config.layers;
  }
}

interface V3Routing {
  readonly k: number;
  readonly groups: { readonly count: number; readonly keep: number } | null;
  readonly normalise: boolean;
  readonly scale: number;
}

function deepseekV3Routing(
  experts: number,
  { k, groups, normalise, scale }: V3Routing,
  from?: SpecSource,
): RoutingSpec {
  const limited = groups && { ...groups, score: "top2-sum" };
  const select = { by: "token", k };
  const bias = { kind: "selection-only" };
  return parseRoutingSpec(
    { experts, score: "sigmoid", select, groups: limited, bias, normalise, scale },
    from,
  );
}

const schema = z.strictObject({
  ...decoderKeys,
  ...deepseekKeys,
  routed_scaling_factor: z.number().gt(0).default(2.5),
  n_group: deepseekKeys.n_group.default(8),
  topk_group: deepseekKeys.topk_group.default(4),
  norm_topk_prob: z.boolean().default(true),
  rope_interleave: z.boolean().default(true),
  scoring_func: z.literal("sigmoid").default("sigmoid"),
  topk_method: z.literal("noaux_tc").default("noaux_tc"),
});

/** How many layers draft, which is nothing to us. */
const unused = [...deepseekUnused, "num_nextn_predict_layers", "num_mtp_layers"];

/** Reads the config.json of a DeepseekV3ForCausalLM. Errors: "config". */
export function readDeepseekV3(json: unknown, source = "config.json"): DeepseekConfig {
  const parsed = parseConfig(schema, json, source, unused);
  const { n_group: count, topk_group: keep } = parsed;
  const routing = deepseekV3Routing(
    parsed.n_routed_experts,
    {
      k: parsed.num_experts_per_tok,
      groups: count === null || count === 1 ? null : { count, keep: keep ?? count },
      normalise: parsed.norm_topk_prob,
      scale: parsed.routed_scaling_factor,
    },
    deepseekSource(source),
  );
  return readDeepseek(parsed, routing, parsed.rope_interleave, source);
}

/** The config.json of a DeepseekV3ForCausalLM. Errors: "model" where it cannot say the routing. */
export function writeDeepseekV3(config: DeepseekConfig): Record<string, unknown> {
  const { experts, groups, normalise, scale } = config.routing;
  const said: V3Routing = { k: picksOf(config.routing) ?? 1, groups, normalise: normalise !== null, scale };
  mustSay(config.routing, deepseekV3Routing(experts, said), "deepseek_v3");
  return {
    architectures: ["DeepseekV3ForCausalLM"],
    model_type: "deepseek_v3",
    ...writeDeepseek(config),
    num_experts_per_tok: said.k,
    routed_scaling_factor: scale,
    norm_topk_prob: said.normalise,
    rope_interleave: config.rope.interleaved,
  };
}
