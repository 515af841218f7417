"""Outputs and gradients of the MoE blocks of transformers, on small random weights.

    python test/golden/moe_blocks.py        writes test/golden/moe_blocks.json

Each case holds the weights under Conclave's names and layout, an input x, the output y, and the gradients of
sum(y * dy) with respect to x and every weight.
"""

import json
from pathlib import Path

import torch
from transformers import DeepseekV3Config, Llama4TextConfig, MixtralConfig, Qwen2MoeConfig
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
from transformers.models.llama4.modeling_llama4 import Llama4TextMoe
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock

WIDTH, HIDDEN = 4, 3


def stacked(mlp):
    """A dense MLP as a stack of one: gate rows, then up."""
    return lambda t: (torch.cat([t(mlp.gate_proj.weight), t(mlp.up_proj.weight)])[None], t(mlp.down_proj.weight)[None])


def mixtral():
    block = MixtralSparseMoeBlock(MixtralConfig(hidden_size=WIDTH, intermediate_size=HIDDEN, num_local_experts=4, num_experts_per_tok=2))
    names = lambda t: {"router.gate.weight": t(block.gate.weight), "experts.gateUp": t(block.experts.gate_up_proj), "experts.down": t(block.experts.down_proj)}
    return block, names


def qwen2():
    block = Qwen2MoeSparseMoeBlock(Qwen2MoeConfig(hidden_size=WIDTH, moe_intermediate_size=HIDDEN, shared_expert_intermediate_size=HIDDEN + 2, num_experts=4, num_experts_per_tok=2, norm_topk_prob=False))
    shared = stacked(block.shared_expert)
    def names(t):
        gate_up, down = shared(t)
        return {"router.gate.weight": t(block.gate.weight), "experts.gateUp": t(block.experts.gate_up_proj), "experts.down": t(block.experts.down_proj),
                "shared.expert.gateUp": gate_up, "shared.expert.down": down, "shared.gate": t(block.shared_expert_gate.weight)}
    return block, names


def deepseek():
    block = DeepseekV3MoE(DeepseekV3Config(hidden_size=WIDTH, moe_intermediate_size=HIDDEN, n_routed_experts=8, num_local_experts=8, num_experts_per_tok=3, n_group=4, topk_group=2, n_shared_experts=1, routed_scaling_factor=2.5, norm_topk_prob=True))
    shared = stacked(block.shared_experts)
    block.gate.e_score_correction_bias.copy_(torch.randn(8) * 0.3)
    def names(t):
        gate_up, down = shared(t)
        return {"router.gate.weight": t(block.gate.weight), "router.bias": t(block.gate.e_score_correction_bias), "experts.gateUp": t(block.experts.gate_up_proj),
                "experts.down": t(block.experts.down_proj), "shared.expert.gateUp": gate_up, "shared.expert.down": down}
    return block, names


def llama4():
    block = Llama4TextMoe(Llama4TextConfig(hidden_size=WIDTH, intermediate_size=HIDDEN, num_local_experts=4, num_experts_per_tok=1))
    shared = stacked(block.shared_expert)
    def names(t):
        gate_up, down = shared(t)
        return {"router.gate.weight": t(block.router.weight), "experts.gateUp": t(block.experts.gate_up_proj).transpose(1, 2),
                "experts.down": t(block.experts.down_proj).transpose(1, 2), "shared.expert.gateUp": gate_up, "shared.expert.down": down}
    return block, names


SPECS = {
    "mixtral": (mixtral, {"experts": 4, "select": {"by": "token", "k": 2}, "order": "select-then-score"}, None),
    "qwen2-moe": (qwen2, {"experts": 4, "select": {"by": "token", "k": 2}}, {"hidden": HIDDEN + 2, "gate": "sigmoid"}),
    "deepseek-v3": (deepseek, {"experts": 8, "select": {"by": "token", "k": 3}, "score": "sigmoid", "groups": {"count": 4, "keep": 2, "score": "top2-sum"}, "bias": "selection-only", "normalise": True, "scale": 2.5}, {"hidden": HIDDEN, "gate": "none"}),
    "llama4": (llama4, {"experts": 4, "select": {"by": "token", "k": 1}, "score": "sigmoid", "order": "select-then-score", "weightAt": "input"}, {"hidden": HIDDEN, "gate": "none"}),
}


def listed(t):
    return {"shape": list(t.shape), "values": [float(f"{v:.8g}") for v in t.detach().double().flatten().tolist()]}


def case(name):
    make, spec, shared = SPECS[name]
    torch.manual_seed(7)
    block, names = make()
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn(p.shape) * 0.8)
    x = torch.randn(1, 6, WIDTH, requires_grad=True)
    dy = torch.randn(6, WIDTH)
    y = block(x)
    y = (y[0] if isinstance(y, tuple) else y).reshape(6, WIDTH)
    (y * dy).sum().backward()
    grads = {n: g for n, g in names(lambda p: p.grad if p.grad is not None else torch.zeros_like(p)).items()}
    return {"name": name, "spec": spec, "shared": shared, "width": WIDTH, "hidden": HIDDEN, "weights": {n: listed(w) for n, w in names(lambda p: p.detach()).items()},
            "x": listed(x[0]), "dy": listed(dy), "y": listed(y), "dx": listed(x.grad[0]), "grads": {n: listed(g) for n, g in grads.items()}}


if __name__ == "__main__":
    path = Path(__file__).with_name("moe_blocks.json")
    path.write_text("[\n" + ",\n".join(json.dumps(case(name)) for name in SPECS) + "\n]\n")
    print(f"{path.name}: {path.stat().st_size} bytes")
