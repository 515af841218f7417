/**
 * GGUF architectures as the families they are: from the metadata of a file, the config.json that its family would have. Whether the
 * weights of picked experts are divided by their sum is the architecture's own rule in llama.cpp, not the file's.
 */
import { fail } from "../../errors.ts";
import { yarnMagnitude } from "../../nn/index.ts";
import type { DecoderConfig } from "../decoder.ts";
import type { FileLayout } from "../layout.ts";
import type { ArchitectureKeys } from "./keys.ts";
import { latentLayout } from "./latent.ts";
import { ggufLayout } from "./layout.ts";

export interface Architecture {
  /** config.json, in Hugging Face's form. Errors: "model". */
  readonly config: (keys: ArchitectureKeys) => Record<string, unknown>;
  /** Rows of queries and keys are ordered for rotary positions over pairs (2i, 2i + 1). */
  readonly interleaved: boolean;
  /** Where the parameters stand, from that config.json and what its family makes of it. */
  readonly layout: (json: Readonly<Record<string, unknown>>, config: DecoderConfig) => FileLayout;
}

const shared: Architecture["layout"] = (_, config) => ggufLayout(config);

/** Every architecture that can be read, by its general.architecture. */
export const architectures: Readonly<Record<string, Architecture>> = {
  llama: { interleaved: true, config: llama, layout: shared },
  qwen2: {
    interleaved: false,
    config: (keys) => ({ model_type: "qwen2", ...decoder(keys), ...dense(keys) }),
    layout: shared,
  },
  qwen3: {
    interleaved: false,
    config: (keys) => ({ model_type: "qwen3", ...decoder(keys), ...dense(keys) }),
    layout: shared,
  },
  qwen2moe: { interleaved: false, config: qwen2moe, layout: shared },
  qwen3moe: { interleaved: false, config: qwen3moe, layout: shared },
  olmoe: { interleaved: false, config: olmoe, layout: shared },
  granitemoe: { interleaved: true, config: granitemoe, layout: shared },
  deepseek2: { interleaved: true, config: deepseek2, layout: overLatents },
  "gpt-oss": { interleaved: false, config: gptOss, layout: shared },
  llama4: { interleaved: true, config: llama4, layout: shared },
};

export function architectureOf(keys: ArchitectureKeys): Architecture {
  const name = keys.architecture;
  if (Object.hasOwn(architectures, name)) return architectures[name]!;
  const known = Object.keys(architectures).join(", ");
  return fail(
    "model",
    `${keys.source}: the architecture ${JSON.stringify(name)} is not supported; supported: ${known}`,
  );
}

function overLatents(json: Readonly<Record<string, unknown>>, config: DecoderConfig): FileLayout {
  const { qk_nope_head_dim: plain, v_head_dim: value } = json;
  const sizes = { heads: config.heads, plain: Number(plain), value: Number(value) };
  return { ...ggufLayout(config), ...latentLayout(sizes) };
}

/** What all decoders have, with heads of one width. */
function decoder(keys: ArchitectureKeys): Record<string, unknown> {
  const common = anyDecoder(keys);
  const heads = keys.size("attention.head_count");
  const headDim = keys.sizeIfThere("attention.key_length") ?? keys.size("embedding_length") / heads;
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    const given = keys.sizeIfThere(key);
    if (given !== undefined && given !== headDim)
      keys.refuse(key, `${given} is not the width of a head (${headDim}), which is not supported`);
  }
  const kvHeads = keys.sizeIfThere("attention.head_count_kv") ?? heads;
  return { ...common, num_key_value_heads: kvHeads, head_dim: headDim };
}

/** What all decoders have, whatever their attention. */
function anyDecoder(keys: ArchitectureKeys): Record<string, unknown> {
  keys.pass("vocab_size"); // the embedding's rows say it
  return {
    ...tokens(keys),
    vocab_size: keys.tensor("token_embd.weight").shape[0],
    hidden_size: keys.size("embedding_length"),
    num_hidden_layers: keys.size("block_count"),
    num_attention_heads: keys.size("attention.head_count"),
    max_position_embeddings: keys.size("context_length"),
    rms_norm_eps: keys.numberIfThere("attention.layer_norm_rms_epsilon"),
    rope_theta: keys.numberIfThere("rope.freq_base") ?? 10_000,
    rope_scaling: ropeScaling(keys),
    tie_word_embeddings: !keys.hasTensor("output.weight"),
  };
}

/** A text ends at the end of a turn or message too, where the file names one. */
function tokens(keys: ArchitectureKeys): Record<string, unknown> {
  const ends = [keys.token("eos"), keys.token("eot"), keys.token("eom")].filter((id) => id !== undefined);
  return {
    bos_token_id: keys.token("bos") ?? null,
    eos_token_id: [...new Set(ends)],
    pad_token_id: keys.token("padding") ?? null,
  };
}

/** Stretched rotary positions; Llama 3's stand in the tensor rope_freqs instead. */
function ropeScaling(keys: ArchitectureKeys): Record<string, unknown> | null {
  keys.pass("rope.scaling.finetuned");
  const type = keys.stringIfThere("rope.scaling.type") ?? "none";
  const factor = keys.numberIfThere("rope.scaling.factor");
  const original = keys.sizeIfThere("rope.scaling.original_context_length");
  const amplitude = keys.numberIfThere("rope.scaling.attn_factor") ?? 1;
  if (type !== "yarn" && amplitude !== 1)
    keys.refuse("rope.scaling.attn_factor", `${amplitude} is supported with yarn only`);
  switch (type) {
    case "none":
      return null;
    case "linear":
      return factor === undefined || factor === 1 ? null : { rope_type: "linear", factor };
    case "yarn": {
      const extrapolation = keys.numberIfThere("rope.scaling.yarn_ext_factor") ?? 1;
      if (extrapolation !== 1)
        keys.refuse("rope.scaling.yarn_ext_factor", `${extrapolation} is not supported, only 1`);
      return present({
        rope_type: "yarn",
        factor,
        original_max_position_embeddings: original,
        attention_factor: attentionFactor(keys, amplitude, factor ?? 1),
        beta_fast: keys.numberIfThere("rope.scaling.yarn_beta_fast"),
        beta_slow: keys.numberIfThere("rope.scaling.yarn_beta_slow"),
      });
    }
    default:
      return keys.refuse(
        "rope.scaling.type",
        `${JSON.stringify(type)} is not supported; supported: none, linear, yarn`,
      );
  }
}

/**
 * What cosines and sines are multiplied with. Converters write transformers' attention_factor as yarn_attn_factor, which stands for YaRN's
 * own magnitude; attn_factor multiplies either (llama.cpp, llama-context.cpp). Undefined: the magnitude alone.
 */
function attentionFactor(keys: ArchitectureKeys, amplitude: number, factor: number): number | undefined {
  const given = keys.numberIfThere("rope.scaling.yarn_attn_factor");
  return amplitude === 1 ? given : amplitude * (given ?? yarnMagnitude(factor));
}

function dense(keys: ArchitectureKeys): Record<string, unknown> {
  return { intermediate_size: keys.size("feed_forward_length") };
}

/** Llama and Mistral, and with experts Mixtral. */
function llama(keys: ArchitectureKeys): Record<string, unknown> {
  keys.pass("tensor_data_layout"); // the first converter's word for the order that all files have
  const experts = keys.countIfThere("expert_count") ?? 0;
  const shared = { ...decoder(keys), ...dense(keys) };
  if (experts === 0) {
    keys.pass("expert_used_count");
    return { model_type: "llama", ...shared, ...attentionBias(keys) };
  }
  return {
    model_type: "mixtral",
    ...shared,
    num_local_experts: experts,
    num_experts_per_tok: keys.size("expert_used_count"),
  };
}

function attentionBias(keys: ArchitectureKeys): Record<string, unknown> {
  return { attention_bias: keys.hasTensor("blk.0.attn_q.bias") || keys.hasTensor("blk.0.attn_qkv.bias") };
}

/** Experts narrower than a dense layer. `normalise`: the architecture's rule, where the file does not say. */
function manyExperts(keys: ArchitectureKeys, normalise: boolean): Record<string, unknown> {
  const used = keys.size("expert_used_count");
  const hidden = keys.size("feed_forward_length");
  return {
    intermediate_size: hidden,
    moe_intermediate_size: keys.sizeIfThere("expert_feed_forward_length") ?? hidden / used,
    num_experts: keys.size("expert_count"),
    num_experts_per_tok: used,
    norm_topk_prob: keys.booleanIfThere("expert_weights_norm") ?? normalise,
  };
}

function qwen2moe(keys: ArchitectureKeys): Record<string, unknown> {
  return {
    model_type: "qwen2_moe",
    ...decoder(keys),
    ...manyExperts(keys, false),
    shared_expert_intermediate_size:
      keys.sizeIfThere("expert_shared_feed_forward_length") ?? keys.size("feed_forward_length"),
  };
}

function qwen3moe(keys: ArchitectureKeys): Record<string, unknown> {
  const sharedHidden = keys.countIfThere("expert_shared_feed_forward_length") ?? 0; // Qwen3-Coder's files say 0
  if (sharedHidden !== 0)
    keys.refuse("expert_shared_feed_forward_length", `${sharedHidden}; a Qwen3-MoE has no shared expert`);
  return { model_type: "qwen3_moe", ...decoder(keys), ...manyExperts(keys, true) };
}

function olmoe(keys: ArchitectureKeys): Record<string, unknown> {
  return {
    model_type: "olmoe",
    ...decoder(keys),
    ...dense(keys),
    num_experts: keys.size("expert_count"),
    num_experts_per_tok: keys.size("expert_used_count"),
    norm_topk_prob: keys.booleanIfThere("expert_weights_norm") ?? false,
    clip_qkv: keys.numberIfThere("attention.clamp_kqv") ?? null,
  };
}

function granitemoe(keys: ArchitectureKeys): Record<string, unknown> {
  const shared = keys.countIfThere("expert_shared_feed_forward_length") ?? 0;
  const common = decoder(keys);
  return {
    model_type: shared > 0 ? "granitemoeshared" : "granitemoe",
    ...common,
    ...dense(keys),
    ...attentionBias(keys),
    num_local_experts: keys.size("expert_count"),
    num_experts_per_tok: keys.size("expert_used_count"),
    embedding_multiplier: keys.numberIfThere("embedding_scale") ?? 1,
    attention_multiplier: keys.numberIfThere("attention.scale") ?? Number(common.head_dim) ** -0.5,
    residual_multiplier: keys.numberIfThere("residual_scale") ?? 1,
    logits_scaling: keys.numberIfThere("logit_scale") ?? 1,
    ...(shared > 0 ? { shared_intermediate_size: shared } : {}),
  };
}

/**
 * DeepSeek-V2 and V3: V3 where scores are sigmoids. Attention is described as it runs over latents, with the widths of a
 * head's own keys and values apart; files made before that have only those.
 */
function deepseek2(keys: ArchitectureKeys): Record<string, unknown> {
  const keyWidth = keys.size("attention.key_length");
  const valueWidth = keys.size("attention.value_length");
  const turned = keys.size("rope.dimension_count");
  keys.pass("attention.head_count_kv"); // 1 over latents, else one a head
  // llama.cpp multiplies all scores with its square besides (deepseek2.cpp), which no config can say; no converter writes it.
  const amplitude = keys.numberIfThere("rope.scaling.attn_factor") ?? 1;
  if (amplitude !== 1) keys.refuse("rope.scaling.attn_factor", `${amplitude} is not supported, only 1`);
  // Without the key, as in files made before it, there are no groups: llama.cpp routes those so too.
  const groups = keys.sizeIfThere("expert_group_count") ?? 1;
  const common = {
    ...anyDecoder(keys),
    ...manyExpertsOf(keys),
    kv_lora_rank: keys.size("attention.kv_lora_rank"),
    q_lora_rank: keys.sizeIfThere("attention.q_lora_rank") ?? null,
    qk_nope_head_dim: (keys.sizeIfThere("attention.key_length_mla") ?? keyWidth) - turned,
    qk_rope_head_dim: turned,
    v_head_dim: keys.sizeIfThere("attention.value_length_mla") ?? valueWidth,
    rope_scaling: magnified(ropeScaling(keys), keys),
    n_group: groups,
    topk_group: keys.sizeIfThere("expert_group_used_count") ?? groups,
    routed_scaling_factor: keys.numberIfThere("expert_weights_scale") ?? 1,
    norm_topk_prob: keys.booleanIfThere("expert_weights_norm") ?? false,
  };
  if (scoresAreSigmoids(keys)) return { model_type: "deepseek_v3", ...common };
  const method = groups > 1 ? "group_limited_greedy" : "greedy";
  return { model_type: "deepseek_v2", ...common, topk_method: method };
}

function manyExpertsOf(keys: ArchitectureKeys): Record<string, unknown> {
  return {
    intermediate_size: keys.size("feed_forward_length"),
    moe_intermediate_size: keys.size("expert_feed_forward_length"),
    n_routed_experts: keys.size("expert_count"),
    n_shared_experts: keys.size("expert_shared_count"),
    num_experts_per_tok: keys.size("expert_used_count"),
    first_k_dense_replace: keys.countIfThere("leading_dense_block_count") ?? 0,
  };
}

/** By the file's word, else by the bias that only V3 has. */
function scoresAreSigmoids(keys: ArchitectureKeys): boolean {
  const first = keys.countIfThere("leading_dense_block_count") ?? 0;
  const said =
    keys.sizeIfThere("expert_gating_func") ?? (keys.hasTensor(`blk.${first}.exp_probs_b.bias`) ? 2 : 1);
  if (said !== 1 && said !== 2)
    keys.refuse("expert_gating_func", `${said} is neither 1 (softmax) nor 2 (sigmoid)`);
  return said === 2;
}

/** YaRN's weight of the magnitude, which the file gives as a tenth of it. */
function magnified(
  scaling: Record<string, unknown> | null,
  keys: ArchitectureKeys,
): Record<string, unknown> | null {
  const tenth = keys.numberIfThere("rope.scaling.yarn_log_multiplier");
  if (!scaling || tenth === undefined) return scaling;
  return { ...scaling, mscale: 10 * tenth, mscale_all_dim: 10 * tenth };
}

/** YaRN's blend ends between pairs, as in OpenAI's own code and transformers; llama.cpp rounds its ends outwards. */
function gptOss(keys: ArchitectureKeys): Record<string, unknown> {
  const common = decoder(keys);
  const scaling = common.rope_scaling as Record<string, unknown> | null;
  keys.pass("feed_forward_length");
  return {
    model_type: "gpt_oss",
    ...common,
    rope_scaling: scaling ? { ...scaling, truncate: false } : { rope_type: "default" },
    intermediate_size: keys.size("expert_feed_forward_length"),
    num_local_experts: keys.size("expert_count"),
    num_experts_per_tok: keys.size("expert_used_count"),
    sliding_window: keys.size("attention.sliding_window"),
    ...attentionBias(keys),
  };
}

/** Llama 4's text model. Chunks, layers without positions, temperature and norms are not in the file: they are as in those published. */
function llama4(keys: ArchitectureKeys): Record<string, unknown> {
  const experts = keys.size("expert_count");
  return {
    model_type: "llama4_text",
    ...decoder(keys),
    intermediate_size: keys.size("expert_feed_forward_length"),
    intermediate_size_mlp: keys.size("feed_forward_length"),
    num_local_experts: experts,
    num_experts_per_tok: keys.size("expert_used_count"),
    interleave_moe_layer_step: keys.size("interleave_moe_layer_step"),
    attention_chunk_size: 8192,
    no_rope_layer_interval: 4,
    attn_temperature_tuning: true,
    use_qk_norm: experts !== 128, // Maverick's 128 experts are how llama.cpp tells it apart
    ...attentionBias(keys),
  };
}

/** Without the keys that have no value. */
function present(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
}
