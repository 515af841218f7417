"""Makes test/golden/gguf/*: python test/golden/gguf_models.py PATH/TO/llama.cpp [name ...]

Tiny random models of transformers, turned into GGUF files by llama.cpp's own converter (its Python package `conversion`), and the
logits that transformers computes from the same weights. Quantised files get their weights from gguf-py: transformers then runs what
gguf-py decodes. Needs torch, safetensors, transformers 5.18 and a checkout of llama.cpp. The files are committed; the tests
do not run this.
"""

import base64
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    DeepseekV2Config,
    DeepseekV3Config,
    GptOssConfig,
    GraniteMoeConfig,
    GraniteMoeSharedConfig,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    OlmoeConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers.utils import logging

HERE = Path(__file__).parent / "gguf"
LLAMA_CPP = Path(sys.argv[1])
sys.path.insert(0, str(LLAMA_CPP / "gguf-py"))
sys.path.insert(1, str(LLAMA_CPP))
import gguf  # noqa: E402
from conversion import ModelType, get_model_class  # noqa: E402

logging.disable_progress_bar()
torch.set_num_threads(1)
TOKENS = 24

common = dict(
    vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, bos_token_id=1, eos_token_id=2, attn_implementation="eager",
)
llama3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
yarn = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
deepseek_yarn = dict(yarn, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0)
mla = dict(q_lora_rank=12, kv_lora_rank=16, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10)

# name: (config, type of the matrices in the file)
MODELS = {
    "llama": (LlamaConfig(**common, intermediate_size=40, head_dim=16, attention_bias=True, rope_parameters=llama3), "bf16"),
    "llama-tied": (LlamaConfig(**common | dict(num_attention_heads=2), intermediate_size=32, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0)), "f16"),
    "mistral": (MistralConfig(**common, intermediate_size=40, sliding_window=None, rope_parameters=yarn), "f32"),
    "qwen2": (Qwen2Config(**common, intermediate_size=40, tie_word_embeddings=True), "bf16"),
    "qwen3": (Qwen3Config(**common, intermediate_size=40, head_dim=12), "bf16"),
    "mixtral": (MixtralConfig(**common, intermediate_size=24, num_local_experts=4, sliding_window=None), "bf16"),
    "olmoe": (OlmoeConfig(**common, intermediate_size=16, num_experts=8, num_experts_per_tok=3), "bf16"),
    "qwen2moe": (Qwen2MoeConfig(**common, intermediate_size=40, moe_intermediate_size=12, num_experts=6, num_experts_per_tok=2,
        shared_expert_intermediate_size=20), "bf16"),
    "qwen3moe": (Qwen3MoeConfig(**common, intermediate_size=40, moe_intermediate_size=12, num_experts=8, num_experts_per_tok=3,
        norm_topk_prob=True, head_dim=12), "bf16"),
    "qwen3moe-q8": (Qwen3MoeConfig(**common, intermediate_size=40, moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2,
        norm_topk_prob=True, head_dim=16, tie_word_embeddings=True), "q8_0"),
    "qwen3moe-q4": (Qwen3MoeConfig(**common | dict(hidden_size=64), intermediate_size=64, moe_intermediate_size=32, num_experts=4,
        num_experts_per_tok=2, norm_topk_prob=True, head_dim=16), "q4_0"),
    "granitemoe": (GraniteMoeConfig(**common, intermediate_size=16, num_local_experts=6, num_experts_per_tok=3, embedding_multiplier=6.0,
        attention_multiplier=0.2, residual_multiplier=0.4, logits_scaling=1.7, tie_word_embeddings=True), "bf16"),
    "granitemoe-shared": (GraniteMoeSharedConfig(**common, intermediate_size=16, shared_intermediate_size=20, num_local_experts=4,
        num_experts_per_tok=2, embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.5, logits_scaling=2.0), "bf16"),
    "deepseek2": (DeepseekV2Config(**common | dict(num_key_value_heads=4, num_hidden_layers=3), **mla, intermediate_size=40, moe_intermediate_size=12,
        n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=2, first_k_dense_replace=1, n_group=4, topk_group=2,
        topk_method="group_limited_greedy", routed_scaling_factor=1.5, norm_topk_prob=False, rope_parameters=deepseek_yarn), "bf16"),
    "deepseek2-lite": (DeepseekV2Config(**common | dict(num_key_value_heads=4), **mla | dict(q_lora_rank=None), intermediate_size=40,
        moe_intermediate_size=12, n_routed_experts=6, num_experts_per_tok=2, n_shared_experts=1, first_k_dense_replace=1,
        topk_method="greedy", routed_scaling_factor=1.0, norm_topk_prob=False), "bf16"),
    "deepseek3": (DeepseekV3Config(**common | dict(num_key_value_heads=4, num_hidden_layers=3), **mla, intermediate_size=40, moe_intermediate_size=12,
        n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=1, first_k_dense_replace=1, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, norm_topk_prob=True, rope_parameters=deepseek_yarn), "bf16"),
    "gpt-oss": (GptOssConfig(**common, intermediate_size=24, num_local_experts=4, num_experts_per_tok=2, head_dim=16, sliding_window=7,
        layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(yarn, truncate=False)), "bf16"),
    "gpt-oss-mxfp4": (GptOssConfig(**common | dict(hidden_size=64), intermediate_size=32, num_local_experts=4, num_experts_per_tok=2, head_dim=16,
        sliding_window=7, layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(yarn, truncate=False)), "mxfp4"),
    "llama4": (Llama4TextConfig(**common | dict(num_hidden_layers=4), intermediate_size=12, intermediate_size_mlp=40, num_local_experts=4,
        num_experts_per_tok=1, interleave_moe_layer_step=2, head_dim=8, attention_chunk_size=8192, no_rope_layers=[1, 1, 1, 0],
        rope_parameters=llama3), "bf16"),
}

FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q4_0": 32, "mxfp4": 32}
TORCH = {"f32": torch.float32, "f16": torch.float16}


def randomised(config, dtype, seed):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
        if "inv_freq" in name or not tensor.is_floating_point():
            continue
        centre, size = (1.0, 0.3) if "norm" in name and tensor.dim() == 1 else (0.0, 0.3)
        tensor.data = centre + torch.randn(tensor.shape) * size
    model.tie_weights()
    return model.to(TORCH.get(dtype, torch.bfloat16))


def mxfp4_experts(model, folder):
    """Puts MXFP4 experts in place of the saved ones, and what they decode to into the model."""
    from safetensors.torch import load_file, save_file
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, columns, rows = tensors.pop(name).shape
        blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), dtype=torch.uint8)
        scales = torch.randint(122, 126, (experts, rows, columns // 32), dtype=torch.uint8)
        tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = blocks, scales
        model.get_parameter(name).data = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (folder / "config.json").write_text(json.dumps(config))


def convert(folder, out, dtype):
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] == "deepseek_v3":  # published files say so; transformers' class leaves it out
        (folder / "config.json").write_text(json.dumps(config | {"scoring_func": "sigmoid"}))
    kind = get_model_class(config["architectures"][0], mmproj=False)
    kind.set_vocab = lambda self: None
    kind.get_vocab_base_pre = lambda self, tokenizer: "default"
    converter = kind(folder, gguf.LlamaFileType(FILE_TYPES[dtype]), out, eager=True, model_name=out.stem)
    if dtype == "q4_0":
        converter.tensor_force_quant = lambda name, new_name, bid, n_dims: gguf.GGMLQuantizationType.Q4_0 if n_dims >= 2 and "gate_inp" not in new_name else False
    converter.gguf_writer.add_bos_token_id(1)
    converter.gguf_writer.add_eos_token_id(2)
    converter.write()


def as_decoded(model, dtype):
    """The weights as a file in `dtype` holds them; routers and rows that blocks do not fill stay as they are."""
    kind = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}[dtype]
    for name, tensor in model.named_parameters():
        if tensor.dim() < 2 or "mlp.gate.weight" in name:
            continue
        rows = tensor.data.to(torch.float32).numpy()
        tensor.data = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(rows, kind), kind))
    model.tie_weights()


def make(name, seed):
    config, dtype = MODELS[name]
    model = randomised(config, dtype, seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model.save_pretrained(folder, save_original_format=True)
        # Read back, so that rotary frequencies are those of f32.
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        if dtype == "mxfp4":
            mxfp4_experts(model, folder)
        convert(folder, HERE / f"{name}.gguf", dtype)
    if dtype in ("q8_0", "q4_0"):
        as_decoded(model, dtype)
    ids = torch.randint(3, config.vocab_size, (TOKENS,))
    with torch.no_grad():
        logits = model(ids[None]).logits[0].numpy().astype(np.float32)
    return {"ids": ids.tolist(), "logits": base64.b64encode(logits.tobytes()).decode()}


HERE.mkdir(exist_ok=True)
path = HERE / "expected.json"
expected = json.loads(path.read_text()) if path.exists() else {}
for seed, name in enumerate(MODELS):
    if len(sys.argv) > 2 and name not in sys.argv[2:]:
        continue
    expected[name] = make(name, seed)
    print(name, (HERE / f"{name}.gguf").stat().st_size)
path.write_text(json.dumps({name: expected[name] for name in MODELS if name in expected}, indent=1) + "\n")
