"""Parameter counts of published models, by part, from transformers' own modules on the meta device (no weights, no memory).

Run with torch and transformers installed: python test/golden/published.py > test/golden/published.json
The configurations are those of the models' config.json files; tied and repeated tensors count once.
"""

import json

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
)

models = {
    "mixtral-8x7b": ("mixtral", dict()),
    "mixtral-8x22b": ("mixtral", dict(
        hidden_size=6144, intermediate_size=16384, num_hidden_layers=56, num_attention_heads=48, vocab_size=32000)),
    "olmoe-1b-7b": ("olmoe", dict(intermediate_size=1024)),
    "qwen3-30b-a3b": ("qwen3_moe", dict(num_hidden_layers=48, head_dim=128)),
    "gpt-oss-20b": ("gpt_oss", dict(num_hidden_layers=24, num_local_experts=32)),
    "gpt-oss-120b": ("gpt_oss", dict()),
    "deepseek-v3": ("deepseek_v3", dict(num_mtp_layers=0)),
    "llama-4-scout": ("llama4", dict(vision_config=dict(
        hidden_size=1408, image_size=336, vision_output_dim=4096, projector_input_dim=4096, projector_output_dim=4096))),
    "gpt-3": ("gpt2", dict(n_embd=12288, n_layer=96, n_head=96, n_positions=2048)),
    "switch-base-8": ("switch_transformers", dict(d_ff=3072, num_sparse_encoder_layers=6, num_sparse_decoder_layers=6)),
    # google/switch-c-2048's config.json, but for num_decoder_layers (12 there; 15 in the paper and in flaxformer's switch_c.gin) and
    # for the head, which that gin file sets apart from the embedding.
    "switch-c-2048": ("switch_transformers", dict(
        d_model=2080, d_ff=6144, num_heads=30, num_experts=2048, num_layers=15, num_decoder_layers=15,
        num_sparse_encoder_layers=15, num_sparse_decoder_layers=15, tie_word_embeddings=False)),
    # transformers has no V-MoE: the vision transformer that it is with one expert in every layer.
    "v-moe-15b, dense": ("vit", dict(
        hidden_size=1408, intermediate_size=6400, num_hidden_layers=48, num_attention_heads=16, image_size=224,
        patch_size=14, num_labels=29593)),
}
auto = {
    "llama4": AutoModelForImageTextToText,
    "switch_transformers": AutoModelForSeq2SeqLM,
    "vit": AutoModelForImageClassification,
}


def part(name):
    if "vision" in name or "multi_modal" in name:
        return "other"
    if "shared_expert" in name:
        return "mlp"
    if ".experts." in name or name.endswith(".experts"):
        return "experts"
    if "router" in name or name.endswith(("mlp.gate.weight", "mlp.gate.e_score_correction_bias")):
        return "router"
    if "lm_head" in name or name.startswith("classifier."):
        return "head"
    if name.endswith(("embed_tokens.weight", "shared.weight", "wte.weight", "wpe.weight")) or ".embeddings." in name:
        return "embedding"
    if "norm" in name or ".ln_" in name:
        return "norms"
    if "attn" in name or "Attention" in name or ".attention." in name:
        return "attention"
    if "mlp" in name:
        return "mlp"
    raise ValueError(name)


def count(model):
    parts = {}
    for name, p in model.named_parameters():
        parts[part(name)] = parts.get(part(name), 0) + p.numel()
    for name, b in model.named_buffers():  # DeepSeek-V3's selection bias is kept in the file, but is no torch parameter
        if name.endswith("e_score_correction_bias"):
            parts["router"] += b.numel()
    return {"total": sum(parts.values()), **parts}


if __name__ == "__main__":
    counts = {}
    for key, (model_type, options) in models.items():
        with torch.device("meta"):
            model = auto.get(model_type, AutoModelForCausalLM).from_config(AutoConfig.for_model(model_type, **options))
            if model_type == "switch_transformers":
                model.set_input_embeddings(model.shared)  # encoder and decoder share one embedding, with a head of its own too
        counts[key] = count(model)
    print(json.dumps(counts, indent=2))
