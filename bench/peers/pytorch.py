"""PyTorch on the CPU as a peer (see protocol.mjs): python pytorch.py [threads].

The MoE layer is transformers' MixtralSparseMoeBlock and the model MixtralForCausalLM, with the experts backend that the case names
("eager" or "grouped_mm"). A training step: bf16 autocast (or f32), gradient clipped to norm 1, fused AdamW on f32 weights.
"""

import json
import os
import sys
import time

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is not an answer

import torch
import transformers
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
torch.set_num_threads(threads)
transformers.logging.set_verbosity_error()
dtypes = {"f32": torch.float32, "bf16": torch.bfloat16}


def gemm(case):
    a = torch.randn(case["m"], case["k"]).to(dtypes[case["dtype"]])
    b = torch.randn(case["k"], case["n"]).to(dtypes[case["dtype"]])
    return lambda: torch.matmul(a, b)


def moe(case):
    config = MixtralConfig(
        hidden_size=case["D"],
        intermediate_size=case["F"],
        num_local_experts=case["E"],
        num_experts_per_tok=case["K"],
    )
    config._experts_implementation = case["experts"]
    dtype = dtypes[case["dtype"]]
    block = MixtralSparseMoeBlock(config).to(dtype)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    x = torch.randn(1, case["T"], case["D"], dtype=dtype, requires_grad=True)
    dy = torch.randn(1, case["T"], case["D"], dtype=dtype)

    def forward():
        with torch.no_grad():
            block(x)

    def both():
        y = block(x)
        y = y[0] if isinstance(y, tuple) else y
        y.backward(dy)
        x.grad = None
        for parameter in block.parameters():
            parameter.grad = None

    return forward if case["pass"] == "forward" else both


def train(case):
    model, data, optimizer = case["config"]["model"], case["config"]["data"], case["config"]["optimizer"]
    config = MixtralConfig(
        vocab_size=data["vocabSize"],
        hidden_size=model["width"],
        intermediate_size=model["expertWidth"],
        num_hidden_layers=model["layers"],
        num_attention_heads=model["heads"],
        num_key_value_heads=model["kvHeads"],
        head_dim=model["headDim"] or model["width"] // model["heads"],
        num_local_experts=model["routing"]["experts"],
        num_experts_per_tok=model["routing"]["select"]["k"],
        sliding_window=data["sequence"],
        max_position_embeddings=32 * data["sequence"],
        output_router_logits=True,
        router_aux_loss_coef=case["config"]["losses"]["balance"],
        use_cache=False,
    )
    config._experts_implementation = case["experts"]
    network = MixtralForCausalLM(config)
    network.train()
    adamw = torch.optim.AdamW(
        network.parameters(),
        lr=optimizer["lr"],
        betas=tuple(optimizer["betas"]),
        eps=optimizer["eps"],
        weight_decay=optimizer["decay"],
        fused=True,
    )
    ids = torch.randint(0, data["vocabSize"], (data["batch"], data["sequence"]))

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=case["dtype"] == "bf16"):
            loss = network(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), optimizer["clip"])
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        return loss.item()

    return step


prepared = {"gemm": gemm, "moe": moe, "train": train}
workload = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        match request["do"]:
            case "about":
                version = f"{torch.__version__}, transformers {transformers.__version__}"
                reply = {"name": "PyTorch", "version": version, "threads": threads}
            case "prepare":
                workload = prepared[request["case"]["op"]](request["case"])
                workload()
                reply = {}
            case "run":
                began = time.perf_counter()
                workload()
                reply = {"ms": 1000 * (time.perf_counter() - began)}
            case "memory":
                reply = {}
            case "release":
                workload = None
                reply = {}
    except Exception as error:  # the other contenders go on
        reply = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(reply), file=answers, flush=True)
