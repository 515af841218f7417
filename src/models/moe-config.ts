/**
 * What the configs of families with top-k routing over a softmax have in common.
 *
 * E experts, K picks a token, F expert hidden width.
 */
import { z } from "zod";
import { fail } from "../errors.ts";
import { parseRoutingSpec, picksOf, type RoutingSpec, type SpecSource } from "../moe/index.ts";
import { size } from "./hf-config.ts";

export interface MixtureConfig {
  readonly routing: RoutingSpec;
  /** F. */
  readonly expertHidden: number;
  /** What the model's makers multiplied the balance loss with. */
  readonly balanceCoefficient: number;
}

/** A mixture that not all layers have. */
export interface SparseConfig extends MixtureConfig {
  /** Whether each layer has the mixture. */
  readonly sparse: readonly boolean[];
  /** Hidden width of the layers without. */
  readonly hidden: number;
}

/** Softmax over all experts, then the K likeliest, their weights as they are or divided by their sum. */
function topkRouting(experts: number, k: number, normalise: boolean, from?: SpecSource): RoutingSpec {
  return parseRoutingSpec({ experts, select: { by: "token", k }, normalise }, from);
}

/** Names `source` and its keys in errors of a routing spec made from them; `experts` is its key for E. */
export function specSource(
  source: string,
  experts: string,
  others: Readonly<Record<string, string>> = {},
): SpecSource {
  return { source, keys: { experts, "select.k": "num_experts_per_tok", ...others } };
}

/** The K highest logits, then softmax over them alone. */
export function softmaxOfTopK(experts: number, k: number, from?: SpecSource): RoutingSpec {
  return parseRoutingSpec({ experts, select: { by: "token", k }, order: "select-then-score" }, from);
}

/**
 * K and whether weights are divided by their sum, for a config that can say no more of `routing` than that.
 * Errors: "model", where it is more than that.
 */
export function asTopK(routing: RoutingSpec, family: string): { k: number; normalise: boolean } {
  const k = picksOf(routing) ?? 1;
  const normalise = routing.normalise !== null;
  mustSay(routing, topkRouting(routing.experts, k, normalise), family);
  return { k, normalise };
}

/** K, for a config that can only say {@link softmaxOfTopK}. Errors: "model". */
export function asSoftmaxOfTopK(routing: RoutingSpec, family: string): number {
  const k = picksOf(routing) ?? 1;
  mustSay(routing, softmaxOfTopK(routing.experts, k), family);
  return k;
}

/** Errors: "model", where `routing` is not what the family's config can say. */
export function mustSay(routing: RoutingSpec, sayable: RoutingSpec, family: string): void {
  const keys = (Object.keys(sayable) as (keyof RoutingSpec)[]).filter(
    (key) => JSON.stringify(routing[key]) !== JSON.stringify(sayable[key]),
  );
  if (keys.length > 0)
    fail(
      "model",
      `config.json of ${family}: it cannot say the routing's ${keys.join(", ")}`,
      "a Mixtral's can carry any routing",
    );
}

/** Keys of the Qwen family and its kin. */
export interface SparseJson {
  readonly intermediate_size: number;
  readonly moe_intermediate_size: number;
  readonly num_experts_per_tok: number;
  readonly norm_topk_prob: boolean;
  readonly router_aux_loss_coef: number;
  readonly decoder_sparse_step: number;
  readonly mlp_only_layers: readonly number[] | null;
}

export const sparseKeys: { readonly [Key in keyof SparseJson]: z.ZodType<SparseJson[Key]> } = {
  intermediate_size: size,
  moe_intermediate_size: size,
  num_experts_per_tok: size,
  norm_topk_prob: z.boolean().default(false),
  router_aux_loss_coef: z.number().min(0).default(0.001),
  decoder_sparse_step: size.default(1),
  mlp_only_layers: z.array(z.int().min(0)).nullable().default(null),
};

/** `experts` is E, which is spelt in several ways. Errors: "config". */
export function readSparse(json: SparseJson, experts: number, layers: number, source: string): SparseConfig {
  const dense = json.mlp_only_layers ?? [];
  const stray = dense.find((layer) => layer >= layers);
  if (stray !== undefined) fail("config", `${source}: mlp_only_layers: there is no layer ${stray}`);
  return {
    routing: readTopK(json.num_experts_per_tok, experts, json.norm_topk_prob, source),
    expertHidden: json.moe_intermediate_size,
    balanceCoefficient: json.router_aux_loss_coef,
    sparse: Array.from(
      { length: layers },
      (_, layer) => !dense.includes(layer) && (layer + 1) % json.decoder_sparse_step === 0,
    ),
    hidden: json.intermediate_size,
  };
}

/** {@link topkRouting}, checked. Errors: "config". */
export function readTopK(k: number, experts: number, normalise: boolean, source: string): RoutingSpec {
  return topkRouting(experts, k, normalise, specSource(source, "num_experts"));
}

/** The keys of {@link readSparse}, dense layers named one by one. */
export function writeSparse(config: SparseConfig, family: string): Record<string, unknown> {
  const { k, normalise } = asTopK(config.routing, family);
  return {
    intermediate_size: config.hidden,
    moe_intermediate_size: config.expertHidden,
    num_experts: config.routing.experts,
    num_experts_per_tok: k,
    norm_topk_prob: normalise,
    router_aux_loss_coef: config.balanceCoefficient,
    decoder_sparse_step: 1,
    mlp_only_layers: [...config.sparse.keys()].filter((layer) => !config.sparse[layer]),
  };
}
