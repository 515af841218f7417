"""Vectors of random logits: expected values are the oracle's, held against the second computations of routing_checks.py.

Topics here are added to the file of the same name, or make one of their own.
"""

import numpy as np

from vectors_by_hand import token

rng = np.random.default_rng(31415)
ALL = ("experts", "weights", "counts", "kept", "capacity", "dropped", "losses", "metrics")
ROUTE = ("experts", "weights", "counts")


def normal(tokens, columns, scale=1.5, lean=0.0):
    """Three decimals, so that JSON and float32 say the same. `lean` makes most tokens want expert 0, so that places run out."""
    x = rng.normal(size=(tokens, columns)) * scale
    x[:, 0] += lean
    return np.round(x, 3).tolist()


def ruled_out(tokens, experts, most):
    return [sorted(map(int, rng.choice(experts, rng.integers(0, most + 1), replace=False))) for _ in range(tokens)]


def bias(experts):
    return np.round(rng.normal(size=experts) * 0.2, 3).tolist()


def libraries(add):
    """One for each router of transformers that a spec describes; router_blocks.py holds the classes against them."""

    def one(name, spec, **given):
        add(f"{name}: 12 tokens", spec, {"logits": normal(12, spec["experts"]), **given}, ROUTE)

    one("Mixtral, softmax over the chosen", token(8, 2, order="select-then-score"))
    one("Mixtral, renormalised", token(8, 2, normalise=True))
    one("OLMoE, Qwen2-MoE, Jamba: not renormalised", token(8, 2))
    one("Qwen3-MoE: renormalised", token(8, 4, normalise=True))
    one("DeepSeek-V2, greedy", token(8, 3, scale=16))
    one("DeepSeek-V2, group limited", token(8, 3, groups={"count": 4, "keep": 2}, scale=16))
    v3 = token(8, 3, score="sigmoid", groups={"count": 4, "keep": 2, "score": "top2-sum"}, bias="selection-only", normalise=True, scale=2.5)
    one("DeepSeek-V3", v3, bias=bias(8))
    one("Mistral 4: softmax, groups by their two best", token(8, 3, groups={"count": 4, "keep": 2, "score": "top2-sum"}, normalise=True))
    one("gpt-oss: a biased gate", token(8, 4, order="select-then-score", gate={"kind": "linear", "bias": True}))
    llama = dict(score="sigmoid", order="select-then-score", weightAt="input")
    one("Llama 4", token(8, 1, **llama))
    one("Llama 4 with two experts", token(8, 2, **llama))
    one("Cohere 2 MoE: sigmoid, renormalised", token(8, 2, score="sigmoid", order="select-then-score", normalise=True))
    one("Ernie 4.5: softmax, bias, renormalised", token(8, 3, bias="selection-only", normalise=True), bias=(np.array(bias(8)) / 4).round(4).tolist())
    one("LongCat: softmax, bias, scale", token(8, 3, bias="selection-only", scale=6), bias=(np.array(bias(8)) / 4).round(4).tolist())
    one("MiniMax-M2, AFMoE: sigmoid, bias, renormalised", token(8, 3, score="sigmoid", bias="selection-only", normalise=True), bias=bias(8))
    one("LFM2-MoE: epsilon 1e-6", token(8, 3, score="sigmoid", bias="selection-only", normalise={"epsilon": 1e-6}), bias=bias(8))
    one("DeepSeek-V4: square root of softplus", token(8, 3, score="sqrt-softplus", bias="selection-only", normalise=True, scale=1.5), bias=bias(8))
    switch = token(4, 1, capacity={"places": 3, "over": "sequence", "evaluation": 3})
    keys = (*ROUTE, "kept", "capacity", "dropped")
    add("Switch: two sequences of 8, 3 places", switch, {"logits": normal(16, 4, 1.0, 1.0), "sequence": 8, "training": True}, keys)
    add("Switch at evaluation: the same places", switch, {"logits": normal(16, 4, 1.0, 1.0), "sequence": 8, "training": False}, keys)
    nllb = token(4, 2, normalise=True, capacity={"places": 5, "priority": "score"})
    add("NLLB-MoE in training, batch prioritised: 5 places", nllb, {"logits": normal(16, 4, 1.0, 1.0), "training": True}, keys)
    add(
        "NLLB-MoE at evaluation: a quarter of the tokens",
        token(4, 2, normalise=True, capacity={"places": 5, "evaluation": 4}),
        {"logits": normal(16, 4, 1.0, 1.0), "training": False},
        keys,
    )


def top_p(add):
    add(
        "random, maxK 3, normalised",
        {"experts": 6, "select": {"by": "token", "topP": 0.7, "maxK": 3}, "normalise": True},
        {"logits": normal(8, 6)},
        ALL,
    )


def labels(add):
    spec = {"experts": 5, "select": {"by": "label", "table": {"text": [0, 1], "image": [2, 3, 4]}, "k": 2}, "normalise": True}
    add("random, normalised", spec, {"logits": normal(6, 5), "labels": ["text", "image", "image", "text", "image", "text"]}, ALL)


def expert_choice(add):
    add(
        "random",
        {"experts": 4, "select": {"by": "expert", "capacityFactor": 1.5}},
        {"logits": normal(10, 4)},
        ("tokens", "weights", "capacity", "losses", "metrics"),
    )


def soft(add):
    add(
        "random, two slots",
        {"experts": 3, "select": {"by": "soft", "slots": 2}},
        {"logits": normal(5, 6)},
        ("dispatch", "combine", "losses", "metrics"),
    )


def noise(add):
    std = np.round(np.abs(rng.normal(size=(7, 6))) + 0.2, 3).tolist()
    add(
        "random, learned deviation",
        token(6, 2, order="select-then-score", noise="gaussian"),
        {"logits": normal(7, 6), "noise": normal(7, 6, 1), "noiseStd": std, "training": True},
        ALL,
    )
    add(
        "V-MoE: sigma 1/E, batch prioritised",
        token(6, 2, noise={"kind": "gaussian", "sigma": "1/E"}, capacity={"factor": 1.05, "priority": "score"}),
        {
            "logits": normal(10, 6, 1, 0.8),
            "noise": normal(10, 6, 1),
            "training": True,
            "losses": {"importance": {"weight": 1, "of": "probabilities"}},
        },
        ALL,
    )


def switch(add):
    add(
        "random, top-1 with factor 1.25 and multiple 3",
        token(4, 1, capacity={"factor": 1.25, "multiple": 3}),
        {"logits": normal(13, 4, 1, 1.5), "training": True},
        ALL,
    )


def over(add):
    add(
        "random, groups of five of twelve tokens, next best",
        token(4, 2, normalise=True, capacity={"factor": 0.7, "over": 5, "overflow": "next-best"}),
        {"logits": normal(12, 4, 1, 1.5), "training": True},
        ALL,
    )


def priority(add):
    add("random, by score", token(4, 2, capacity={"factor": 0.8, "priority": "score"}), {"logits": normal(12, 4, 1, 1.5), "training": True}, ALL)
    order = rng.permutation(12).tolist()
    add(
        "random, given, in groups of six",
        token(4, 2, normalise=True, capacity={"factor": 0.8, "priority": "given", "over": 6}),
        {"logits": normal(12, 4, 1, 1.5), "priority": order, "training": True},
        ALL,
    )


def next_best(add):
    spec = token(6, 2, order="select-then-score", capacity={"factor": 0.75, "overflow": "next-best", "priority": "score", "over": "sequence"})
    add(
        "random, two sequences, by score, some experts ruled out",
        spec,
        {"logits": normal(12, 6, 1, 1.5), "sequence": 6, "without": ruled_out(12, 6, 3), "training": True},
        ALL,
    )


def groups(add):
    spec = token(12, 4, groups={"count": 4, "keep": 2, "score": "top2-sum"}, normalise=True)
    add(
        "random, up to eight of twelve experts ruled out",
        spec,
        {"logits": normal(16, 12, 1), "without": ruled_out(16, 12, 8)},
        ("experts", "weights", "counts", "losses"),
    )
    spec = token(12, 5, score="sigmoid", groups={"count": 6, "keep": 3}, bias="selection-only")
    add("random, sigmoid with a bias, six groups", spec, {"logits": normal(12, 12, 1), "bias": bias(12), "without": ruled_out(12, 12, 9)}, ROUTE)


def balances(add):
    kind = {"balance": {"weight": 1, "over": "sequence", "of": "scores"}}
    spec = token(8, 2, score="sqrt-softplus", normalise=True)
    add("random, over sequences of five, of scores", spec, {"logits": normal(15, 8), "sequence": 5, "losses": kind}, ("experts", "losses"))
    labels = ["de", "en", "en", "fr", "de", "en", "fr", "en", "en", "de"]
    add(
        "random, over labels, of sigmoid scores",
        token(6, 2, score="sigmoid"),
        {"logits": normal(10, 6), "labels": labels, "losses": {"balance": {"weight": 1, "over": "label", "of": "scores"}}},
        ("experts", "losses"),
    )


def entropies(add):
    labels = ["text", "image", "image", "text", "text", "image", "image", "image"]
    add(
        "LIMoE: random, over labels, with a threshold",
        token(6, 1, capacity={"factor": 1.5, "priority": "score"}),
        {"logits": normal(8, 6), "labels": labels, "training": True, "losses": {"marginalEntropy": {"weight": 1, "over": "label", "threshold": 1.6}}},
        ALL,
    )


TOPICS = {
    "libraries": libraries,
    "top-p": top_p,
    "labels": labels,
    "expert-choice": expert_choice,
    "soft": soft,
    "noise-and-load": noise,
    "switch-capacity": switch,
    "over-groups": over,
    "priority": priority,
    "next-best": next_best,
    "groups-and-masks": groups,
    "balance-kinds": balances,
    "marginal-entropy": entropies,
}
