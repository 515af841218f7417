"""Holds the routers of transformers against routing/vectors.

    python test/golden/router_blocks.py        writes test/golden/router_blocks.json

Needs torch and transformers 5.18. A gate whose weight is the identity makes a token's logits of the token itself, so the
library routes a vector's logits. Each router goes with a pattern of routing spec; it runs on every vector whose spec has that
pattern, and what it chooses and weighs is compared with the vector's. Vectors on ties are left out: torch.topk
promises no order for equal values.
"""

import importlib
import json
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "routing" / "vectors"
ANY = "any"  # a field of a pattern that the router's config takes from the spec
EQUAL = 1e-6  # float32 against float64 rounded to 9 digits; times the spec's scale

K = {"experts": ANY, "select": {"by": "token", "k": ANY}}
K1 = {"experts": ANY, "select": {"by": "token", "k": 1}}
THEN_SOFTMAX = {**K, "order": "select-then-score"}
NORMALISED = {**K, "normalise": True}
GROUPS = {"count": ANY, "keep": ANY, "score": "top2-sum"}
V3 = {**K, "score": "sigmoid", "groups": GROUPS, "bias": "selection-only", "normalise": True, "scale": ANY}
SIGMOID_BIAS = {**K, "score": "sigmoid", "bias": "selection-only", "normalise": True}
LLAMA4 = {**K, "score": "sigmoid", "order": "select-then-score", "weightAt": "input"}
SWITCH = {**K1, "capacity": {"places": ANY, "over": "sequence", "evaluation": ANY}}
NLLB_TRAINING = {**K, "normalise": True, "capacity": {"places": ANY, "priority": "score"}}
NLLB_EVALUATION = {**K, "normalise": True, "capacity": {"places": ANY, "evaluation": ANY}}


def matches(pattern, spec):
    if pattern == ANY:
        return True
    if isinstance(pattern, dict) and isinstance(spec, dict):
        return pattern.keys() == spec.keys() and all(matches(v, spec[k]) for k, v in pattern.items())
    return pattern == spec


def library(path, name):
    return getattr(importlib.import_module(f"transformers.models.{path}.modeling_{path}"), name)


def configured(config, spec, **rest):
    """The family's default config with the spec's numbers. Families name the same number differently; each takes the names that it knows."""
    groups = spec.get("groups") or {"count": 1, "keep": 1}
    E, k = spec["experts"], spec["select"]["k"]
    experts = dict.fromkeys(("hidden_size", "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), E)
    numbers = {
        **experts,
        "num_experts_per_tok": k,
        "moe_topk": k,
        "n_group": groups["count"],
        "topk_group": groups["keep"],
        "routed_scaling_factor": float(spec.get("scale", 1)),
        **rest,
    }
    made = getattr(transformers, config)()
    for key, value in numbers.items():
        if hasattr(made, key):
            setattr(made, key, value)
    return made


def build(path, config, router, spec, given, **rest):
    """A router of the library with the identity for its gate, and the spec's bias."""
    cls = library(path, router)
    block = cls(configured(config, spec, **rest)).float()
    with torch.no_grad():
        for name, p in [*block.named_parameters(), *block.named_buffers()]:
            if p.dim() == 2 and p.shape[0] == p.shape[1]:
                p.copy_(torch.eye(p.shape[0]))
            elif "correction_bias" in name:
                p.copy_(torch.tensor(given["bias"]).reshape(p.shape))
            else:
                p.zero_()
    return block.train(given.get("training", False))


def dense(ids, weights, experts):
    """[T, K] choices as [T, E] weights, -1 where an expert was not chosen."""
    return torch.full((ids.shape[0], experts), -1.0).scatter(1, ids.long(), weights.float())


def plain(path, config, router, order=(1, 2), forward=lambda block, x, given: block(x), **rest):
    """A router that gives weights and ids at those places of its answer."""

    def run(spec, given):
        block = build(path, config, router, spec, given, **rest)
        answer = forward(block, torch.tensor(given["logits"]), given)
        return dense(answer[order[1]], answer[order[0]], spec["experts"])

    return run


def with_bias(block, x, given):
    return block(x, torch.tensor(given["bias"]))


def afmoe(block, x, given):
    return block(x[None], torch.tensor(given["bias"]))


def jamba(spec, given):
    cls = library("jamba", "JambaSparseMoeBlock")
    block = cls(transformers.JambaConfig(hidden_size=4, intermediate_size=4, num_experts=spec["experts"], num_experts_per_tok=spec["select"]["k"]))
    x = torch.tensor(given["logits"])
    ids, weights = block.route_tokens_to_experts(x, x)
    return dense(ids, weights, spec["experts"])


def dbrx(p):
    def run(spec, given):
        cls = library("dbrx", "DbrxFFN")
        ffn = {
            "hidden_size": 4,
            "ffn_hidden_size": 4,
            "moe_num_experts": spec["experts"],
            "moe_top_k": spec["select"]["k"],
            "moe_normalize_expert_weights": p,
        }
        weights, ids = cls(transformers.DbrxConfig(ffn_config=ffn)).route_tokens_to_experts(torch.tensor(given["logits"]))
        return dense(ids, weights, spec["experts"])

    return run


def llama4(spec, given):
    scores, _ = build("llama4", "Llama4TextConfig", "Llama4Router", spec, given)(torch.tensor(given["logits"]))
    return torch.where(scores > 0, scores, -1.0)  # sigmoid(-inf) = 0 for the experts that were not chosen


def jetmoe(spec, given):
    cls = library("jetmoe", "JetMoeTopKGating")
    E, k = spec["experts"], spec["select"]["k"]
    block = cls(E, E, k)
    block.layer.weight.data.copy_(torch.eye(E))
    sorted_places, tokens, gates, sizes, _ = block(torch.tensor(given["logits"]))
    ids = torch.repeat_interleave(torch.arange(E), torch.tensor(sizes))  # places are sorted by expert
    out = torch.full((len(given["logits"]), E), -1.0)
    out[tokens, ids] = gates
    return out


def switch(spec, given):
    cls = library("switch_transformers", "SwitchTransformersTop1Router")
    E, S, T = spec["experts"], given["sequence"], len(given["logits"])
    block = cls(
        transformers.SwitchTransformersConfig(d_model=E, num_experts=E, expert_capacity=spec["capacity"]["places"], router_jitter_noise=0.0)
    ).train(given["training"])
    block.classifier.weight.data.copy_(torch.eye(E))
    onehot, p, _ = block(torch.tensor(given["logits"]).reshape(T // S, S, E))
    return torch.where(onehot.reshape(T, E) > 0, p.reshape(T, 1), -1.0)


def nllb(before):
    def run(spec, given):
        cls = library("nllb_moe", "NllbMoeTop2Router")
        E, T, capacity = spec["experts"], len(given["logits"]), spec["capacity"]
        config = transformers.NllbMoeConfig(
            d_model=E,
            num_experts=E,
            expert_capacity=capacity["places"],
            normalize_router_prob_before_dropping=before,
            moe_eval_capacity_token_fraction=capacity.get("evaluation", 0) / T,
            batch_prioritized_routing=capacity.get("priority") == "score",
        )
        block = cls(config).train(given["training"])
        block.classifier.weight.data.copy_(torch.eye(E))
        _, weights, _ = block(torch.tensor(given["logits"]))
        return torch.where(weights > 0, weights, -1.0)

    return run


ROUTERS = [
    # name, class, spec pattern, how to run it, what to know
    ("Mixtral", "MixtralTopKRouter", [THEN_SOFTMAX, NORMALISED], plain("mixtral", "MixtralConfig", "MixtralTopKRouter"), ""),
    ("MiniMax", "MiniMaxTopKRouter", [THEN_SOFTMAX, NORMALISED], plain("minimax", "MiniMaxConfig", "MiniMaxTopKRouter"), ""),
    ("Hunyuan V1 MoE", "HunYuanMoEV1Gate", [THEN_SOFTMAX, NORMALISED], plain("hunyuan_v1_moe", "HunYuanMoEV1Config", "HunYuanMoEV1Gate"), ""),
    ("OLMoE", "OlmoeTopKRouter", [K], plain("olmoe", "OlmoeConfig", "OlmoeTopKRouter"), "norm_topk_prob false, its default"),
    ("Flex-OLMo", "FlexOlmoTopKRouter", [K], plain("flex_olmo", "FlexOlmoConfig", "FlexOlmoTopKRouter"), "norm_topk_prob false, its default"),
    ("Qwen2-MoE", "Qwen2MoeTopKRouter", [K], plain("qwen2_moe", "Qwen2MoeConfig", "Qwen2MoeTopKRouter"), "norm_topk_prob false, its default"),
    ("Jamba", "JambaSparseMoeBlock", [K], jamba, ""),
    (
        "Qwen3-MoE",
        "Qwen3MoeTopKRouter",
        [NORMALISED],
        plain("qwen3_moe", "Qwen3MoeConfig", "Qwen3MoeTopKRouter", norm_topk_prob=True),
        "norm_topk_prob true, as published",
    ),
    (
        "Qwen3-Next",
        "Qwen3NextTopKRouter",
        [NORMALISED],
        plain("qwen3_next", "Qwen3NextConfig", "Qwen3NextTopKRouter", norm_topk_prob=True),
        "norm_topk_prob true, as published",
    ),
    ("DBRX", "DbrxFFN", [NORMALISED], dbrx(1.0), "p-norm with p = 1, as published"),
    ("DBRX, p = 2", "DbrxFFN", [NORMALISED], dbrx(2.0), "divides by the 2-norm of the weights; no spec does"),
    (
        "gpt-oss",
        "GptOssTopKRouter",
        [{**THEN_SOFTMAX, "gate": {"kind": "linear", "bias": True}}, THEN_SOFTMAX],
        plain("gpt_oss", "GptOssConfig", "GptOssTopKRouter"),
        "the gate's bias is 0 here: it is part of the logits",
    ),
    ("GraniteMoE", "GraniteMoeTopKRouter", [THEN_SOFTMAX], plain("granitemoe", "GraniteMoeConfig", "GraniteMoeTopKRouter", (1, 0)), ""),
    ("Aria", "AriaTextTopKRouter", [THEN_SOFTMAX], plain("aria", "AriaTextConfig", "AriaTextTopKRouter", (1, 0)), ""),
    ("JetMoE", "JetMoeTopKGating", [THEN_SOFTMAX], jetmoe, ""),
    (
        "DeepSeek-V2, greedy",
        "DeepseekV2TopkRouter",
        [{**K, "scale": ANY}],
        plain("deepseek_v2", "DeepseekV2Config", "DeepseekV2TopkRouter", topk_method="greedy"),
        "",
    ),
    (
        "DeepSeek-V2",
        "DeepseekV2TopkRouter",
        [{**K, "groups": {"count": ANY, "keep": ANY}, "scale": ANY}],
        plain("deepseek_v2", "DeepseekV2Config", "DeepseekV2TopkRouter", topk_method="group_limited_greedy"),
        "losers score 0 there and -inf here: the same as long as softmax does not round to 0",
    ),
    ("DeepSeek-V3", "DeepseekV3TopkRouter", [V3], plain("deepseek_v3", "DeepseekV3Config", "DeepseekV3TopkRouter"), ""),
    ("GLM-4 MoE", "Glm4MoeTopkRouter", [V3], plain("glm4_moe", "Glm4MoeConfig", "Glm4MoeTopkRouter"), ""),
    ("GLM-4 MoE Lite", "Glm4MoeLiteTopkRouter", [V3], plain("glm4_moe_lite", "Glm4MoeLiteConfig", "Glm4MoeLiteTopkRouter"), ""),
    ("dots1", "Dots1TopkRouter", [V3], plain("dots1", "Dots1Config", "Dots1TopkRouter", norm_topk_prob=True), "norm_topk_prob true, as published"),
    ("EXAONE-MoE", "ExaoneMoeTopkRouter", [V3], plain("exaone_moe", "ExaoneMoeConfig", "ExaoneMoeTopkRouter"), ""),
    ("Nemotron-H", "NemotronHTopkRouter", [V3], plain("nemotron_h", "NemotronHConfig", "NemotronHTopkRouter"), ""),
    (
        "Mistral 4",
        "Mistral4TopkRouter",
        [{**NORMALISED, "groups": GROUPS}],
        plain("mistral4", "Mistral4Config", "Mistral4TopkRouter"),
        "losers score 0 there and -inf here: the same as long as softmax does not round to 0",
    ),
    ("MiniMax-M2", "MiniMaxM2TopKRouter", [SIGMOID_BIAS], plain("minimax_m2", "MiniMaxM2Config", "MiniMaxM2TopKRouter", forward=with_bias), ""),
    ("AFMoE", "AfmoeTokenChoiceRouter", [SIGMOID_BIAS], plain("afmoe", "AfmoeConfig", "AfmoeTokenChoiceRouter", forward=afmoe, route_scale=1.0), ""),
    (
        "LFM2-MoE",
        "Lfm2MoeTopKRouter",
        [{**SIGMOID_BIAS, "normalise": {"epsilon": 1e-6}}],
        plain("lfm2_moe", "Lfm2MoeConfig", "Lfm2MoeTopKRouter", forward=with_bias),
        "",
    ),
    (
        "DeepSeek-V4",
        "DeepseekV4TopKRouter",
        [{**K, "score": "sqrt-softplus", "bias": "selection-only", "normalise": True, "scale": ANY}],
        plain("deepseek_v4", "DeepseekV4Config", "DeepseekV4TopKRouter"),
        "its top-k layers; its hash layers weigh by a gate, which no spec does",
    ),
    (
        "Ernie 4.5 MoE",
        "Ernie4_5_MoeTopKRouter",
        [{**K, "bias": "selection-only", "normalise": True}],
        plain("ernie4_5_moe", "Ernie4_5_MoeConfig", "Ernie4_5_MoeTopKRouter"),
        "divides by max(sum, moe_norm_min = 1e-12)",
    ),
    (
        "LongCat-Flash",
        "LongcatFlashTopkRouter",
        [{**K, "bias": "selection-only", "scale": ANY}],
        plain("longcat_flash", "LongcatFlashConfig", "LongcatFlashTopkRouter", (0, 1), zero_expert_num=0),
        "without its zero-computation experts",
    ),
    (
        "Cohere 2 MoE",
        "Cohere2MoeTopKRouter",
        [{**K, "score": "sigmoid", "order": "select-then-score", "normalise": True}],
        plain("cohere2_moe", "Cohere2MoeConfig", "Cohere2MoeTopKRouter", expert_selection_fn="sigmoid", norm_topk_prob=True),
        "expert_selection_fn sigmoid, norm_topk_prob true",
    ),
    ("Llama 4", "Llama4Router", [LLAMA4], llama4, ""),
    ("Switch Transformer", "SwitchTransformersTop1Router", [SWITCH], switch, "expert_capacity places in each sequence, in training and outside"),
    (
        "NLLB-MoE in training",
        "NllbMoeTop2Router",
        [NLLB_TRAINING],
        nllb(True),
        "normalize_router_prob_before_dropping and batch_prioritized_routing true",
    ),
    (
        "NLLB-MoE in training, its defaults",
        "NllbMoeTop2Router",
        [NLLB_TRAINING],
        nllb(False),
        "normalises after dropping: what is left of a token weighs 1",
    ),
    (
        "NLLB-MoE at evaluation",
        "NllbMoeTop2Router",
        [NLLB_EVALUATION],
        nllb(True),
        "ceil(moe_eval_capacity_token_fraction * T) places; normalised before dropping",
    ),
    (
        "Phi-MoE",
        "PhimoeTopKRouter",
        [K],
        plain("phimoe", "PhimoeConfig", "PhimoeTopKRouter"),
        "sparsemixer softmaxes each pick over near-ties of its own; no spec does",
    ),
]


def expected(vector):
    """The vector's route as [T, E] weights, -1 where the token has no place with an expert."""
    E = vector["spec"]["experts"]
    out = torch.full((len(vector["input"]["logits"]), E), -1.0, dtype=torch.float64)
    for t, (ids, weights) in enumerate(zip(vector["expected"]["experts"], vector["expected"]["weights"])):
        for e, w in zip(ids, weights):
            if e >= 0:
                out[t, e] = w
    return out


def suits(vector):
    """A vector of choices that a library can run: nothing ruled out, no labels, no noise, no tie."""
    tied = "tie" in vector["name"].split()
    return not tied and {"experts", "weights"} <= vector["expected"].keys() and not vector["input"].keys() & {"without", "labels", "noise"}


def hold(router, vectors):
    name, cls, patterns, run, note = router
    names, tokens, worst, same, shown = [], 0, 0.0, True, None
    for vector in vectors:
        spec = vector["spec"]
        if not any(matches(p, spec) for p in patterns) or (name.startswith("Phi") and spec["select"]["k"] != 2):
            continue
        want, got = expected(vector), run(spec, vector["input"]).double().detach()
        both = (want >= 0) & (got >= 0)
        difference = (want - got)[both].abs().max().item() if both.any() else 0.0
        same &= bool(((want >= 0) == (got >= 0)).all()) and difference <= EQUAL * max(1, spec.get("scale", 1))
        if not ((want >= 0) == (got >= 0)).all():
            note = f"{note}; " * bool(note) + f"other experts in {((want >= 0) != (got >= 0)).any(1).sum()} tokens of \"{vector['name']}\""
        worst = max(worst, difference)
        if matches(patterns[0], spec) and (shown is None or len(want) > 10):
            shown = spec  # the spec of the longest vector stands for the pattern
        names.append(vector["name"])
        tokens += len(want)
    assert names, f"{name}: no vector has its spec"
    return {
        "router": name,
        "class": f"transformers {transformers.__version__}: {cls}",
        "spec": shown,
        "vectors": names,
        "tokens": tokens,
        "largestDifference": float(f"{worst:.2g}"),
        "equal": same,
        "note": note,
    }


def short(pattern):
    """A pattern as the table shows it: N is the config's number."""
    k = pattern["select"]["k"]
    fields = {k: v for k, v in pattern.items() if k not in ("experts", "select")}
    return "`" + json.dumps({"k": k, **fields}).replace(f'"{ANY}"', "N") + "`"


def table(rows):
    """Markdown; routers of one spec that differ in nothing else share a line."""
    lines = {}
    for router, row in zip(ROUTERS, rows):
        result = ("equal" if row["equal"] else "differs") + (f": {row['note']}" if row["note"] else "")
        lines.setdefault((" or ".join(map(short, router[2])), len(row["vectors"]), row["tokens"], result), []).append(
            (f"{row['router']} (`{router[1]}`)", row["largestDifference"])
        )
    yield "| router (class) | spec, beside `experts` | vectors, tokens | result | largest difference |\n|---|---|---|---|---|"
    for (spec, vectors, tokens, result), same in lines.items():
        yield f"| {', '.join(name for name, _ in same)} | {spec} | {vectors}, {tokens} | {result} | {max(worst for _, worst in same):.1e} |"


if __name__ == "__main__":
    vectors = [v for file in sorted(VECTORS.glob("*.json")) for v in json.loads(file.read_text())["vectors"] if suits(v)]
    rows = [hold(router, vectors) for router in ROUTERS]
    (HERE / "router_blocks.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print("\n".join(table(rows)))
