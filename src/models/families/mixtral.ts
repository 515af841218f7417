/**
 * Mixtral (Jiang et al. 2024): Mistral with a mixture of SwiGLU experts in place of each feed-forward layer.
 *
 * T tokens, D width, E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
import { fail } from "../../errors.ts";
import {
  actingBound,
  type LossSpec,
  noLosses,
  parseRoutingSpec,
  picksOf,
  type RoutingSpec,
  routingSpecSchema,
  type SpecSource,
} from "../../moe/index.ts";
import { Attention, Rotary } from "../../nn/index.ts";
import { PreNormBlock, swigluMixture } from "../block.ts";
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
import { attentionParts, decoderParts, eachExpert, type FileLayout, part } from "../layout.ts";
import { specSource } from "../moe-config.ts";

export interface MixtralConfig extends DecoderConfig {
  /** F. */
  readonly expertHidden: number;
  /** A token attends to this many positions, itself included; 0: to all before it. */
  readonly window: number;
  readonly routing: RoutingSpec;
  /** Hidden width of an expert that every token passes; 0: none. */
  readonly sharedHidden: number;
  /** What the model's makers multiplied the balance loss with. */
  readonly balanceCoefficient: number;
}

export class MixtralModel extends Decoder<MixtralConfig> {
  readonly layout: FileLayout = mixtralLayout;

  /** `losses`: coefficients of the auxiliary losses, for training. */
  constructor(config: MixtralConfig, losses: LossSpec = noLosses) {
    const rotary = new Rotary({ dims: config.headDim, ...config.rope });
    super(config, { block: (layer) => mixtralBlock(config, rotary, losses, layer), shared: [rotary] });
  }

  configJson(): Record<string, unknown> {
    return writeMixtral(this.config);
  }

  override beyondFamily(): readonly string[] {
    return beyondMixtral(this.config);
  }
}

function mixtralBlock(config: MixtralConfig, rotary: Rotary, losses: LossSpec, layer: number): PreNormBlock {
  const { width, normEps, routing, expertHidden: hidden, sharedHidden, initStd: std } = config;
  const outStd = residualStd(config);
  const shared = sharedHidden > 0 ? ({ hidden: sharedHidden, gate: "none" } as const) : null;
  return new PreNormBlock({
    layer,
    width,
    normEps,
    attention: new Attention({ ...config, rotary, std, outStd }),
    feedForward: swigluMixture({ routing, width, hidden, shared, losses, layer, std, outStd }),
  });
}

/** What MixtralForCausalLM computes: softmax, top-k, weights divided by their sum; no capacity. */
export function mixtralRouting(experts: number, k: number, jitter = 0, from?: SpecSource): RoutingSpec {
  const noise = jitter > 0 ? { kind: "jitter", epsilon: jitter } : null;
  return parseRoutingSpec({ experts, select: { by: "token", k }, normalise: true, noise }, from);
}

/**
 * The spec as Mixtral's own keys say it, where it gives the same weights (softmax over the picks is softmax renormalised over
 * them); else as it is. A model trained in this form needs no key of ours in its config.json.
 */
export function inMixtralForm(routing: RoutingSpec): RoutingSpec {
  const jitter = routing.noise?.kind === "jitter" ? routing.noise.epsilon : 0;
  const form = mixtralRouting(routing.experts, picksOf(routing) ?? 1, jitter);
  const onlyInTraining = same([routing.noise, routing.capacity], [form.noise, form.capacity]);
  return differences(routing).length === 0 && onlyInTraining ? form : routing;
}

const schema = z.strictObject({
  ...decoderKeys,
  intermediate_size: size,
  sliding_window: size.nullable().default(null),
  num_local_experts: size,
  num_experts_per_tok: size,
  router_aux_loss_coef: z.number().min(0).default(0.001),
  router_jitter_noise: z.number().min(0).lt(1).default(0),
  conclave: z
    .strictObject({ routing: routingSpecSchema, sharedHidden: z.int().min(0).default(0) })
    .optional(),
});
const defaults: FamilyDefaults = { kvHeads: 8, ropeTheta: 1e6, normEps: 1e-5 };

/**
 * Reads the config.json of a MixtralForCausalLM; routing beyond Mixtral's stands under the key `conclave`.
 * Errors: "config".
 */
export function readMixtral(json: unknown, source = "config.json"): MixtralConfig {
  const parsed = parseConfig(schema, json, source);
  const { num_local_experts: experts, num_experts_per_tok: k, conclave } = parsed;
  // Read where `conclave` says more, too: other programs go by these keys.
  const own = mixtralRouting(experts, k, parsed.router_jitter_noise, specSource(source, "num_local_experts"));
  const routing = conclave?.routing ?? own;
  if (routing.experts !== experts) {
    fail(
      "config",
      `${source}: conclave.routing.experts: ${routing.experts} is not num_local_experts (${experts})`,
    );
  }
  const { gate } = routing;
  if (gate.kind === "hash" && gate.vocabulary < parsed.vocab_size) {
    fail(
      "config",
      `${source}: conclave.routing.gate.vocabulary: ${gate.vocabulary} is less than vocab_size (${parsed.vocab_size})`,
    );
  }
  return {
    ...readDecoder(parsed, defaults, source),
    expertHidden: parsed.intermediate_size,
    window: readWindow(parsed.sliding_window),
    routing,
    sharedHidden: conclave?.sharedHidden ?? 0,
    balanceCoefficient: parsed.router_aux_loss_coef,
  };
}

/**
 * The config.json of a MixtralForCausalLM, with the full routing under `conclave` where Mixtral's own keys
 * cannot say it.
 */
export function writeMixtral(config: MixtralConfig): Record<string, unknown> {
  const { routing, sharedHidden } = config;
  const k = picksOf(routing) ?? 1;
  const jitter = routing.noise?.kind === "jitter" ? routing.noise.epsilon : 0;
  const plain = sharedHidden === 0 && same(routing, mixtralRouting(routing.experts, k, jitter));
  return {
    architectures: ["MixtralForCausalLM"],
    model_type: "mixtral",
    ...writeDecoder(config),
    sliding_window: writeWindow(config.window),
    intermediate_size: config.expertHidden,
    num_local_experts: routing.experts,
    num_experts_per_tok: k,
    router_aux_loss_coef: config.balanceCoefficient,
    router_jitter_noise: jitter,
    ...(plain ? {} : { conclave: { routing, sharedHidden } }),
  };
}

/**
 * What of `config` MixtralForCausalLM would leave out or do otherwise when it runs the saved model: empty
 * where other libraries give the same logits. Noise is for training only, as is a capacity unless it says more, so neither is a difference.
 */
export function beyondMixtral(config: MixtralConfig): string[] {
  return [...differences(config.routing), ...(config.sharedHidden > 0 ? ["sharedHidden"] : [])];
}

/** The fields of a spec that make other weights than Mixtral's router at inference. */
function differences(routing: RoutingSpec): string[] {
  const plain = mixtralRouting(routing.experts, picksOf(routing) ?? 1);
  const acting = { ...routing, noise: null, capacity: actingBound(routing.capacity, false) };
  const keys = (Object.keys(plain) as (keyof RoutingSpec)[]).filter((key) => !same(acting[key], plain[key]));
  const renormalised = routing.order === "select-then-score" && routing.score === "softmax";
  return keys.filter((key) => !(renormalised && (key === "order" || key === "normalise")));
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Where the parameters of a Mixtral stand in its files: one tensor an expert matrix, or fused as
 * transformers 5 holds them.
 */
const mixtralLayout: FileLayout = {
  ...decoderParts,
  ...attentionParts,
  "layers.#.moe.router.gate.weight": (at) => [
    [part(`model.layers.${at}.block_sparse_moe.gate.weight`)],
    [part(`model.layers.${at}.mlp.gate.weight`)],
  ],
  "layers.#.moe.experts.gateUp": (at, shape) => [
    eachExpert(shape, (e) =>
      ["w1", "w3"].map((w) =>
        part(`model.layers.${at}.block_sparse_moe.experts.${e}.${w}.weight`, [shape[1] / 2, shape[2]]),
      ),
    ),
    [part(`model.layers.${at}.mlp.experts.gate_up_proj`)],
  ],
  "layers.#.moe.experts.down": (at, shape) => [
    eachExpert(shape, (e) => [
      part(`model.layers.${at}.block_sparse_moe.experts.${e}.w2.weight`, shape.slice(1)),
    ]),
    [part(`model.layers.${at}.mlp.experts.down_proj`)],
  ],
};
