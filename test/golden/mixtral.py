"""Tiny random Mixtral and Mistral models with what transformers computes from them.

Run with torch and transformers installed: python test/golden/mixtral.py. Writes, beside this file:
  mixtral/        saved as transformers does by default (one file tensor an expert matrix), f32
  mixtral-fused/  the same weights rounded to bf16, in transformers' in-memory layout (experts fused)
  mistral/        dense; tied embeddings and a sliding window of 5
Each holds expected.json: logits of ids[0] [S, V], a greedy continuation, and for mixtral and mistral the training loss on `ids`
and its gradients. Arrays are base64 of little-endian f32. Mixtral's loss is cross-entropy + 0.01 * mean over layers of
E * sum_i f_i P_i with f_i the share of places and P_i the mean probability (Switch Transformer, equation 4, for top-k); transformers'
own load_balancing_loss_func, which pools the layers and does not divide by k, is saved beside it.
"""

import base64
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM

here = pathlib.Path(__file__).parent
shape = dict(
    vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=128, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, attn_implementation="eager",
)


def array(x):
    x = x.detach().to(torch.float32).contiguous()
    return {"shape": list(x.shape), "f32": base64.b64encode(x.numpy().tobytes()).decode()}


def spread(model):
    """Larger weights than the usual start, so that attention and routing are far from uniform."""
    for name, p in model.named_parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.2)
        else:
            torch.nn.init.uniform_(p, 0.5, 1.5)


def greedy(model, prompt, steps):
    ids = list(prompt)
    for _ in range(steps):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt):]


def balance(logits_TE, k):
    p = torch.softmax(logits_TE, -1)
    experts = p.shape[-1]
    counts = torch.bincount(p.topk(k).indices.reshape(-1), minlength=experts).float()
    return experts * (counts / counts.sum() * p.mean(0)).sum()


def expected(model, ids, gradients):
    out = {"ids": ids.tolist()}
    with torch.no_grad():
        out["logits"] = array(model(ids[:1]).logits[0])
    out["greedy"] = greedy(model, ids[0, :6].tolist(), 20)
    if not gradients:
        return out
    moe = isinstance(model, MixtralForCausalLM)
    model.zero_grad()
    result = model(ids, output_router_logits=True) if moe else model(ids)
    ce = torch.nn.functional.cross_entropy(result.logits[:, :-1].reshape(-1, 64), ids[:, 1:].reshape(-1))
    loss = ce
    if moe:
        each = [balance(g, 2) for g in result.router_logits]
        loss = ce + 0.01 * sum(each) / len(each)
        out["balance"] = [b.item() for b in each]
        out["transformersAuxLoss"] = result.aux_loss.item()
    loss.backward()
    out["crossEntropy"], out["loss"] = ce.item(), loss.item()
    grads = dict(model.named_parameters())
    out["gradients"] = {name: array(grads[name].grad) for name in gradients}
    return out


def write(folder, what):
    (here / folder / "expected.json").write_text(json.dumps(what) + "\n")


torch.manual_seed(3)
ids = torch.randint(3, 64, (2, 12))
prefix = "model.layers.1."

mixtral = MixtralForCausalLM(MixtralConfig(
    **shape, intermediate_size=24, num_local_experts=4, num_experts_per_tok=2, rope_theta=10000.0))
spread(mixtral)
mixtral.save_pretrained(here / "mixtral")
write("mixtral", expected(mixtral, ids, [
    "model.layers.0.mlp.gate.weight", prefix + "mlp.gate.weight", prefix + "self_attn.k_proj.weight",
    prefix + "input_layernorm.weight", "model.norm.weight"]))

mixtral.to(torch.bfloat16).save_pretrained(here / "mixtral-fused", save_original_format=False)
rounded = AutoModelForCausalLM.from_pretrained(here / "mixtral-fused", dtype=torch.float32, attn_implementation="eager")
write("mixtral-fused", expected(rounded, ids, None))

mistral = MistralForCausalLM(MistralConfig(
    **shape, intermediate_size=48, head_dim=16, sliding_window=5, tie_word_embeddings=True, rope_theta=10000.0))
spread(mistral)
mistral.save_pretrained(here / "mistral")
write("mistral", expected(mistral, ids, [
    prefix + "self_attn.q_proj.weight", prefix + "post_attention_layernorm.weight", "model.norm.weight"]))
