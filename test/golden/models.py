"""Tiny random models of every family that Conclave reads, with what transformers computes from them.

    python test/golden/models.py [name ...]     all fixtures, or those named

Needs torch, safetensors and transformers 5.18. Each fixture is a folder test/golden/models/NAME: a model as save_pretrained writes it, and golden.safetensors,
computed in f32 by the model read back from that folder:
    ids              i32 [64]
    logits           f32 [64, V] of ids
    routes.N         i32 [64, K]: the experts that each token takes in layer N, in rising order; only MoE layers
    greedy           i32 [64]: what follows ids[:8], each token chosen by a forward pass of its own over all before it
Weights are drawn until the answers are clear: the same routes and greedy tokens when every weight is off by a relative 1e-4.
"""

import copy
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    DeepseekV2Config,
    DeepseekV3Config,
    GptOssConfig,
    GraniteMoeConfig,
    GraniteMoeSharedConfig,
    Llama4Config,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    OlmoeConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    logging,
)
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

logging.disable_progress_bar()
torch.set_num_threads(1)

here = pathlib.Path(__file__).parent / "models"
LENGTH, PROMPT, STEPS = 64, 8, 64

common = dict(
    vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=160, bos_token_id=1, eos_token_id=2, attn_implementation="eager",
)
window = dict(use_sliding_window=True, sliding_window=9)
llama3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
yarn = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=40)
magnified = yarn | dict(mscale=0.8, mscale_all_dim=1.2)
latent = dict(num_key_value_heads=4, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=12, intermediate_size=40,
              moe_intermediate_size=12, first_k_dense_replace=1, n_routed_experts=8, num_experts_per_tok=3)
linear = dict(rope_type="linear", rope_theta=10000.0, factor=2.5)

tower = dict(hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4, vision_output_dim=4, image_size=4, patch_size=2,
             projector_input_dim=4, projector_output_dim=4, num_channels=1)

# name: (config, dtype of the file, whether experts lie fused in it, or "mxfp4" for gpt-oss's experts in blocks)
FIXTURES = {
    "llama": (LlamaConfig(**common, intermediate_size=48, head_dim=16, rope_parameters=llama3), "bf16", False),
    "llama-odd-tied": (LlamaConfig(**common | dict(
        hidden_size=24, num_attention_heads=3, num_key_value_heads=1, tie_word_embeddings=True), intermediate_size=40,
        attention_bias=True, rope_parameters=linear), "bf16", False),
    "mistral": (MistralConfig(**common, intermediate_size=48, sliding_window=7, rope_parameters=yarn), "bf16", False),
    "qwen2": (Qwen2Config(**common | dict(num_hidden_layers=3), intermediate_size=48, **window, max_window_layers=1), "bf16", False),
    "qwen2-tied": (Qwen2Config(**common | dict(num_attention_heads=2), intermediate_size=48, tie_word_embeddings=True), "f16", False),
    "qwen3": (Qwen3Config(**common | dict(num_hidden_layers=3, num_attention_heads=6), intermediate_size=40, head_dim=12, **window,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"]), "bf16", False),
    "mixtral": (MixtralConfig(**common, intermediate_size=24, num_local_experts=4, sliding_window=11), "bf16", False),
    "mixtral-fused-tied": (MixtralConfig(**common | dict(tie_word_embeddings=True), intermediate_size=16, num_local_experts=6,
        num_experts_per_tok=3), "bf16", True),
    "olmoe": (OlmoeConfig(**common, intermediate_size=16, num_experts=8, num_experts_per_tok=3), "bf16", False),
    "olmoe-normalised-clipped": (OlmoeConfig(**common | dict(num_key_value_heads=4), intermediate_size=16, num_experts=8, num_experts_per_tok=2,
        norm_topk_prob=True, clip_qkv=0.9), "f16", True),
    "qwen2-moe": (Qwen2MoeConfig(**common | dict(num_hidden_layers=3), intermediate_size=40, moe_intermediate_size=12, num_experts=6,
        num_experts_per_tok=2, shared_expert_intermediate_size=20, mlp_only_layers=[0]), "bf16", False),
    "qwen2-moe-normalised-window": (Qwen2MoeConfig(**common | dict(num_hidden_layers=4), intermediate_size=40, moe_intermediate_size=12,
        num_experts=4, num_experts_per_tok=2, shared_expert_intermediate_size=16, norm_topk_prob=True, decoder_sparse_step=2,
        max_window_layers=3, **window), "bf16", False),
    "qwen3-moe": (Qwen3MoeConfig(**common, intermediate_size=40, moe_intermediate_size=12, num_experts=8, num_experts_per_tok=3,
        norm_topk_prob=True, head_dim=12, tie_word_embeddings=True), "bf16", False),
    "qwen3-moe-plain-window": (Qwen3MoeConfig(**common | dict(num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1),
        intermediate_size=40, moe_intermediate_size=12, num_experts=8, num_experts_per_tok=2, norm_topk_prob=False, head_dim=8,
        mlp_only_layers=[1], **window), "f32", True),
    "granite-moe": (GraniteMoeConfig(**common, intermediate_size=16, num_local_experts=6, num_experts_per_tok=3, embedding_multiplier=3.0,
        attention_multiplier=0.2, residual_multiplier=0.4, logits_scaling=1.7), "bf16", False),
    "granite-moe-shared": (GraniteMoeSharedConfig(**common, intermediate_size=16, shared_intermediate_size=20, num_local_experts=4,
        num_experts_per_tok=2, embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.5, logits_scaling=2.0,
        attention_bias=True), "bf16", False),
    "deepseek-v2": (DeepseekV2Config(**common | latent, q_lora_rank=None, n_shared_experts=2, topk_method="greedy"), "bf16", False),
    "deepseek-v2-groups-yarn": (DeepseekV2Config(**common | latent | dict(num_attention_heads=3, num_key_value_heads=3, hidden_size=24), q_lora_rank=10,
        n_shared_experts=1, topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=2.5, rope_parameters=magnified,
        tie_word_embeddings=True), "bf16", True),
    "deepseek-v3": (DeepseekV3Config(**common | latent, q_lora_rank=10, n_shared_experts=1, n_group=4, topk_group=2, num_mtp_layers=0,
        rope_parameters=magnified), "bf16", False),
    "deepseek-v3-plain": (DeepseekV3Config(**common | latent | dict(first_k_dense_replace=0), q_lora_rank=None, n_shared_experts=2, n_group=1, topk_group=1,
        norm_topk_prob=False, routed_scaling_factor=1.5, rope_interleave=False, attention_bias=True), "bf16", False),
    "gpt-oss": (GptOssConfig(**common | dict(num_hidden_layers=3), head_dim=12, intermediate_size=20, num_local_experts=4, num_experts_per_tok=2,
        sliding_window=9, rope_parameters=yarn | dict(truncate=False)), "bf16", False),
    "gpt-oss-tied": (GptOssConfig(**common | dict(num_attention_heads=6, tie_word_embeddings=True), head_dim=8, intermediate_size=16, num_local_experts=5,
        num_experts_per_tok=3, sliding_window=5, layer_types=["full_attention", "sliding_attention"], attention_bias=False), "bf16", False),
    "gpt-oss-mxfp4": (GptOssConfig(**common, head_dim=8, intermediate_size=64, num_local_experts=4, num_experts_per_tok=2,
        sliding_window=9), "bf16", "mxfp4"),
    "llama4-seeing": (Llama4Config(vision_config=tower, text_config=common | dict(head_dim=8, intermediate_size=16, intermediate_size_mlp=24,
        num_local_experts=4, attention_chunk_size=20, no_rope_layer_interval=2, floor_scale=16)), "bf16", False),
    "llama4": (Llama4TextConfig(**common | dict(num_hidden_layers=4), head_dim=12, intermediate_size=16, intermediate_size_mlp=40, num_local_experts=4,
        interleave_moe_layer_step=2, no_rope_layer_interval=2, attention_chunk_size=16, floor_scale=8, attn_scale=0.4, rope_parameters=llama3),
        "bf16", False),
    "llama4-top2-tied": (Llama4TextConfig(**common | dict(num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1, tie_word_embeddings=True), head_dim=8,
        intermediate_size=16, intermediate_size_mlp=24, num_local_experts=6, num_experts_per_tok=2, moe_layers=[0, 2], no_rope_layers=[1, 1, 0], attention_chunk_size=24,
        attn_temperature_tuning=False, use_qk_norm=False, attention_bias=True), "f16", False),
}

dtypes = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def spread(model, generator):
    """Larger weights than the usual start, so that attention, routing and logits are far from uniform."""
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        if "inv_freq" in name or not p.is_floating_point():
            continue
        if "norm" in name and p.dim() == 1:
            p.data = torch.rand(p.shape, generator=generator) + 0.5
        else:
            p.data = torch.randn(p.shape, generator=generator) * (0.3 if p.dim() > 1 else 0.4)


def in_blocks(model, generator):
    """Gives gpt-oss's experts weights that MXFP4 holds exactly, and says what a file has in their place."""
    stored = {}
    for name, p in model.named_parameters():
        if name.endswith(("gate_up_proj", "down_proj")):
            experts, columns, rows = p.shape
            blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), generator=generator, dtype=torch.uint8)
            scales = torch.randint(122, 126, (experts, rows, columns // 32), generator=generator, dtype=torch.uint8)
            p.data = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
            stored |= {name: None, f"{name}_blocks": blocks, f"{name}_scales": scales}
    return stored


def store_blocks(folder, stored):
    tensors = {name: t for name, t in load_file(folder / "model.safetensors").items() if name not in stored}
    save_file(tensors | {name: t for name, t in stored.items() if t is not None}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def perturbed(model, generator):
    other = copy.deepcopy(model)
    for p in other.parameters():
        p.data *= 1 + 1e-4 * torch.randn(p.shape, generator=generator)
    return other


def forward(model, ids):
    """Logits [T, V] and the experts of each MoE layer, [T, K] in rising order: what the experts' module is called with."""
    routes, hooks = {}, []
    for name, module in model.named_modules():
        kind, layer = type(module).__name__, name.partition("layers.")[2].partition(".")[0]
        if kind == "Llama4Router":  # its experts are given all tokens
            hooks.append(module.register_forward_hook(
                lambda module, args, output, layer=layer: routes.__setitem__(int(layer), output[1].topk(module.top_k).indices)))
        elif kind.endswith("Experts") and kind != "Llama4TextExperts":
            hooks.append(module.register_forward_pre_hook(
                lambda module, args, layer=layer: routes.__setitem__(int(layer), args[1].reshape(len(ids), -1))))
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    for hook in hooks:
        hook.remove()
    return logits, {layer: experts.sort(-1).values.to(torch.int32) for layer, experts in routes.items()}


def greedy(model, prompt):
    ids = list(prompt)
    for _ in range(STEPS):
        ids.append(int(forward(model, ids)[0][-1].argmax()))
    return ids[len(prompt):]


def answers(model, ids):
    logits, routes = forward(model, ids)
    told = {"logits": logits.to(torch.float32), "greedy": torch.tensor(greedy(model, ids[:PROMPT]), dtype=torch.int32)}
    return told | {f"routes.{layer}": experts for layer, experts in routes.items()}


def make(name):
    config, dtype, fused = FIXTURES[name]
    folder = here / name
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        auto = AutoModelForImageTextToText if config.model_type == "llama4" else AutoModelForCausalLM
        model = auto.from_config(config)
        spread(model, generator)
        blocks = in_blocks(model, generator) if fused == "mxfp4" else None
        model.tie_weights()
        shutil.rmtree(folder, ignore_errors=True)
        model.to(dtypes[dtype]).save_pretrained(folder, save_original_format=not fused)
        model = auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        ids = torch.randint(3, config.get_text_config().vocab_size, (LENGTH,), generator=generator)
        told = answers(model, ids.tolist())
        off = answers(perturbed(model, generator), ids.tolist())
        clear = all(torch.equal(told[key], off[key]) for key in told if key != "logits")
        varied = len(set(told["greedy"].tolist())) > 8
        if clear and varied:
            break
    else:
        raise SystemExit(f"{name}: no seed gives clear answers")
    if blocks:
        store_blocks(folder, blocks)
    save_file({"ids": ids.to(torch.int32)} | {key: value.contiguous() for key, value in told.items()}, folder / "golden.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, {size // 1024} KiB, logits to {told['logits'].abs().max():.1f}, {len(set(told['greedy'].tolist()))} different tokens")


for name in sys.argv[1:] or FIXTURES:
    make(name)
