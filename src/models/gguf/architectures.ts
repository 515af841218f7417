/**
 * GGUF architectures as the families they are: from the metadata of a file, the config.json that its family would have. Whether the
 * weights of picked experts are divided by their sum is the architecture's own rule in llama.cpp, not the file's.
 */
import { fail } from "../../errors.ts";
import type { ArchitectureKeys } from "./keys.ts";

export interface Architecture {
  /** config.json, in Hugging Face's form. Errors: "model". */
  readonly config: (keys: ArchitectureKeys) => Record<string, unknown>;
  /** Rows of queries and keys are ordered for rotary positions over pairs (2i, 2i + 1). */
  readonly interleaved: boolean;
}

/** Every architecture that can be read, by its general.architecture. */
export const architectures: Readonly<Record<string, Architecture>> = {
  llama: { interleaved: true, config: llama },
  qwen2: {
    interleaved: false,
    config: (keys) => ({ model_type: "qwen2", ...decoder(keys), ...dense(keys) }),
  },
  qwen3: {
    interleaved: false,
    config: (keys) => ({ model_type: "qwen3", ...decoder(keys), ...dense(keys) }),
  },
  qwen2moe: { interleaved: false, config: qwen2moe },
  qwen3moe: {
    interleaved: false,
    config: (keys) => ({ model_type: "qwen3_moe", ...decoder(keys), ...manyExperts(keys, true) }),
  },
  olmoe: { interleaved: false, config: olmoe },
  granitemoe: { interleaved: true, config: granitemoe },
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

/** What all decoders have. */
function decoder(keys: ArchitectureKeys): Record<string, unknown> {
  keys.pass("vocab_size"); // the embedding's rows say it
  const width = keys.size("embedding_length");
  const heads = keys.size("attention.head_count");
  const headDim = keys.sizeIfThere("attention.key_length") ?? width / heads;
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    const given = keys.sizeIfThere(key);
    if (given !== undefined && given !== headDim)
      keys.refuse(key, `${given} is not the width of a head (${headDim}), which is not supported`);
  }
  return {
    ...tokens(keys),
    vocab_size: keys.tensor("token_embd.weight").shape[0],
    hidden_size: width,
    num_hidden_layers: keys.size("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: keys.sizeIfThere("attention.head_count_kv") ?? heads,
    head_dim: headDim,
    max_position_embeddings: keys.size("context_length"),
    rms_norm_eps: keys.numberIfThere("attention.layer_norm_rms_epsilon"),
    rope_theta: keys.numberIfThere("rope.freq_base") ?? 10_000,
    rope_scaling: ropeScaling(keys),
    tie_word_embeddings: !keys.hasTensor("output.weight"),
  };
}

/** A text ends at the end of a turn too, where the file names one. */
function tokens(keys: ArchitectureKeys): Record<string, unknown> {
  const ends = [keys.token("eos"), keys.token("eot")].filter((id) => id !== undefined);
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
        attention_factor: keys.numberIfThere("rope.scaling.yarn_attn_factor"),
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

function dense(keys: ArchitectureKeys): Record<string, unknown> {
  return { intermediate_size: keys.size("feed_forward_length") };
}

/** Llama and Mistral, and with experts Mixtral. */
function llama(keys: ArchitectureKeys): Record<string, unknown> {
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

/** Without the keys that have no value. */
function present(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
}
