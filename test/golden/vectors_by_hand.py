"""Vectors small enough to work by hand: choosing, weighing, expert choice and soft routing.

The expected values here are the ends of the derivations beside them, typed in and not computed by the oracle.
vectors.py refuses one that the oracle does not reach too. Logits are logarithms of whole numbers, so that softmax
scores are plain fractions: ln 4, ln 2, ln 1, ln 1 give 4/8, 2/8, 1/8, 1/8.
"""

from math import e as EULER
from math import log, sqrt


def ln(*rows):
    """Logits whose exponentials are these numbers; of one row, or of several."""
    return [ln(*row) for row in rows] if isinstance(rows[0], tuple) else [float(f"{log(v):.9g}") for v in rows]


def H(*p):
    return -sum(v * log(v) for v in p if v > 0)


def token(experts, k, **rest):
    return {"experts": experts, "select": {"by": "token", "k": k}, **rest}


def mixtral(add):
    rows = ln((4, 2, 1, 1), (1, 9, 3, 2), (1, 2, 3, 4))
    found = {
        "experts": [[0, 1], [1, 2], [3, 2]],
        "weights": [[2 / 3, 1 / 3], [3 / 4, 1 / 4], [4 / 7, 3 / 7]],
        "counts": [1, 2, 2, 1],
        "kept": [1, 2, 2, 1],
        "capacity": None,
        "dropped": 0,
    }
    add(
        "two best logits, softmax over them",
        [
            "Exponentials of token 0's logits: 4, 2, 1, 1. The two largest are experts 0 and 1; softmax over the two: 4/(4+2) = 2/3 and 2/6 = 1/3.",
            "Token 1: 1, 9, 3, 2. Experts 1 and 2: 9/(9+3) = 3/4 and 1/4.",
            "Token 2: 1, 2, 3, 4. Experts 3 and 2, in rank order: 4/(4+3) = 4/7 and 3/7.",
            "Counts: expert 0 once, 1 twice, 2 twice, 3 once. Without a capacity nothing is dropped, and no token depends on another: causal.",
        ],
        token(4, 2, order="select-then-score"),
        {"logits": rows},
        {**found, "causality": "causal"},
    )
    add(
        "its other form: softmax over all, then normalised over the two",
        [
            "Token 0: scores 4/8, 2/8, 1/8, 1/8. Experts 0 and 1; 4/8 and 2/8 over their sum 6/8: 2/3 and 1/3.",
            "The sum over all experts cancels, so every weight is that of the form before.",
        ],
        token(4, 2, normalise=True),
        {"logits": rows},
        found,
    )


def weights(add):
    rows = ln((4, 2, 1, 1), (1, 9, 3, 2), (1, 2, 3, 4))
    add(
        "score then select, not normalised",
        [
            "Token 0: scores 4/8, 2/8, 1/8, 1/8; its experts keep 1/2 and 1/4.",
            "Token 1: scores over 15: 9/15 = 3/5 and 3/15 = 1/5. Token 2: over 10: 4/10 and 3/10.",
        ],
        token(4, 2),
        {"logits": rows},
        {"experts": [[0, 1], [1, 2], [3, 2]], "weights": [[1 / 2, 1 / 4], [3 / 5, 1 / 5], [2 / 5, 3 / 10]]},
    )
    add(
        "normalise with an epsilon of a half",
        [
            "w / (sum of w + epsilon). Token 0: 1/2 and 1/4 sum to 3/4; over 3/4 + 1/2 = 5/4: 2/5 and 1/5.",
            "Token 1: 3/5 + 1/5 = 4/5; over 4/5 + 1/2 = 13/10: 6/13 and 2/13.",
        ],
        token(4, 2, normalise={"epsilon": 0.5}),
        {"logits": rows[:2]},
        {"experts": [[0, 1], [1, 2]], "weights": [[2 / 5, 1 / 5], [6 / 13, 2 / 13]]},
    )
    add(
        "scale comes after normalise",
        ["Token 0: 2/3 and 1/3 after normalising, times 3: 2 and 1.", "Token 1: 3/4 and 1/4, times 3: 9/4 and 3/4."],
        token(4, 2, normalise=True, scale=3),
        {"logits": rows[:2]},
        {"weights": [[2, 1], [9 / 4, 3 / 4]]},
    )
    add(
        "scale without normalise",
        ["Token 0: 1/2 and 1/4, times 16: 8 and 4. Token 2: 2/5 and 3/10, times 16: 6.4 and 4.8."],
        token(4, 2, scale=16),
        {"logits": [rows[0], rows[2]]},
        {"experts": [[0, 1], [3, 2]], "weights": [[8, 4], [6.4, 4.8]]},
    )


def scores(add):
    add(
        "sigmoid",
        [
            "sigmoid(ln x) = x / (1 + x). Token 0: x = 3, 1, 4 give 3/4, 1/2, 4/5; experts 2 and 0.",
            "Token 1: x = 1/3, 9, 1 give 1/4, 9/10, 1/2; experts 1 and 2. Sigmoid scores of a token need not sum to 1.",
        ],
        token(3, 2, score="sigmoid"),
        {"logits": ln((3, 1, 4), (1 / 3, 9, 1))},
        {"experts": [[2, 0], [1, 2]], "weights": [[4 / 5, 3 / 4], [9 / 10, 1 / 2]]},
    )
    add(
        "sigmoid, normalised",
        ["Token 0: 4/5 and 3/4 over 31/20: 16/31 and 15/31.", "Token 1: 9/10 and 1/2 over 7/5: 9/14 and 5/14."],
        token(3, 2, score="sigmoid", normalise=True),
        {"logits": ln((3, 1, 4), (1 / 3, 9, 1))},
        {"weights": [[16 / 31, 15 / 31], [9 / 14, 5 / 14]]},
    )
    add(
        "square root of softplus",
        [
            "s = sqrt(ln(1 + exp(l))). Logits ln(e - 1), ln(e^4 - 1), ln(e^0.25 - 1) give sqrt(1) = 1, sqrt(4) = 2, sqrt(0.25) = 1/2.",
            "Experts 1 and 0 with 2 and 1; normalised over 3: 2/3 and 1/3.",
        ],
        token(3, 2, score="sqrt-softplus", normalise=True),
        {"logits": [[0.541324855, 3.98151472, -1.25876026]]},
        {"experts": [[1, 0]], "weights": [[2 / 3, 1 / 3]]},
    )
    add(
        "square root of softplus of large logits",
        [
            "For l = 40, ln(1 + exp(40)) is 40 to within 1e-17: sqrt(40) = 6.32455532. For l = 25: 5. exp(100) is past float32, so the sum must not be taken directly: l = 100 gives 10."
        ],
        token(4, 3, score="sqrt-softplus"),
        {"logits": [[40, 100, -40, 25]]},
        {"experts": [[1, 0, 3]], "weights": [[10, sqrt(40), 5]]},
    )
    add(
        "sigmoid of the chosen logits alone",
        [
            "The choice is made on logits: experts 2 and 0. A sigmoid looks at one logit only, so the weights are those of score-then-select: 4/5 and 3/4."
        ],
        token(3, 2, score="sigmoid", order="select-then-score"),
        {"logits": ln((3, 1, 4))},
        {"experts": [[2, 0]], "weights": [[4 / 5, 3 / 4]]},
    )


def weight_at(add):
    spec = token(3, 1, score="sigmoid", order="select-then-score", weightAt="input")
    add(
        "Llama 4: the weight multiplies the expert's input",
        [
            "Token 0: the largest logit is ln 4 at expert 2; sigmoid 4/5. Token 1: ln 9 at expert 1; 9/10.",
            'weightAt says where the weight acts, not what it is: expert(4/5 x) here, 4/5 expert(x) with "output".',
        ],
        spec,
        {"logits": ln((3, 1, 4), (1 / 3, 9, 1))},
        {"experts": [[2], [1]], "weights": [[4 / 5], [9 / 10]], "causality": "causal"},
    )
    add(
        "the same route with the weight at the output",
        ["The numbers are those of the vector before."],
        {**spec, "weightAt": "output"},
        {"logits": ln((3, 1, 4), (1 / 3, 9, 1))},
        {"experts": [[2], [1]], "weights": [[4 / 5], [9 / 10]]},
    )


def bias(add):
    add(
        "the bias chooses and does not weigh",
        [
            "Sigmoid scores 3/4, 1/2, 4/5. With the bias 0, 0.4, 0 the choice sees 0.75, 0.9, 0.8: experts 1 and 2.",
            "Weights are the scores without the bias: 1/2 and 4/5, over their sum 13/10: 5/13 and 8/13.",
        ],
        token(3, 2, score="sigmoid", bias="selection-only", normalise=True),
        {"logits": ln((3, 1, 4)), "bias": [0, 0.4, 0]},
        {"experts": [[1, 2]], "weights": [[5 / 13, 8 / 13]]},
    )
    add(
        "select then score: the bias is added to logits",
        [
            "Logits ln 4 = 1.386, ln 2 = 0.693, 0; with the bias 0, 0, 1 the choice sees 1.386, 0.693, 1: experts 0 and 2.",
            "Softmax over their own logits: 4/(4+1) = 4/5 and 1/5.",
        ],
        token(3, 2, order="select-then-score", bias="selection-only"),
        {"logits": ln((4, 2, 1)), "bias": [0, 0, 1]},
        {"experts": [[0, 2]], "weights": [[4 / 5, 1 / 5]]},
    )
    add(
        "a falling bias sends a token elsewhere, and no loss sees it",
        [
            "Scores 5/10, 3/10, 2/10 with the bias -0.3, 0, 0: 0.2, 0.3, 0.2. Expert 1, weight 3/10.",
            "Balance: E * f_1 * P_1 = 3 * 1 * 3/10 = 0.9. The logits' exponentials sum to 10, so z = (ln 10)^2.",
        ],
        token(3, 1, bias="selection-only"),
        {"logits": ln((5, 3, 2), (5, 3, 2)), "bias": [-0.3, 0, 0]},
        {"experts": [[1], [1]], "weights": [[3 / 10], [3 / 10]], "losses": {"balance": 0.9, "z": log(10) ** 2}},
    )


def ties(add):
    add(
        "equal logits: a tie goes to the lower index",
        [
            "Token 0: four scores of 1/4; experts 0 and 1.",
            "Token 1: 1/6, 2/6, 1/6, 2/6; expert 1 before 3.",
            "Token 2: 3/6 at expert 2, then a tie of 1/6: expert 0.",
        ],
        token(4, 2),
        {"logits": ln((1, 1, 1, 1), (1, 2, 1, 2), (1, 1, 3, 1))},
        {"experts": [[0, 1], [1, 3], [2, 0]], "weights": [[1 / 4, 1 / 4], [1 / 3, 1 / 3], [1 / 2, 1 / 6]]},
    )
    add(
        "a tie that a bias makes",
        [
            "The choice is made on the logits 1 and 0.75; the bias 0 and 0.25 makes both 1. Expert 0, the lower index. Its weight is sigmoid(1) = 1/(1 + 1/e)."
        ],
        token(2, 1, score="sigmoid", order="select-then-score", bias="selection-only"),
        {"logits": [[1, 0.75]], "bias": [0, 0.25]},
        {"experts": [[0]], "weights": [[1 / (1 + 1 / EULER)]]},
    )
    add(
        "a tie of groups goes to the lower group",
        ["Group 0 (experts 0, 1) and group 1 (2, 3) both have the best score 3/8. Group 0 is kept: expert 0."],
        token(4, 1, groups={"count": 2, "keep": 1}),
        {"logits": ln((3, 1, 1, 3), (1, 3, 3, 1))},
        {"experts": [[0], [1]], "weights": [[3 / 8], [3 / 8]]},
    )
    add(
        "a tie of next best experts",
        [
            "One place an expert. Token 0 takes expert 1. Token 1 wants it too; of the rest, 1/5 each, it takes the lower index, expert 0. Token 2 has 2 left."
        ],
        token(3, 1, capacity={"places": 1, "overflow": "next-best"}),
        {"logits": ln((1, 3, 1), (1, 3, 1), (1, 3, 1)), "training": True},
        {"experts": [[1], [0], [2]], "weights": [[3 / 5], [1 / 5], [1 / 5]], "dropped": 0},
    )


def top_p(add):
    rows = ln((5, 3, 1, 1), (16, 2, 1, 1), (31, 29, 25, 15))
    select = {"by": "token", "topP": 0.65}
    add(
        "the fewest experts that reach topP",
        [
            "Token 0: 0.5 < 0.65, 0.5 + 0.3 = 0.8 reaches it: two experts.",
            "Token 1: 16/20 = 0.8 reaches it alone.",
            "Token 2: 0.31 + 0.29 = 0.6 does not, with 0.25 it is 0.85: three experts.",
        ],
        {"experts": 4, "select": select},
        {"logits": rows},
        {"experts": [[0, 1], [0], [0, 1, 2]], "weights": [[0.5, 0.3], [0.8], [0.31, 0.29, 0.25]], "counts": [3, 2, 1, 0], "causality": "causal"},
    )
    add(
        "maxK bounds them, and normalise makes the rest sum to 1",
        ["Token 2 may take two only: 0.31 and 0.29, over 0.6: 31/60 and 29/60.", "Token 0: 5/8 and 3/8. Token 1: 1."],
        {"experts": 4, "select": {**select, "maxK": 2}, "normalise": True},
        {"logits": rows},
        {"experts": [[0, 1], [0], [0, 1]], "weights": [[5 / 8, 3 / 8], [1], [31 / 60, 29 / 60]]},
    )
    add(
        "at least one expert",
        ["topP = 0.01 is reached by the first expert of every token."],
        {"experts": 4, "select": {"by": "token", "topP": 0.01}},
        {"logits": rows},
        {"experts": [[0], [0], [0]], "weights": [[0.5], [0.8], [0.31]]},
    )
    add(
        "where the allowed experts cannot reach topP, all of them",
        ["Expert 0 is ruled out. 0.3 + 0.1 + 0.05 = 0.45 stays below 0.65: all three are taken, with scores over all four experts still."],
        {"experts": 4, "select": select},
        {"logits": ln((11, 6, 2, 1)), "without": [[0]]},
        {"experts": [[1, 2, 3]], "weights": [[0.3, 0.1, 0.05]]},
    )
    add(
        "reached exactly, on a tie",
        ["Four scores of 1/4. Two of them are 1/2, which is topP: two experts, those of lower index."],
        {"experts": 4, "select": {"by": "token", "topP": 0.5}},
        {"logits": [[0, 0, 0, 0]]},
        {"experts": [[0, 1]], "weights": [[1 / 4, 1 / 4]]},
    )
    tail0, tail1 = EULER**-20, EULER**-9
    add(
        "slack: a sum within 2^-21 of topP has reached it",
        [
            "Token 0: exponentials 2, 1 and e^-20. Two experts leave e^-20/3 = 7e-10 short of topP = 1, less than 2^-21 = 4.8e-7: they have reached it, as float32 cannot tell.",
            "Token 1: the third is e^-9; two experts leave 4.1e-5: the third is taken too.",
        ],
        {"experts": 3, "select": {"by": "token", "topP": 1}},
        {"logits": [[*ln(2, 1), -20], [*ln(2, 1), -9]]},
        {"experts": [[0, 1], [0, 1, 2]], "weights": [[2 / (3 + tail0), 1 / (3 + tail0)], [2 / (3 + tail1), 1 / (3 + tail1), tail1 / (3 + tail1)]]},
    )
    add(
        "a capacity counts maxK choices a token",
        [
            "C = ceil(0.5 * T * maxK / E) = ceil(0.5 * 3 * 2 / 4) = 1.",
            "First choices: all three want expert 0; token 0 gets it. Second choices: tokens 0 and 2 want expert 1; token 0 gets it. Token 1 has no second choice.",
        ],
        {"experts": 4, "select": {**select, "maxK": 2}, "capacity": {"factor": 0.5}},
        {"logits": rows, "training": True},
        {
            "experts": [[0, 1], [-1], [-1, -1]],
            "weights": [[0.5, 0.3], [0], [0, 0]],
            "capacity": 1,
            "counts": [3, 2, 0, 0],
            "kept": [1, 1, 0, 0],
            "dropped": 3,
            "metrics": {"unserved": 2, "droppedShare": 3 / 5},
        },
    )
    add(
        "a capacity without maxK counts E choices a token",
        ["C = ceil(0.5 * 3 * 4 / 4) = ceil(1.5) = 2: two tokens reach expert 0."],
        {"experts": 4, "select": select, "capacity": {"factor": 0.5}},
        {"logits": rows, "training": True},
        {"experts": [[0, 1], [0], [-1, 1, 2]], "weights": [[0.5, 0.3], [0.8], [0, 0.29, 0.25]], "capacity": 2, "dropped": 1},
    )


def labels(add):
    table = {"text": [0, 1], "image": [2, 3]}
    rows = ln((1, 2, 6, 1), (5, 1, 1, 3), (3, 1, 4, 2))
    add(
        "a label limits the choice, not the score",
        [
            "Token 0, text: scores 1/10, 2/10, 6/10, 1/10; of experts 0 and 1 it takes 1, with the score over all four: 2/10.",
            "Token 1, image: of 2 and 3 it takes 3: 3/10.",
            "Token 2, text: expert 0: 3/10.",
        ],
        {"experts": 4, "select": {"by": "label", "table": table, "k": 1}},
        {"logits": rows, "labels": ["text", "image", "text"]},
        {"experts": [[1], [3], [0]], "weights": [[0.2], [0.3], [0.3]], "causality": "causal"},
    )
    add(
        "without k a token takes all of its row",
        [
            'Token 0, "en": experts 2 (6/10) and 0 (1/10), over 7/10: 6/7 and 1/7.',
            'Token 1, "de": expert 3 alone: 1. It has one place, the other token two.',
        ],
        {"experts": 4, "select": {"by": "label", "table": {"de": [3], "en": [0, 2]}}, "normalise": True},
        {"logits": rows[:2], "labels": ["en", "de"]},
        {"experts": [[2, 0], [3]], "weights": [[6 / 7, 1 / 7], [1]]},
    )
    add(
        "select then score over the chosen",
        ["Token 0, text: logits of experts 1 and 0; softmax over the two: 2/3 and 1/3.", "Token 1, image: experts 3 and 2: 3/4 and 1/4."],
        {"experts": 4, "select": {"by": "label", "table": table, "k": 2}, "order": "select-then-score"},
        {"logits": rows[:2], "labels": ["text", "image"]},
        {"experts": [[1, 0], [3, 2]], "weights": [[2 / 3, 1 / 3], [3 / 4, 1 / 4]]},
    )
    add(
        "K is the smaller of k and the longest row",
        [
            "k = 3, but the longest row has 2 experts: K = 2, so C = ceil(1 * 3 * 2 / 4) = ceil(1.5) = 2 (with k it would be 3).",
            "All three want expert 0 first; the third is dropped.",
        ],
        {"experts": 4, "select": {"by": "label", "table": {"a": [0], "b": [0, 1]}, "k": 3}, "capacity": {"factor": 1}},
        {"logits": ln((1, 2, 6, 1), (5, 1, 1, 3), (3, 1, 4, 2)), "labels": ["a", "b", "b"], "training": True},
        {
            "experts": [[0], [0, 1], [-1, 1]],
            "weights": [[0.1], [0.5, 0.1], [0, 0.1]],
            "capacity": 2,
            "counts": [3, 2, 0, 0],
            "kept": [2, 2, 0, 0],
            "dropped": 1,
        },
    )


def expert_choice(add):
    rows = ln((3, 1), (1, 4), (3, 2), (9, 1))
    add(
        "each expert takes its best tokens",
        [
            "Scores: token 0 3/4, 1/4; token 1 1/5, 4/5; token 2 3/5, 2/5; token 3 9/10, 1/10. C = ceil(1 * 4 / 2) = 2.",
            "Expert 0 takes tokens 3 (0.9) and 0 (0.75), expert 1 takes tokens 1 (0.8) and 2 (0.4). A token's expert depends on later tokens: not causal.",
            "Importance: sums 1.65 and 1.2, mean 1.425, variance 0.225^2 = 0.050625; over 1.425^2 = 2.030625: 0.0249307479.",
        ],
        {"experts": 2, "select": {"by": "expert", "capacityFactor": 1}},
        {"logits": rows},
        {
            "tokens": [[3, 0], [1, 2]],
            "weights": [[0.9, 0.75], [0.8, 0.4]],
            "capacity": 2,
            "losses": {"importance": 0.050625 / 2.030625},
            "metrics": {"unserved": 0},
            "causality": "future",
        },
    )
    add(
        "tokens that no expert takes",
        ["C = ceil(0.5 * 4 / 2) = 1: expert 0 takes token 3, expert 1 token 1. Tokens 0 and 2 get none."],
        {"experts": 2, "select": {"by": "expert", "capacityFactor": 0.5}},
        {"logits": rows},
        {"tokens": [[3], [1]], "weights": [[0.9], [0.8]], "capacity": 1, "metrics": {"unserved": 2}},
    )
    add(
        "sigmoid, normalised over the experts that hold a token",
        [
            "Sigmoid scores: token 0 3/4, 1/2; token 1 1/4, 4/5. C = ceil(2 * 2 / 2) = 2: both experts take both.",
            "Token 0 over 5/4: 3/5 and 2/5. Token 1 over 21/20: 5/21 and 16/21. Expert 1 has token 1 first (4/5 > 1/2).",
        ],
        {"experts": 2, "select": {"by": "expert", "capacityFactor": 2}, "score": "sigmoid", "normalise": True},
        {"logits": ln((3, 1), (1 / 3, 4))},
        {"tokens": [[0, 1], [1, 0]], "weights": [[3 / 5, 5 / 21], [16 / 21, 2 / 5]], "capacity": 2},
    )
    add(
        "an expert takes at most every token",
        ["ceil(5 * 2 / 2) = 5 places, but there are 2 tokens: C = min(T, 5) = 2."],
        {"experts": 2, "select": {"by": "expert", "capacityFactor": 5}},
        {"logits": rows[:2]},
        {"tokens": [[0, 1], [1, 0]], "weights": [[3 / 4, 1 / 5], [4 / 5, 1 / 4]], "capacity": 2},
    )
    add(
        "a tie goes to the earlier token",
        [
            "Tokens 0, 1 and 2 have the same logits. C = ceil(1 * 4 / 2) = 2. Expert 0: tokens 0 and 1, the earliest of the three at 3/4. Expert 1: token 3 (3/4), then token 0 at 1/4."
        ],
        {"experts": 2, "select": {"by": "expert", "capacityFactor": 1}},
        {"logits": ln((3, 1), (3, 1), (3, 1), (1, 3))},
        {"tokens": [[0, 1], [3, 0]], "weights": [[3 / 4, 3 / 4], [3 / 4, 1 / 4]]},
    )


def soft(add):
    add(
        "one slot an expert",
        [
            "Exponentials: token 0: 2, 2; token 1: 1, 3. Dispatch is a softmax down a column: slot 0: 2/3, 1/3; slot 1: 2/5, 3/5.",
            "Combine is a softmax along a row: token 0: 1/2, 1/2; token 1: 1/4, 3/4. Every slot mixes all tokens: not causal.",
        ],
        {"experts": 2, "select": {"by": "soft", "slots": 1}},
        {"logits": ln((2, 2), (1, 3))},
        {"dispatch": [[2 / 3, 2 / 5], [1 / 3, 3 / 5]], "combine": [[1 / 2, 1 / 2], [1 / 4, 3 / 4]], "causality": "future"},
    )
    add(
        "two slots an expert, and losses over their sum",
        [
            "Exponentials: token 0: 4, 2 | 1, 1; token 1: 1, 2 | 3, 2. Columns: 4/5, 1/5; 1/2, 1/2; 1/4, 3/4; 1/3, 2/3. Both rows sum to 8.",
            "An expert's p is summed over its slots: token 0: 6/8, 2/8; token 1: 3/8, 5/8.",
            "Importance: sums 9/8 and 7/8, mean 1, variance 1/64 = 0.015625. The mean p is 9/16, 7/16; marginal entropy is its entropy.",
        ],
        {"experts": 2, "select": {"by": "soft", "slots": 2}},
        {"logits": ln((4, 2, 1, 1), (1, 2, 3, 2))},
        {
            "dispatch": [[4 / 5, 1 / 2, 1 / 4, 1 / 3], [1 / 5, 1 / 2, 3 / 4, 2 / 3]],
            "combine": [[4 / 8, 2 / 8, 1 / 8, 1 / 8], [1 / 8, 2 / 8, 3 / 8, 2 / 8]],
            "losses": {
                "importance": 1 / 64,
                "tokenEntropy": (H(3 / 4, 1 / 4) + H(3 / 8, 5 / 8)) / 2,
                "marginalEntropy": H(9 / 16, 7 / 16),
                "z": log(8) ** 2,
            },
        },
    )


TOPICS = [
    (
        "mixtral",
        "The k best logits, softmax over them: two forms of one router.",
        "Shazeer et al. 2017, equations 3 and 5; Jiang et al. 2024 (Mixtral), section 2.1",
        mixtral,
    ),
    (
        "weights",
        "Weights gathered from all scores, normalised, scaled.",
        "docs/routing.md: normalise, scale; OLMoE (Muennighoff et al. 2024), DeepSeek-V2 (2024)",
        weights,
    ),
    ("score-kinds", "softmax, sigmoid, square root of softplus.", "DeepSeek-V3 (2024), equation 15 (sigmoid); DeepSeek-V4's sqrtsoftplus", scores),
    ("weight-at", "A weight on the expert's input or output.", "transformers: Llama4TextMoe", weight_at),
    ("bias", "A bias that chooses and does not weigh.", "Wang et al. 2024 (auxiliary-loss-free balancing), equation 1; DeepSeek-V3, 2.1.2", bias),
    (
        "ties",
        "Equal values: the lower index, everywhere. Other topics hold a tie of their own, and say so in the name.",
        "docs/routing.md: select",
        ties,
    ),
    ("top-p", "As many experts as reach a sum of scores.", "Huang et al. 2024, equations 4 and 5", top_p),
    ("labels", "A token's label limits its experts.", "Kudugunta et al. 2021 (task-level MoE)", labels),
    ("expert-choice", "Experts take tokens.", "Zhou et al. 2022, section 3.2", expert_choice),
    ("soft", "Every slot mixes all tokens.", "Puigcerver et al. 2024, equations 1 to 3", soft),
]
