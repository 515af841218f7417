"""The same routing computed a second, different way. A disagreement stops the generator of the vectors.

The oracle walks token by token; here are one-hot sums, slices routed alone, brute force and matrix products.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

import routing_oracle as oracle

DISCRETE = ("experts", "tokens", "counts", "kept", "capacity", "dropped")


def close(a, b, tolerance=1e-9):
    """Equal in shape, and in every number to within the tolerance."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k], tolerance) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= tolerance
    return a == b


def selection_of(spec, given):
    """Selection scores and choices before capacity, and the logits routed on."""
    clean = np.array(given["logits"], float)
    sigma = (spec["noise"] or {}).get("sigma")
    std = given.get("noiseStd", 1 / spec["experts"] if sigma == "1/E" else 1 if sigma is None else sigma)
    logits = clean + np.array(given.get("noise", 0.0)) * np.array(std)
    scores = np.array([oracle.score_row(spec["score"], r) for r in logits])
    rows = np.array(oracle.selection_scores(spec, given, logits, scores))
    return rows, logits


def check_groups(spec, given):
    """Brute force over all choices of `keep` groups: the first, in the order of falling group score, that leaves the token the most experts."""
    rows, _ = selection_of({**spec, "groups": None}, given)
    count, keep, picks = spec["groups"]["count"], spec["groups"]["keep"], oracle.picks_of(spec)
    size = rows.shape[1] // count
    for row in rows:
        per_group = row.reshape(count, size)
        allowed = (per_group > -np.inf).sum(1)
        top = -np.sort(-per_group, axis=1)[:, : 2 if spec["groups"]["score"] == "top2-sum" else 1]
        worth = np.where(allowed > 0, np.where(top > -np.inf, top, 0).sum(1), -np.inf)
        by_worth = np.argsort(-worth, kind="stable")
        options = [[by_worth[i] for i in pick] for pick in itertools.combinations(range(count), keep)]
        reach = [min(picks, allowed[option].sum()) for option in options]
        wanted = options[reach.index(max(reach))]
        mask = np.isin(np.arange(len(row)) // size, wanted)
        got = np.array(oracle.keep_groups(list(row), spec["groups"], picks))
        assert (got > -np.inf).sum() >= max(reach), "groups leave a token fewer experts than it could have"
        assert np.array_equal(got, np.where(mask, row, -np.inf)), "brute force keeps other groups"


def exact_places(capacity, training, tokens, picks, experts):
    """C in exact arithmetic: guards against a ceil on a rounding edge."""
    number = capacity.get("places", capacity.get("factor")) if training else capacity["evaluation"]
    if number is None or "places" in capacity:
        return number
    least = max(capacity["min"], math.ceil(Fraction(str(number)) * tokens * picks / experts))
    return -(-least // capacity["multiple"]) * capacity["multiple"]


def seats(spec, given, out):
    """Every claim of every token as one sorted list of (group, rank, priority, token), served in that order."""
    capacity, training = spec["capacity"], given.get("training", True)
    rows, _ = selection_of(spec, given)
    T, E = rows.shape
    picks = oracle.picks_of(spec)
    chosen = [oracle.choose(spec["select"], picks, list(r)) for r in rows]
    width = {"batch": T, "sequence": given.get("sequence") or T}.get(capacity["over"], capacity["over"])
    urgency = {
        "position": np.zeros(T),
        "score": np.array([rows[t, c[0]] if c else -np.inf for t, c in enumerate(chosen)]),
        "given": np.array(given.get("priority", [0] * T), float),
    }[capacity["priority"]]
    claims = sorted((t // width, rank, -urgency[t], t) for t in range(T) for rank in range(len(chosen[t])))
    taken, held = {}, np.zeros((T, E), bool)
    ends = [[-1] * len(c) for c in chosen]
    for group, rank, _, t in claims:
        size = min(width, T - group * width)
        full = np.array([taken.get((group, e), 0) >= exact_places(capacity, training, size, picks, E) for e in range(E)])
        e = chosen[t][rank]
        if full[e] or held[t, e]:
            open_row = np.where(full | held[t], -np.inf, rows[t])
            e = int(np.argmax(open_row)) if capacity["overflow"] == "next-best" and open_row.max() > -np.inf else -1
        if e >= 0:
            ends[t][rank] = e
            held[t, e] = True
            taken[group, e] = taken.get((group, e), 0) + 1
    assert ends == out["experts"], "the sorted claims end elsewhere"
    assert out["capacity"] == exact_places(capacity, training, min(width, T), picks, E), "capacity of the first group"
    if capacity["overflow"] == "drop":
        cumulative(chosen, claims, width, lambda size: exact_places(capacity, training, size, picks, E), T, E, ends)
    slices(spec, given, out, width)


def cumulative(chosen, claims, width, places, T, E, ends):
    """Switch's form: a running count of one-hot claims; a claim past C is dropped."""
    for group in range(-(-T // width)):
        own = [(rank, t) for g, rank, _, t in claims if g == group]
        onehot = np.array([np.eye(E, dtype=int)[chosen[t][rank]] for rank, t in own]).reshape(-1, E)
        location = np.cumsum(onehot, 0)
        size = min(width, T - group * width)
        for i, (rank, t) in enumerate(own):
            e = chosen[t][rank]
            assert ends[t][rank] == (e if location[i, e] <= places(size) else -1), "the running count drops other places"


def slices(spec, given, out, width):
    """Each group of tokens routed alone, as a batch of its own, ends the same."""
    T = len(given["logits"])
    for a in range(0, T, width):
        own = {
            k: v[a : a + width] if k in ("logits", "noise", "noiseStd", "labels", "priority", "without") else v
            for k, v in given.items()
            if k not in ("sequence", "losses")
        }
        alone = oracle.route({**spec, "capacity": {**spec["capacity"], "over": "batch"}}, own)
        assert alone["experts"] == out["experts"][a : a + width] and close(
            alone["weights"], out["weights"][a : a + width]
        ), "a group routed alone ends elsewhere"


def check_balance(spec, given, out):
    """One matrix product: sum over pairs of tokens of the same part, of counts and probabilities."""
    kind = given.get("losses", {}).get("balance", {})
    rows, logits = selection_of(spec, given)
    T, E = logits.shape
    chosen = [oracle.choose(spec["select"], oracle.picks_of(spec), list(r)) for r in rows]
    counts = np.zeros((T, E))
    for t, c in enumerate(chosen):
        counts[t, c] = 1
    s = (
        np.exp(logits)
        if kind.get("of") != "scores" or spec["score"] == "softmax"
        else 1 / (1 + np.exp(-logits)) if spec["score"] == "sigmoid" else np.sqrt(np.log1p(np.exp(logits)))
    )
    p = s / s.sum(1)[:, None]
    over = kind.get("over", "batch")
    part = (
        np.zeros(T, int)
        if over == "batch"
        else np.arange(T) // (given.get("sequence") or T) if over == "sequence" else np.unique(given["labels"], return_inverse=True)[1]
    )
    member = np.eye(part.max() + 1)[part]  # [T, parts]
    size = member.sum(0)
    share = np.full(len(size), 1 / len(size)) if over == "sequence" else size / T
    pair = member @ np.diag(share / size / (member.T @ counts).sum(1)) @ member.T
    assert close(out["losses"]["balance"], float(E * (pair * (counts @ p.T)).sum())), "the balance loss as one product differs"


def check(spec, given, out):
    """Every second computation that applies."""
    full = oracle.complete(spec)
    if full["select"]["by"] in ("token", "label"):
        if full["groups"]:
            check_groups(full, given)
        if full["capacity"] and out["capacity"] is not None:
            seats(full, given, out)
        check_balance(full, given, out)


def stands_on_ties(spec, given, out):
    """True where logits a millionth off would route another way: such a vector is about ties, and must say so."""
    rng = np.random.default_rng(1)
    for _ in range(4):
        shaken = {**given, "logits": (np.array(given["logits"]) + rng.normal(size=np.shape(given["logits"])) * 1e-6).tolist()}
        if "priority" in given:
            shaken["priority"] = (np.array(given["priority"]) + rng.normal(size=len(given["priority"])) * 1e-6).tolist()
        other = oracle.route(spec, shaken)
        if any(other.get(key) != out.get(key) for key in DISCRETE):
            return True
    return False


def fuzz(cases=600):
    """Random specs and inputs that are checked and not written: the second computations see more than the vectors hold."""
    rng = np.random.default_rng(5)
    pick = lambda *options: options[rng.integers(len(options))]
    for _ in range(cases):
        E, T = pick(4, 6, 8, 12), int(rng.integers(1, 15))
        K = int(rng.integers(1, 4))
        count = pick(*[c for c in (2, 3, 4) if E % c == 0 and E // c >= 2])
        keep = int(rng.integers(-(-K // (E // count)), count + 1))
        spec = {
            "experts": E,
            "select": {"by": "token", "k": K},
            "order": pick("score-then-select", "select-then-score"),
            "score": pick("softmax", "sigmoid", "sqrt-softplus"),
        }
        if rng.random() < 0.6:
            spec["groups"] = {"count": count, "keep": keep, "score": pick("max", "top2-sum")}
        if rng.random() < 0.7:
            size = (
                {"places": int(rng.integers(1, 5))}
                if rng.random() < 0.4
                else {"factor": pick(0.5, 0.75, 1, 1.25), "min": pick(0, 0, 2), "multiple": pick(1, 1, 2, 4)}
            )
            spec["capacity"] = {
                **size,
                "overflow": pick("drop", "next-best"),
                "priority": pick("position", "score", "given"),
                "over": pick("batch", "sequence", 3, 5),
            }
        given = {
            "logits": np.round(rng.normal(size=(T, E)), 1).tolist(),
            "training": True,
            "priority": rng.integers(0, 3, T).tolist(),
            "labels": [pick("a", "b", "c") for _ in range(T)],
        }
        if T % 2 == 0:
            given["sequence"] = T // 2
        if rng.random() < 0.7:
            given["without"] = [sorted(map(int, rng.choice(E, rng.integers(0, E), replace=False))) for _ in range(T)]
        given["losses"] = {"balance": {"weight": 1, "over": pick("batch", "sequence", "label"), "of": pick("softmax", "scores")}}
        check(spec, given, oracle.route(spec, given))
