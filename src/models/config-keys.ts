/**
 * Keys of config.json that change no logit. Files come from many tools, each of which leaves keys of its own in them; a key that is
 * neither here nor in a family's schema may change what a model computes, and is an error.
 *
 * Sources: what transformers 4 and 5 write (`PretrainedConfig.to_dict`), and published files that passed through Unsloth, Axolotl, PEFT, TRL,
 * LLaMA-Factory, mergekit, llm-compressor, Optimum and Neuron. transformers 5.18 gives the same logits with each of them (test/golden/brought.py).
 */
import { oldGenerationKeys } from "./generation-config.ts";

interface KeyGroup {
  /** Why no logit depends on them. */
  readonly why: string;
  readonly keys: readonly string[];
  /** Whole names. */
  readonly pattern?: RegExp;
  /** Whether readers are told that they were passed over: they are not what every file has. */
  readonly told: boolean;
}

const groups: readonly KeyGroup[] = [
  {
    why: "names and records: what the model is called, who wrote the file, how its weights are stored (the weights say it themselves)",
    keys: ["_name_or_path", "architectures", "dtype", "model_type", "torch_dtype", "transformers_version"],
    told: false,
  },
  {
    why: "training: dropout, losses of the router, how matrices and experts were split among machines",
    keys: [
      "attention_dropout",
      "aux_loss_alpha",
      "ep_size",
      "output_router_logits",
      "pretraining_tp",
      "seq_aux",
    ],
    told: false,
  },
  {
    why: "running: what a forward pass returns and whether it keeps keys and values",
    keys: ["output_attentions", "output_hidden_states", "return_dict", "use_cache"],
    told: false,
  },
  {
    why: "names and records that fewer files have",
    keys: ["_commit_hash", "model_name", "base_model", "license", "tags", "_diffusers_version"],
    pattern: /^_?(name_or_path|original_object_hash|from_model_config)$/,
    told: true,
  },
  {
    why: "training: dropout of every kind, gradient checkpointing, losses, parallel training",
    keys: [
      "embd_pdrop",
      "resid_pdrop",
      "attn_pdrop",
      "hidden_dropout",
      "hidden_dropout_prob",
      "attention_probs_dropout_prob",
      "dropout",
      "classifier_dropout",
      "gradient_checkpointing",
      "use_gradient_checkpointing",
      "neftune_noise_alpha",
      "label_smoothing",
      "loss_type",
      "freeze_modules",
      "router_z_loss_coef",
      "z_loss_coef",
      "rescale_prenorm_residual",
    ],
    told: true,
  },
  {
    why: "running: which kernels compute the same attention or experts, how passes are compiled and returned",
    keys: [
      "attn_implementation",
      "attention_implementation",
      "experts_implementation",
      "flash_attention",
      "use_flash_attn",
      "use_flash_attention",
      "use_flash_attention_2",
      "use_return_dict",
      "torchscript",
      "use_bfloat16",
      "tf_legacy_loss",
      "chunk_size_feed_forward",
      "fused_kernels",
      "use_sdpa",
      "use_liger_kernel",
      "disable_custom_kernels",
    ],
    pattern: /^_(attn|experts|flash_attn_2|sdpa)_[a-z_]*$/,
    told: true,
  },
  {
    why: "code of others, which is never run here, and how transformers finds it",
    keys: ["auto_map", "custom_pipelines", "trust_remote_code", "_auto_class"],
    told: true,
  },
  {
    why: "marks of tools that trained, merged, converted or serve the model",
    keys: [
      "for_llm_compressor",
      "model_max_length",
      "max_seq_length",
      "max_sequence_length",
      "max_seq_len",
      "finetuned_from",
    ],
    pattern:
      /^_?(unsloth|axolotl|peft|trl|mergekit|llamafactory|llama_factory|neuron|optimum|onnx|vllm|sglang|transformers_js|transformers\.js)(_[\w.]*|\b.*)$/,
    told: true,
  },
  {
    why: "heads for other tasks than text, and parameters of tasks",
    keys: [
      "id2label",
      "label2id",
      "num_labels",
      "_num_labels",
      "problem_type",
      "finetuning_task",
      "task_specific_params",
      "summary_activation",
      "summary_first_dropout",
      "summary_proj_to_labels",
      "summary_type",
      "summary_use_proj",
    ],
    told: true,
  },
  {
    why: "which tokenizer the text goes through, and which of its ids play a part outside of the model",
    keys: ["tokenizer_class", "prefix"],
    pattern:
      /^(sep|unk|mask|cls|eod|eot|eom|nl|user|assistant|system|im_start|im_end|decoder_start|fim_[a-z]+|image|video|audio)_token_(id|ids|index)$/,
    told: true,
  },
];

/** What keys say where they describe nothing: a model without the feature, whose family may not know the key. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  add_cross_attention: [false, null],
  attention_bias: [false, null],
  attn_logit_softcapping: [null],
  clip_qkv: [null],
  cross_attention_hidden_size: [null],
  final_logit_softcapping: [null],
  is_decoder: [false, true, null],
  is_encoder_decoder: [false, null],
  is_llama_config: [true],
  layer_types: [null],
  mlp_bias: [false, null],
  partial_rotary_factor: [1, null],
  pruned_heads: [{}, null],
  qk_layernorm: [false, null],
  quantization_config: [null],
  rope_interleaved: [false],
  rope_local_base_freq: [null],
  sliding_window: [null],
  tie_encoder_decoder: [false, null],
  use_mrope: [false],
  use_qk_norm: [false, null],
  use_sliding_window: [false, null],
};

/** Where transformers reads a null as if the key were not there: 5.18 by its types, 4 where it asks only whether a flag is set. */
const nullIsDefault: ReadonlySet<string> = new Set([
  "architectures",
  "layer_types",
  "pretraining_tp",
  "qk_head_dim",
  "quantization_config",
  "rope_theta",
  "router_aux_loss_coef",
]);

/** Flags whose null transformers takes for false, whatever the default is. */
const nullIsFalse: ReadonlySet<string> = new Set([
  "attention_bias",
  "mlp_bias",
  "norm_topk_prob",
  "qkv_bias",
  "rope_interleave",
  "tie_word_embeddings",
  "use_sliding_window",
]);

/** The group of a key that no logit depends on. */
function groupOf(key: string): KeyGroup | undefined {
  return groups.find(({ keys, pattern }) => keys.includes(key) || pattern?.test(key));
}

/**
 * The keys that a family has to know: all but those of the table, with nulls read as transformers reads them.
 *
 * @param isKnown whether the family's schema has a key: it then decides what the key may say
 */
export function meaningfulKeys(
  json: object,
  isKnown: (key: string) => boolean,
  unused: readonly string[],
): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(json)) {
    if (isKnown(key)) {
      if (value === null && nullIsFalse.has(key)) kept[key] = false;
      else if (value !== null || !nullIsDefault.has(key)) kept[key] = value;
    } else if (!unused.includes(key) && !isIdle(key, value)) kept[key] = value;
  }
  return kept;
}

function isIdle(key: string, value: unknown): boolean {
  if (groupOf(key) || oldGenerationKeys.has(key)) return true;
  if (key === "layer_types" && Array.isArray(value)) return value.every((type) => type === "full_attention");
  return (neutral[key] ?? []).some((one) => JSON.stringify(one) === JSON.stringify(value));
}

/** The keys of which a reader is told that they were passed over. */
export function toldKeys(json: object): string[] {
  return Object.keys(json).filter((key) => groupOf(key)?.told);
}
