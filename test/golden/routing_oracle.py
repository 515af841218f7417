"""The routing semantics of docs/routing.md in numpy float64, token by token, for the vectors in routing/vectors.

Written from the documents and the papers they name, never from Conclave's own code. `route(spec, given)` takes what
`conclave route` takes and returns what it returns.

T tokens, E experts, K picks a token, C places an expert has.
"""

import math

import numpy as np

SLACK = 2.0**-21  # top-p in float32: a sum of scores this close to topP has reached it


def softmax(row):
    e = np.exp(row - np.max(row))
    return e / e.sum()


def score_row(kind, row):
    row = np.asarray(row, float)
    if kind == "softmax":
        return softmax(row)
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-row))
    return np.sqrt(np.logaddexp(0, row))


def entropy(p):
    return float(-sum(v * math.log(v) for v in p if v > 0))


def cv2(x):
    x = np.asarray(x, float)
    return float(x.var() / (x.mean() ** 2 + 1e-10))


def phi(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def falling(values):
    """Indices from the largest value down; ties go to the lower index."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))


def complete(spec):
    """The spec with its defaults."""
    full = {
        "score": "softmax",
        "order": "score-then-select",
        "groups": None,
        "bias": None,
        "noise": None,
        "normalise": None,
        "scale": 1,
        "capacity": None,
        **spec,
    }
    if full["normalise"] is True:
        full["normalise"] = {"epsilon": 1e-20}
    if isinstance(full["noise"], str):
        full["noise"] = {"kind": full["noise"]}
    if full["groups"]:
        full["groups"] = {"score": "max", **full["groups"]}
    if full["capacity"]:
        full["capacity"] = {
            "min": 0,
            "multiple": 1,
            "overflow": "drop",
            "priority": "position",
            "over": "batch",
            "evaluation": None,
            **full["capacity"],
        }
    return full


def picks_of(spec):
    """K."""
    select = spec["select"]
    if select["by"] == "label":
        longest = max(len(row) for row in select["table"].values())
        return min(select.get("k") or longest, longest)
    return select.get("maxK", spec["experts"]) if "topP" in select else select["k"]


def causality(spec):
    spec = complete(spec)
    if spec["select"]["by"] in ("expert", "soft"):
        return "future"
    capacity = spec["capacity"]
    if not capacity or capacity["evaluation"] is None:
        return "causal"
    return "batch" if picks_of(spec) == 1 and capacity["priority"] == "position" and "places" in capacity else "future"


# Selection ------------------------------------------------------------------------------------------------------------


def keep_groups(row, groups, picks):
    """-inf for the experts outside the kept groups. A group that would cost the token an expert is skipped."""
    size = len(row) // groups["count"]
    allowed = [[v for v in row[g * size : (g + 1) * size] if v > -math.inf] for g in range(groups["count"])]
    best = [sorted(values, reverse=True) for values in allowed]
    worth = [sum(b[: 2 if groups["score"] == "top2-sum" else 1]) if b else -math.inf for b in best]
    target = min(picks, sum(sorted(map(len, allowed), reverse=True)[: groups["keep"]]))
    kept, waiting = [], falling(worth)
    while waiting and len(kept) < groups["keep"]:
        g = waiting.pop(0)
        still = groups["keep"] - len(kept) - 1
        others = sorted((len(allowed[o]) for o in waiting), reverse=True)[:still]
        if sum(len(allowed[k]) for k in kept) + len(allowed[g]) + sum(others) >= target:
            kept.append(g)
    return [v if i // size in kept else -math.inf for i, v in enumerate(row)]


def choose(select, picks, row):
    """Experts of one token in rank order, from its selection scores."""
    order = [e for e in falling(row) if row[e] > -math.inf][:picks]
    if "topP" not in select:
        return order
    taken, reached = [], 0.0
    for e in order:
        taken.append(e)
        reached += row[e]
        if reached + SLACK >= select["topP"]:
            break
    return taken


def selection_scores(spec, given, logits, scores):
    picks, E = picks_of(spec), spec["experts"]
    rows = (logits if spec["order"] == "select-then-score" else scores) + np.array(given.get("bias", [0] * E), float)
    rows = [list(map(float, r)) for r in rows]
    for t, row in enumerate(rows):
        ruled_out = set(given["without"][t]) if "without" in given else set()
        if spec["select"]["by"] == "label":
            ruled_out |= set(range(E)) - set(spec["select"]["table"][given["labels"][t]])
        rows[t] = [-math.inf if e in ruled_out else v for e, v in enumerate(row)]
        if spec["groups"]:
            rows[t] = keep_groups(rows[t], spec["groups"], picks)
    return rows


# Capacity -------------------------------------------------------------------------------------------------------------


def token_groups(over, tokens, sequence):
    """Neighbouring tokens that share places, as lists of indices."""
    size = {"batch": tokens, "sequence": sequence or tokens}.get(over, over)
    return [list(range(a, min(a + size, tokens))) for a in range(0, tokens, size)]


def places(capacity, training, tokens, picks, experts):
    """C for a group of that many tokens, or None where no capacity acts."""
    number = capacity.get("places", capacity.get("factor")) if training else capacity["evaluation"]
    if number is None or "places" in capacity:
        return number
    least = max(capacity["min"], math.ceil(number * tokens * picks / experts))
    return math.ceil(least / capacity["multiple"]) * capacity["multiple"]


def fill(capacity, C, group, chosen, selection, priority, ends):
    """Gives out one group's places rank by rank; writes what each place ends with (-1: dropped) to `ends`."""
    first = {t: selection[t][chosen[t][0]] for t in group if chosen[t]}
    urgent = {"position": lambda t: 0, "score": lambda t: first.get(t, -math.inf), "given": lambda t: priority[t]}[capacity["priority"]]
    order = sorted(group, key=lambda t: (-urgent(t), t))
    room = [C] * len(selection[0])
    for rank in range(max(len(chosen[t]) for t in group)):
        for t in order:
            if rank >= len(chosen[t]):
                continue
            want, got = chosen[t][rank], -1
            if room[want] > 0 and want not in ends[t]:
                got = want
            elif capacity["overflow"] == "next-best":
                free = [e for e in falling(selection[t]) if selection[t][e] > -math.inf and room[e] > 0 and e not in ends[t]]
                got = free[0] if free else -1
            if got >= 0:
                room[got] -= 1
            ends[t].append(got)


def weigh(spec, logits, scores, experts):
    """Weights of one token's experts, before any of them is dropped; 0 where the place holds none."""
    present = [e for e in experts if e >= 0]
    values = {e: scores[e] for e in present}
    if present and spec["order"] == "select-then-score":
        values = dict(zip(present, score_row(spec["score"], logits[present])))
    if spec["normalise"]:
        total = sum(values.values()) + spec["normalise"]["epsilon"]
        values = {e: v / total for e, v in values.items()}
    return [float(values[e] * spec["scale"]) if e >= 0 else 0.0 for e in experts]


# Losses ---------------------------------------------------------------------------------------------------------------


def parts(over, given, tokens):
    """(share, tokens) of the parts that a loss over `over` is computed on alone."""
    if over == "sequence":
        groups = token_groups("sequence", tokens, given.get("sequence"))
        return [(1 / len(groups), g) for g in groups]
    if over == "label":
        labels = given["labels"]
        groups = [[t for t in range(tokens) if labels[t] == label] for label in dict.fromkeys(labels)]
        return [(len(g) / tokens, g) for g in groups]
    return [(1.0, list(range(tokens)))]


def balance(kind, given, counts_TE, logits, score):
    T, E = counts_TE.shape
    p = np.array([softmax(r) for r in logits])
    if kind.get("of") == "scores":
        s = np.array([score_row(score, r) for r in logits])
        p = s / s.sum(1, keepdims=True)
    total = 0.0
    for share, group in parts(kind.get("over", "batch"), given, T):
        count = counts_TE[group].sum(0)
        total += share * E * float((count / count.sum() * p[group].mean(0)).sum())
    return total


def marginal_entropy(kind, given, p):
    total = 0.0
    for share, group in parts(kind.get("over", "batch"), given, len(p)):
        h = entropy(p[group].mean(0))
        total += share * (max(0.0, kind["threshold"] - h) if "threshold" in kind else h)
    return total


def shared_losses(given, p, logits):
    """Losses of the probabilities alone. p has an expert's slots summed."""
    lse = [math.log(np.exp(r - r.max()).sum()) + r.max() for r in logits]
    kind = given.get("losses", {}).get("marginalEntropy", {})
    return {
        "z": float(np.mean(np.square(lse))),
        "tokenEntropy": float(np.mean([entropy(r) for r in p])),
        "marginalEntropy": marginal_entropy(kind, given, p),
    }


def shared_metrics(p):
    return {"entropy": float(np.mean([entropy(r) for r in p])), "marginalEntropy": entropy(p.mean(0))}


def load_loss(k, clean, noisy, std):
    """CV^2 of the chance of each expert to be chosen if its own noise were drawn again (Shazeer et al. 2017, appendix A)."""
    T, E = clean.shape
    load = np.zeros(E)
    for t in range(T):
        for e in range(E):
            threshold = sorted(np.delete(noisy[t], e), reverse=True)[k - 1]
            load[e] += phi((clean[t, e] - threshold) / std[t, e])
    return cv2(load)


# The three ways to route ----------------------------------------------------------------------------------------------


def token_choice(spec, given):
    clean = np.array(given["logits"], float)
    T, E = clean.shape
    training = given.get("training", True)
    gaussian = spec["noise"] if spec["noise"] and spec["noise"]["kind"] == "gaussian" else None
    sigma = gaussian.get("sigma") if gaussian else None
    std = np.array(given.get("noiseStd", np.full((T, E), 1 / E if sigma == "1/E" else 1 if sigma is None else sigma)), float)
    logits = clean + np.array(given.get("noise", np.zeros((T, E))), float) * std
    scores = np.array([score_row(spec["score"], r) for r in logits])
    selection = selection_scores(spec, given, logits, scores)
    picks = picks_of(spec)
    chosen = [choose(spec["select"], picks, r) for r in selection]

    ends, capacity, first_C = chosen, spec["capacity"], None
    groups = token_groups(capacity["over"], T, given.get("sequence")) if capacity else []
    if capacity and places(capacity, training, len(groups[0]), picks, E) is not None:
        ends = [[] for _ in range(T)]
        first_C = places(capacity, training, len(groups[0]), picks, E)
        for group in groups:
            fill(capacity, places(capacity, training, len(group), picks, E), group, chosen, selection, given.get("priority"), ends)
    held = ends if capacity and capacity["overflow"] == "next-best" else chosen
    intended = [weigh(spec, logits[t], scores[t], held[t]) for t in range(T)]
    weights = [[w if e >= 0 else 0.0 for w, e in zip(intended[t], ends[t])] for t in range(T)]

    counts_TE = np.array([[float(e in c) for e in range(E)] for c in chosen])
    counts = counts_TE.sum(0)
    dropped = sum(row.count(-1) for row in ends)
    p = np.array([softmax(r) for r in logits])
    kinds = given.get("losses", {})
    losses = shared_losses(given, p, logits)
    losses["balance"] = balance(kinds.get("balance", {}), given, counts_TE, logits, spec["score"])
    if kinds.get("importance", {}).get("of") == "probabilities":
        wanted = sum(softmax(r) for r in clean)
    else:
        wanted = [sum(w for row, ids in zip(intended, held) for w, i in zip(row, ids) if i == e) for e in range(E)]
    losses["importance"] = cv2(wanted)
    if gaussian and "k" in spec["select"]:
        losses["load"] = load_loss(spec["select"]["k"], clean, logits, std) if training else cv2(counts)
    metrics = {
        "cv": math.sqrt(np.var(counts)) / np.mean(counts),
        "maxOverMean": max(counts) / np.mean(counts),
        "droppedShare": dropped / sum(counts),
        "unserved": sum(all(e < 0 for e in row) for row in ends),
        **shared_metrics(p),
    }
    kept = [sum(row.count(e) for row in ends) for e in range(E)]
    return {
        "experts": ends,
        "weights": weights,
        "counts": [int(c) for c in counts],
        "kept": kept,
        "capacity": first_C,
        "dropped": dropped,
        "losses": losses,
        "metrics": metrics,
    }


def expert_choice(spec, given):
    logits = np.array(given["logits"], float)
    T, E = logits.shape
    scores = np.array([score_row(spec["score"], r) for r in logits])
    C = min(T, math.ceil(spec["select"]["capacityFactor"] * T / E))
    tokens = [falling(scores[:, e])[:C] for e in range(E)]
    weights = [[float(scores[t, e]) for t in tokens[e]] for e in range(E)]
    if spec["normalise"]:
        total = [sum(scores[t, e] for e in range(E) if t in tokens[e]) + spec["normalise"]["epsilon"] for t in range(T)]
        weights = [[float(scores[t, e] / total[t]) for t in tokens[e]] for e in range(E)]
    weights = [[w * spec["scale"] for w in row] for row in weights]
    p = np.array([softmax(r) for r in logits])
    losses = {**shared_losses(given, p, logits), "importance": cv2([sum(w) for w in weights])}
    metrics = {"unserved": sum(all(t not in row for row in tokens) for t in range(T)), **shared_metrics(p)}
    return {"tokens": tokens, "weights": weights, "capacity": C, "losses": losses, "metrics": metrics}


def soft(spec, given):
    logits = np.array(given["logits"], float)
    T, N = logits.shape
    E = spec["experts"]
    combine = np.array([softmax(r) for r in logits])
    p = combine.reshape(T, E, N // E).sum(2)
    losses = {**shared_losses(given, p, logits), "importance": cv2(p.sum(0))}
    return {
        "dispatch": np.array([softmax(c) for c in logits.T]).T.tolist(),
        "combine": combine.tolist(),
        "losses": losses,
        "metrics": shared_metrics(p),
    }


def route(spec, given):
    full = complete(spec)
    return {"token": token_choice, "label": token_choice, "expert": expert_choice, "soft": soft}[full["select"]["by"]](full, given)
