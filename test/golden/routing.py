"""Golden cases of routing, in numpy float64, written from docs/routing.md and the papers it names, token by token.

    python test/golden/routing.py        writes test/golden/routing.json

Each case: a routing spec, the simulator's input, and what must come out.
"""

import json
import math
from pathlib import Path

import numpy as np

rng = np.random.default_rng(20260)


def softmax(x):
    """Of one row; -inf entries get 0."""
    e = np.exp(x - np.max(x))
    return e / e.sum()


def score_row(kind, row):
    if kind == "softmax":
        return softmax(row)
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-row))
    return np.sqrt(np.log1p(np.exp(row)))


def falling(values):
    """Indices from the largest value down, ties to the lower index."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))


def keep_groups(row, groups):
    size = len(row) // groups["count"]
    worth = []
    for g in range(groups["count"]):
        best = sorted(row[g * size : (g + 1) * size], reverse=True)
        worth.append(best[0] if groups.get("score", "max") == "max" else best[0] + best[1])
    winners = set(falling(worth)[: groups["keep"]])
    return [v if i // size in winners else -math.inf for i, v in enumerate(row)]


def choose(spec, row):
    """Experts of one token in rank order, from its selection scores."""
    select = spec["select"]
    order = [e for e in falling(row) if row[e] > -math.inf]
    if "topP" in select:
        taken, reached = [], 0.0
        for e in order[: select.get("maxK", len(row))]:
            taken.append(e)
            reached += row[e]
            if reached >= select["topP"]:
                break
        return taken
    return order[: select.get("k") or len(row)]


def places_of(spec, tokens):
    select = spec["select"]
    if "topP" in select:
        return select.get("maxK", spec["experts"])
    if select["by"] == "label":
        longest = max(len(row) for row in select["table"].values())
        return min(select.get("k") or longest, longest)
    return select["k"]


def fill(spec, chosen, selection, capacity):
    """Rank by rank: what expert each place ends with, -1 where dropped."""
    cap = spec["capacity"]
    tokens = list(range(len(chosen)))
    if cap.get("priority") == "score":
        tokens.sort(key=lambda t: (-selection[t][chosen[t][0]], t))
    room = [capacity] * spec["experts"]
    ends = [[] for _ in chosen]
    for rank in range(max(len(c) for c in chosen)):
        for t in tokens:
            if rank >= len(chosen[t]):
                continue
            want = chosen[t][rank]
            got = -1
            if cap.get("overflow") == "next-best":
                if room[want] > 0 and want not in ends[t]:
                    got = want
                else:
                    for e in falling(selection[t]):
                        if selection[t][e] > -math.inf and room[e] > 0 and e not in ends[t]:
                            got = e
                            break
            elif room[want] > 0:
                got = want
            if got >= 0:
                room[got] -= 1
            ends[t].append(got)
    return ends


def weigh(spec, logits, scores, experts):
    """Weights of one token's experts."""
    present = [e for e in experts if e >= 0]
    if spec.get("order") == "select-then-score":
        values = dict(zip(present, score_row(spec.get("score", "softmax"), logits[present]))) if present else {}
    else:
        values = {e: scores[e] for e in present}
    if spec.get("normalise"):
        total = sum(values.values()) + 1e-20
        values = {e: v / total for e, v in values.items()}
    return [values[e] * spec.get("scale", 1) if e >= 0 else 0.0 for e in experts]


def cv2(x):
    x = np.asarray(x, float)
    return float(x.var() / (x.mean() ** 2 + 1e-10))


def phi(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def entropy(p):
    return float(-sum(v * math.log(v) for v in p if v > 0))


def common(p, lse):
    losses = {"z": float(np.mean(np.square(lse))), "tokenEntropy": float(np.mean([entropy(r) for r in p])), "marginalEntropy": entropy(p.mean(0))}
    return losses


def token_choice(spec, given):
    clean = np.array(given["logits"], float)
    T, E = clean.shape
    noise = np.array(given.get("noise", np.zeros_like(clean)), float)
    std = np.array(given.get("noiseStd", np.ones_like(clean)), float)
    logits = clean + noise * std
    kind = spec.get("score", "softmax")
    scores = np.array([score_row(kind, r) for r in logits])
    selection = (logits if spec.get("order") == "select-then-score" else scores) + np.array(given.get("bias", [0] * E))
    selection = [list(r) for r in selection]
    if spec["select"]["by"] == "label":
        for t, label in enumerate(given["labels"]):
            allowed = spec["select"]["table"][label]
            selection[t] = [v if e in allowed else -math.inf for e, v in enumerate(selection[t])]
    if "groups" in spec:
        selection = [keep_groups(r, spec["groups"]) for r in selection]
    chosen = [choose(spec, r) for r in selection]
    capacity, ends = None, chosen
    if "capacity" in spec:
        cap = spec["capacity"]
        capacity = max(cap.get("min", 0), math.ceil(cap["factor"] * T * places_of(spec, T) / E))
        ends = fill(spec, chosen, selection, capacity)
    drops = spec.get("capacity", {}).get("overflow", "drop") == "drop"
    weighed = chosen if drops else ends
    intended = [weigh(spec, logits[t], scores[t], weighed[t]) for t in range(T)]
    weights = [[w if e >= 0 else 0.0 for w, e in zip(intended[t], ends[t])] for t in range(T)]

    counts = [sum(c.count(e) for c in chosen) for e in range(E)]
    kept = [sum(c.count(e) for c in ends) for e in range(E)]
    dropped = sum(c.count(-1) for c in ends)
    p = np.array([softmax(r) for r in logits])
    lse = [math.log(np.exp(r - r.max()).sum()) + r.max() for r in logits]
    importance = np.zeros(E)
    for t in range(T):
        for e, w in zip(weighed[t], intended[t]):
            if e >= 0:
                importance[e] += w
    losses = common(p, lse)
    f = np.array(counts) / sum(counts)
    losses["balance"] = float(E * (f * p.mean(0)).sum())
    losses["importance"] = cv2(importance)
    if spec.get("noise") == "gaussian":
        k = spec["select"]["k"]
        load = np.zeros(E)
        for t in range(T):
            for e in range(E):
                others = sorted(np.delete(logits[t], e), reverse=True)
                load[e] += phi((clean[t, e] - others[k - 1]) / std[t, e])
        losses["load"] = cv2(load)
    metrics = {
        "cv": math.sqrt(np.var(counts)) / np.mean(counts),
        "maxOverMean": max(counts) / np.mean(counts),
        "droppedShare": dropped / sum(counts),
        "entropy": losses["tokenEntropy"],
        "marginalEntropy": losses["marginalEntropy"],
        "unserved": sum(all(e < 0 for e in c) for c in ends),
    }
    return {"experts": ends, "weights": weights, "counts": counts, "kept": kept, "capacity": capacity, "dropped": dropped, "losses": losses, "metrics": metrics}


def expert_choice(spec, given):
    logits = np.array(given["logits"], float)
    T, E = logits.shape
    scores = np.array([score_row(spec.get("score", "softmax"), r) for r in logits])
    C = min(T, math.ceil(spec["select"]["capacityFactor"] * T / E))
    tokens = [falling(scores[:, e])[:C] for e in range(E)]
    total = [sum(scores[t, e] for e in range(E) if t in tokens[e]) for t in range(T)]
    share = lambda t, e: scores[t, e] / total[t] if spec.get("normalise") else scores[t, e]
    weights = [[float(share(t, e)) for t in tokens[e]] for e in range(E)]
    p = np.array([softmax(r) for r in logits])
    losses = common(p, [math.log(np.exp(r).sum()) for r in logits])
    losses["importance"] = cv2([sum(w) for w in weights])
    unserved = sum(all(t not in row for row in tokens) for t in range(T))
    metrics = {"cv": 0, "maxOverMean": 1, "droppedShare": unserved / T, "entropy": losses["tokenEntropy"], "marginalEntropy": losses["marginalEntropy"], "unserved": unserved}
    return {"tokens": tokens, "weights": weights, "capacity": C, "losses": losses, "metrics": metrics}


def soft(spec, given):
    logits = np.array(given["logits"], float)
    T, N = logits.shape
    E = spec["experts"]
    dispatch = np.array([softmax(c) for c in logits.T]).T
    combine = np.array([softmax(r) for r in logits])
    p = combine.reshape(T, E, N // E).sum(2)
    losses = common(p, [math.log(np.exp(r).sum()) for r in logits])
    losses["importance"] = cv2(p.sum(0))
    metrics = {"cv": 0, "maxOverMean": 1, "droppedShare": 0, "entropy": losses["tokenEntropy"], "marginalEntropy": losses["marginalEntropy"], "unserved": 0}
    return {"dispatch": dispatch.tolist(), "combine": combine.tolist(), "losses": losses, "metrics": metrics}


def normal(tokens, columns, scale=1.5):
    """Three decimals, so that JSON and f32 say the same."""
    return np.round(rng.normal(size=(tokens, columns)) * scale, 3).tolist()


def skewed(tokens, experts):
    """Most tokens want expert 0, so that capacities bite."""
    x = rng.normal(size=(tokens, experts))
    x[:, 0] += 1.5
    return np.round(x, 3).tolist()


token = lambda k: {"by": "token", "k": k}
cases = [
    ("mixtral: softmax over the two best logits", {"experts": 8, "select": token(2), "order": "select-then-score"}, {"logits": normal(6, 8)}),
    ("mixtral, its renormalised form", {"experts": 8, "select": token(2), "normalise": True}, {"logits": normal(6, 8)}),
    ("olmoe: softmax first, not renormalised", {"experts": 8, "select": token(3)}, {"logits": normal(6, 8)}),
    ("shazeer: noisy top-k with the load loss", {"experts": 6, "select": token(2), "order": "select-then-score", "noise": "gaussian"},
     {"logits": normal(7, 6), "noise": normal(7, 6, 1.0), "noiseStd": np.round(np.abs(rng.normal(size=(7, 6))) + 0.2, 3).tolist()}),
    ("switch: capacity by position", {"experts": 4, "select": token(1), "capacity": {"factor": 1.0}}, {"logits": skewed(10, 4)}),
    ("v-moe: capacity by score (batch-prioritised)", {"experts": 4, "select": token(2), "capacity": {"factor": 0.8, "priority": "score"}}, {"logits": skewed(10, 4)}),
    ("capacity is dropped after weights are normalised", {"experts": 4, "select": token(2), "normalise": True, "capacity": {"factor": 0.7, "min": 2}}, {"logits": skewed(8, 4)}),
    ("next best, select then score", {"experts": 4, "select": token(2), "order": "select-then-score", "capacity": {"factor": 0.8, "overflow": "next-best"}}, {"logits": skewed(10, 4)}),
    ("next best, normalised scores, by score", {"experts": 4, "select": token(2), "normalise": True, "capacity": {"factor": 1.0, "overflow": "next-best", "priority": "score"}}, {"logits": skewed(10, 4)}),
    ("deepseek-v3: sigmoid, groups by their two best, bias, scale",
     {"experts": 8, "select": token(3), "score": "sigmoid", "groups": {"count": 4, "keep": 2, "score": "top2-sum"}, "bias": "selection-only", "normalise": True, "scale": 2.5},
     {"logits": normal(6, 8), "bias": np.round(rng.normal(size=8) * 0.3, 3).tolist()}),
    ("deepseek-v2: groups by their best", {"experts": 8, "select": token(2), "groups": {"count": 4, "keep": 2}, "scale": 16}, {"logits": normal(6, 8)}),
    ("llama 4: sigmoid of the chosen logit, on the input", {"experts": 4, "select": token(1), "order": "select-then-score", "score": "sigmoid", "weightAt": "input"}, {"logits": normal(5, 4)}),
    ("sqrt-softplus, normalised", {"experts": 6, "select": token(2), "score": "sqrt-softplus", "normalise": True}, {"logits": normal(5, 6, 4.0)}),
    ("sqrt-softplus after selection", {"experts": 6, "select": token(2), "score": "sqrt-softplus", "order": "select-then-score"}, {"logits": normal(5, 6, 4.0)}),
    ("top-p", {"experts": 6, "select": {"by": "token", "topP": 0.7, "maxK": 3}, "normalise": True}, {"logits": normal(8, 6)}),
    ("top-p under a capacity", {"experts": 4, "select": {"by": "token", "topP": 0.9}, "capacity": {"factor": 0.5}}, {"logits": skewed(8, 4)}),
    ("labels limit the choice", {"experts": 5, "select": {"by": "label", "table": {"text": [0, 1], "image": [2, 3, 4]}, "k": 2}, "normalise": True},
     {"logits": normal(6, 5), "labels": ["text", "image", "image", "text", "image", "text"]}),
    ("labels alone, select then score", {"experts": 4, "select": {"by": "label", "table": {"de": [3], "en": [0, 2]}}, "order": "select-then-score"},
     {"logits": normal(4, 4), "labels": ["en", "de", "en", "de"]}),
    ("expert choice", {"experts": 3, "select": {"by": "expert", "capacityFactor": 1.5}}, {"logits": normal(8, 3)}),
    ("expert choice, normalised over a token's experts", {"experts": 4, "select": {"by": "expert", "capacityFactor": 2}, "normalise": True}, {"logits": normal(6, 4)}),
    ("expert choice takes at most every token", {"experts": 2, "select": {"by": "expert", "capacityFactor": 5}}, {"logits": normal(3, 2)}),
    ("soft", {"experts": 3, "select": {"by": "soft", "slots": 2}}, {"logits": normal(4, 6)}),
]

if __name__ == "__main__":
    run = {"token": token_choice, "label": token_choice, "expert": expert_choice, "soft": soft}
    out = [{"name": n, "spec": s, "input": i, "expected": run[s["select"]["by"]](s, i)} for n, s, i in cases]
    tidy = json.loads(json.dumps(out), parse_float=lambda text: float(f"{float(text):.9g}"))
    path = Path(__file__).with_name("routing.json")
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in tidy) + "\n]\n")
    print(f"{path.name}: {len(tidy)} cases, {path.stat().st_size} bytes")
