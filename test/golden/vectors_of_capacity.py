"""Vectors small enough to work by hand: places, and groups of experts. As in vectors_by_hand.py, the expected values are typed in."""

from vectors_by_hand import ln, token

SIX = ln((2, 1, 1), (11, 2, 7), (1, 3, 1), (5, 2, 1), (1, 1, 2), (1, 3, 4))  # wants: 0 0 1 0 2 2
SIX_SCORES = "Best scores: token 0 2/4 at expert 0, token 1 11/20 at 0, token 2 3/5 at 1, token 3 5/8 at 0, token 4 2/4 at 2, token 5 4/8 at 2."
ALL_SIX = {"experts": [[0], [0], [1], [0], [2], [2]], "weights": [[0.5], [0.55], [0.6], [0.625], [0.5], [0.5]], "kept": [3, 1, 2], "dropped": 0}


def switch(add):
    spec = lambda **capacity: token(3, 1, capacity={"factor": 1, **capacity})
    given = {"logits": SIX, "training": True}
    dropped = {
        **ALL_SIX,
        "experts": [[0], [0], [1], [-1], [2], [2]],
        "weights": [[0.5], [0.55], [0.6], [0], [0.5], [0.5]],
        "kept": [2, 1, 2],
        "dropped": 1,
    }
    add(
        "a full expert drops the tokens that come later",
        [
            SIX_SCORES,
            "C = ceil(1 * 6 * 1 / 3) = 2. Expert 0 is wanted by tokens 0, 1 and 3: token 3 is dropped and has weight 0.",
            "Counts are taken before that: 3, 1, 2. Their mean is 2 and variance 2/3: cv = sqrt(2/3)/2; the largest is 1.5 means.",
            "Balance: f = 3/6, 1/6, 2/6. P sums over tokens: 0.5 + 0.55 + 0.2 + 0.625 + 0.25 + 0.125 = 2.25 for expert 0; 1.825; 1.925. 3 * (3*2.25 + 1*1.825 + 2*1.925)/36 = 3 * 12.425/36 = 1.03541667.",
        ],
        spec(),
        given,
        {
            **dropped,
            "counts": [3, 1, 2],
            "capacity": 2,
            "losses": {"balance": 3 * 12.425 / 36},
            "metrics": {"droppedShare": 1 / 6, "unserved": 1, "cv": (2 / 3) ** 0.5 / 2, "maxOverMean": 1.5},
            "causality": "causal",
        },
    )
    add(
        "the share of an expert is rounded up",
        ["C = ceil(1.25 * 6 * 1 / 3) = ceil(2.5) = 3: nobody is dropped."],
        spec(factor=1.25),
        given,
        {**ALL_SIX, "capacity": 3},
    )
    add(
        "min stands in where the share is smaller",
        ["ceil(0.5 * 6 * 1 / 3) = 1, but min is 2: C = 2."],
        spec(factor=0.5, min=2),
        given,
        {**dropped, "capacity": 2},
    )
    add(
        "multiple rounds up to a whole multiple",
        ["ceil(1 * 6 * 1 / 3) = 2, rounded up to a multiple of 4: C = 4."],
        spec(multiple=4),
        given,
        {**ALL_SIX, "capacity": 4},
    )
    add(
        "multiple rounds min too",
        ["max(5, 2) = 5, rounded up to a multiple of 4: C = 8."],
        spec(min=5, multiple=4),
        given,
        {**ALL_SIX, "capacity": 8},
    )
    two = ln((3, 2, 1), (2, 5, 1), (5, 2, 1))
    text = [
        "C = ceil(1 * 3 * 2 / 3) = 2. First choices in order: token 0 to expert 0, token 1 to expert 1, token 2 to expert 0, which then is full.",
        "Second choices: token 0 to expert 1, which then is full; token 1 wants 0, token 2 wants 1: both dropped.",
    ]
    places = {"experts": [[0, 1], [1, -1], [0, -1]], "capacity": 2, "counts": [3, 3, 0], "kept": [2, 2, 0], "dropped": 2}
    add(
        "places go out rank by rank",
        [*text, "Scores: token 0 3/6 and 2/6, token 1 5/8, token 2 5/8."],
        token(3, 2, capacity={"factor": 1}),
        {"logits": two, "training": True},
        {**places, "weights": [[1 / 2, 1 / 3], [5 / 8, 0], [5 / 8, 0]]},
    )
    add(
        "weights are normalised before a place is dropped",
        [*text, "Token 0: 3/5 and 2/5. Token 1: 5/8 and 2/8 over 7/8: 5/7 and 2/7, and the second is dropped: its 2/7 is lost. Token 2 the same."],
        token(3, 2, normalise=True, capacity={"factor": 1}),
        {"logits": two, "training": True},
        {**places, "weights": [[3 / 5, 2 / 5], [5 / 7, 0], [5 / 7, 0]]},
    )


def places(add):
    rows = ln((5, 3, 2), (5, 2, 3), (3, 5, 2), (2, 3, 5))
    add(
        "one place an expert, however many tokens there are",
        [
            "C = 1. First choices: 0, 0, 1, 2: token 1 finds expert 0 full.",
            "Second choices: token 0 wants 1, token 1 wants 2, token 2 wants 0, token 3 wants 1: all are full.",
        ],
        token(3, 2, capacity={"places": 1}),
        {"logits": rows, "training": True},
        {
            "experts": [[0, -1], [-1, -1], [1, -1], [2, -1]],
            "weights": [[0.5, 0], [0, 0], [0.5, 0], [0.5, 0]],
            "capacity": 1,
            "counts": [3, 3, 2],
            "kept": [1, 1, 1],
            "dropped": 5,
            "metrics": {"unserved": 1},
        },
    )
    add(
        "more places than tokens",
        ["C = 9 is kept as it is; nothing is dropped."],
        token(3, 1, capacity={"places": 9}),
        {"logits": rows, "training": True},
        {"experts": [[0], [0], [1], [2]], "weights": [[0.5], [0.5], [0.5], [0.5]], "capacity": 9, "dropped": 0},
    )
    add(
        "each sequence has its own places",
        ["C = 1 in each sequence of two. Tokens 0 and 1 both want expert 0: token 1 is dropped. Tokens 2 and 3 want 1 and 2."],
        token(3, 1, capacity={"places": 1, "over": "sequence"}),
        {"logits": rows, "sequence": 2, "training": True},
        {"experts": [[0], [-1], [1], [2]], "weights": [[0.5], [0], [0.5], [0.5]], "capacity": 1, "dropped": 1},
    )


def over(add):
    rows = ln((3, 1), (3, 2), (4, 1), (1, 4), (7, 3), (9, 1))
    every = [[0.75], [0.6], [0.8], [0.8], [0.7], [0.9]]
    spec = lambda **capacity: token(2, 1, capacity={"factor": 1, **capacity})
    given = lambda **rest: {"logits": rows, "training": True, **rest}
    lose = lambda *tokens: {
        "experts": [[-1] if t in tokens else [int(t == 3)] for t in range(6)],
        "weights": [[0] if t in tokens else w for t, w in enumerate(every)],
        "dropped": len(tokens),
    }
    wants = "The tokens want experts 0, 0, 0, 1, 0, 0."
    add(
        "over the batch",
        [wants, "C = ceil(6 / 2) = 3: expert 0 takes tokens 0, 1 and 2; tokens 4 and 5 are dropped."],
        spec(over="batch"),
        given(sequence=3),
        {**lose(4, 5), "capacity": 3},
    )
    add(
        "over each sequence",
        [
            wants,
            "Two sequences of three: C = ceil(3 / 2) = 2 in each. In the first, token 2 is dropped; in the second expert 0 is wanted twice only.",
        ],
        spec(over="sequence"),
        given(sequence=3),
        {**lose(2), "capacity": 2},
    )
    add(
        "one sequence, where none is said",
        ["Without the key `sequence` all six tokens are one: as over the batch."],
        spec(over="sequence"),
        given(),
        {**lose(4, 5), "capacity": 3},
    )
    add(
        "over groups of four: the last is shorter and has fewer places",
        [
            wants,
            "Tokens 0 to 3: C = ceil(4 / 2) = 2, token 2 is dropped. Tokens 4 and 5: C = ceil(2 / 2) = 1, token 5 is dropped.",
            "The output's capacity is that of the first group.",
        ],
        spec(over=4),
        given(),
        {**lose(2, 5), "capacity": 2},
    )
    add(
        "min acts in the shorter group too",
        ["As before, but with min 2 the last group has 2 places: token 5 stays."],
        spec(over=4, min=2),
        given(),
        {**lose(2), "capacity": 2},
    )
    add(
        "a group larger than the batch",
        ["All six tokens are one group of six, not of sixteen: C = ceil(6 / 2) = 3."],
        spec(over=16),
        given(),
        {**lose(4, 5), "capacity": 3},
    )
    add(
        "priority acts inside a group",
        [
            "Groups of three, C = 2. In the first, expert 0 has scores 0.75, 0.6, 0.8: token 1 is last and is dropped. In the second it is wanted twice."
        ],
        spec(over=3, priority="score"),
        given(),
        {**lose(1), "capacity": 2},
    )
    add(
        "a place in one group is of no use to another",
        [
            "Groups of two, one place each. Tokens 0 and 1 want expert 0: token 1 takes its next best, expert 1 (2/5). Tokens 2 and 3 want 0 and 1. Tokens 4 and 5: token 5 takes expert 1 (1/10)."
        ],
        spec(over=2, overflow="next-best"),
        given(),
        {
            "experts": [[0], [1], [0], [1], [0], [1]],
            "weights": [[0.75], [0.4], [0.8], [0.8], [0.7], [0.1]],
            "capacity": 1,
            "counts": [5, 1],
            "kept": [3, 3],
            "dropped": 0,
        },
    )


def priority(add):
    rows = ln((3, 2), (4, 1), (7, 3), (1, 4))
    spec = lambda order: token(2, 1, capacity={"places": 2, "priority": order})
    every = [[0.6], [0.8], [0.7], [0.8]]
    lose = lambda gone: {
        "experts": [[-1] if t == gone else [int(t == 3)] for t in range(4)],
        "weights": [[0] if t == gone else w for t, w in enumerate(every)],
        "dropped": 1,
        "kept": [2, 1],
    }
    wants = "Expert 0 has two places, wanted by tokens 0, 1 and 2 with scores 0.6, 0.8 and 0.7."
    given = {"logits": rows, "training": True}
    add("by position", [wants, "In order: tokens 0 and 1."], spec("position"), given, lose(2))
    add("by score", [wants, "Highest first: tokens 1 and 2."], spec("score"), given, lose(0))
    add(
        "given",
        [wants, "The priorities 2, 1, 3, 0 put token 2 first, then token 0: token 1 is dropped."],
        spec("given"),
        {**given, "priority": [2, 1, 3, 0]},
        lose(1),
    )
    add(
        "given, with a tie",
        [wants, "The priorities 1, 1, 5, 1 put token 2 first; tokens 0 and 1 tie, and the earlier goes first."],
        spec("given"),
        {**given, "priority": [1, 1, 5, 1]},
        lose(1),
    )
    add(
        "by score, with a tie",
        ["Tokens 0 and 2 have the same logits, 0.7; token 1 has 0.8 and goes first. The tie goes to token 0: token 2 is dropped."],
        spec("score"),
        {"logits": ln((7, 3), (4, 1), (7, 3)), "training": True},
        {"experts": [[0], [0], [-1]], "weights": [[0.7], [0.8], [0]], "dropped": 1},
    )
    add(
        "the first choice's score orders the second choices too",
        [
            "One place an expert. Token 0: 0.5, 0.4, 0.1; token 1: 0.7, 0.2, 0.1. Token 1 goes first at both ranks, for its first choice's 0.7.",
            "Rank 1: token 1 takes expert 0, token 0 finds it full. Rank 2: token 1 takes expert 1 with 0.2, though token 0 scores it 0.4.",
        ],
        token(3, 2, capacity={"places": 1, "priority": "score"}),
        {"logits": ln((5, 4, 1), (7, 2, 1)), "training": True},
        {"experts": [[-1, -1], [0, 1]], "weights": [[0, 0], [0.7, 0.2]], "kept": [1, 1, 0], "dropped": 2},
    )
    add(
        "the score is the one that was selected by, with the bias",
        [
            "One place. Token 0: 0.5, 0.15, 0.35; token 1: 0.25, 0.45, 0.3. The bias 0, 0.1, 0 lifts expert 1 to 0.25 and 0.55.",
            "Token 0 takes 0 and then wants 2; token 1 takes 1 and then wants 2. Token 1 goes first, 0.55 against 0.5 (without the bias 0.45 would not), and gets expert 2.",
        ],
        token(3, 2, bias="selection-only", capacity={"places": 1, "priority": "score"}),
        {"logits": ln((10, 3, 7), (5, 9, 6)), "bias": [0, 0.1, 0], "training": True},
        {"experts": [[0, -1], [1, 2]], "weights": [[0.5, 0], [0.45, 0.3]], "dropped": 1},
    )
    add(
        "given priorities at both ranks",
        ["C = ceil(0.75 * 2 * 2 / 3) = 1. Token 1 goes first: expert 0, and at rank 2 expert 1. Token 0 gets nothing."],
        token(3, 2, capacity={"factor": 0.75, "priority": "given"}),
        {"logits": ln((5, 4, 1), (7, 2, 1)), "priority": [-1, 0.5], "training": True},
        {"experts": [[-1, -1], [0, 1]], "weights": [[0, 0], [0.7, 0.2]], "capacity": 1, "dropped": 2},
    )


def next_best(add):
    add(
        "a full expert hands on",
        [
            "One place an expert. Token 0 takes expert 0. Token 1 wants it, and takes its second, expert 1 (3/10). Token 2 wants 1, and takes 2 (4/10). Token 3 finds no room: dropped.",
            "Counts are what was chosen: 3, 1, 0. Kept: 1, 1, 1.",
        ],
        token(3, 1, capacity={"places": 1, "overflow": "next-best"}),
        {"logits": ln((6, 3, 1), (5, 3, 2), (1, 5, 4), (5, 3, 2)), "training": True},
        {"experts": [[0], [1], [2], [-1]], "weights": [[0.6], [0.3], [0.4], [0]], "counts": [3, 1, 0], "kept": [1, 1, 1], "dropped": 1},
    )
    three = {"logits": ln((6, 3, 1), (5, 4, 1), (5, 3, 2)), "training": True}
    text = [
        "C = 2, and all three choose 0 and 1. Rank 1: tokens 0 and 1 take expert 0; token 2 finds it full and takes its next best, expert 1.",
        "Rank 2: token 0 takes expert 1, now full. Token 1 wants 1: full; it holds 0; it takes 2. Token 2 wants 1, which it already holds, and takes 2.",
        "Weights are those of the experts held at the end: token 0 6/9, 3/9; token 1 5/6, 1/6; token 2 3/5, 2/5.",
    ]
    ends = {
        "experts": [[0, 1], [0, 2], [1, 2]],
        "weights": [[2 / 3, 1 / 3], [5 / 6, 1 / 6], [3 / 5, 2 / 5]],
        "counts": [3, 3, 0],
        "kept": [2, 2, 2],
        "capacity": 2,
        "dropped": 0,
    }
    add("a choice that is already held, normalised", text, token(3, 2, normalise=True, capacity={"places": 2, "overflow": "next-best"}), three, ends)
    add(
        "select then score: softmax over the experts held",
        text,
        token(3, 2, order="select-then-score", capacity={"factor": 1, "overflow": "next-best"}),
        three,
        ends,
    )
    add(
        "importance sums the weights of the experts held",
        [
            *text[:2],
            "Unnormalised weights: token 0 0.6, 0.3; token 1 0.5, 0.1; token 2 0.3, 0.2. Sums 1.1, 0.6, 0.3; mean 2/3; variance (0.4333^2 + 0.0667^2 + 0.3667^2)/3 = 98/900; over 4/9: 0.245.",
        ],
        token(3, 2, capacity={"places": 2, "overflow": "next-best"}),
        three,
        {"weights": [[0.6, 0.3], [0.5, 0.1], [0.3, 0.2]], "losses": {"importance": 0.245}},
    )
    add(
        "with none left, a place is dropped and the rest is normalised",
        ["One place. Rank 1: token 0 takes expert 0, token 1 goes to expert 1. Rank 2: nothing is left for either. Each holds one expert: weight 1."],
        token(2, 2, normalise=True, capacity={"places": 1, "overflow": "next-best"}),
        {"logits": ln((3, 1), (2, 1)), "training": True},
        {"experts": [[0, -1], [1, -1]], "weights": [[1, 0], [1, 0]], "kept": [1, 1], "dropped": 2},
    )
    add(
        "the next best is one of the kept groups",
        [
            "Groups {0, 1} and {2, 3}, one kept, one place. All three keep group 0. Token 1 takes expert 1 (2/10), though expert 2 scores 3/10. Token 2 finds its group full: dropped, though experts 2 and 3 are free."
        ],
        token(4, 1, groups={"count": 2, "keep": 1}, capacity={"places": 1, "overflow": "next-best"}),
        {"logits": ln((5, 2, 2, 1), (4, 2, 3, 1), (6, 1, 2, 1)), "training": True},
        {"experts": [[0], [1], [-1]], "weights": [[0.5], [0.2], [0]], "dropped": 1},
    )
    add(
        "the next best is never one that is ruled out",
        ["One place. Token 1 finds expert 0 full and may not take 1: it takes 2 (2/10)."],
        token(3, 1, capacity={"places": 1, "overflow": "next-best"}),
        {"logits": ln((6, 3, 1), (5, 3, 2)), "without": [[], [1]], "training": True},
        {"experts": [[0], [2]], "weights": [[0.6], [0.2]], "dropped": 0},
    )


def evaluation(add):
    spec = lambda capacity, k=1: token(3, k, capacity=capacity)
    outside = {"logits": SIX, "training": False}
    kept3 = lambda *gone: {
        "experts": [[-1] if t in gone else x for t, x in enumerate(ALL_SIX["experts"])],
        "weights": [[0] if t in gone else x for t, x in enumerate(ALL_SIX["weights"])],
        "dropped": len(gone),
    }
    add(
        "null: no capacity outside training",
        ["The capacity that dropped token 3 in training does not act: capacity is null, and no token depends on another."],
        spec({"factor": 1}),
        outside,
        {**ALL_SIX, "capacity": None, "causality": "causal"},
    )
    add(
        "null beside places: no capacity either",
        ["As before."],
        spec({"places": 1, "evaluation": None}),
        outside,
        {**ALL_SIX, "capacity": None, "causality": "causal"},
    )
    add(
        "a number is the factor outside training",
        [
            "C = ceil(0.5 * 6 / 3) = 1. Tokens 1 and 3 find expert 0 full, token 5 finds 2 full.",
            "C grows with T, so later tokens decide whether an earlier one is dropped: future.",
        ],
        spec({"factor": 1, "evaluation": 0.5}),
        outside,
        {**kept3(1, 3, 5), "capacity": 1, "causality": "future"},
    )
    add(
        "in training it does not act",
        ["C = ceil(1 * 6 / 3) = 2."],
        spec({"factor": 1, "evaluation": 0.5}),
        {"logits": SIX, "training": True},
        {**kept3(3), "capacity": 2},
    )
    add(
        "min and multiple stay",
        ["ceil(0.5 * 6 / 3) = 1; min 2; rounded up to a multiple of 3: C = 3."],
        spec({"factor": 1, "evaluation": 0.5, "min": 2, "multiple": 3}),
        outside,
        {**ALL_SIX, "capacity": 3},
    )
    add(
        "a number beside places is the places",
        [
            "C = 2 outside training (1 in training). K is 1, order is position and C does not grow with T: an earlier token of any sequence may take the place, a later one never: batch."
        ],
        spec({"places": 1, "evaluation": 2}),
        outside,
        {**kept3(3), "capacity": 2, "causality": "batch"},
    )
    add(
        "places with two picks a token depend on later tokens",
        [
            "First choices 0, 0, 1, 0, 2, 2 go out first: with C = 1, tokens 1, 3 and 5 are too late. All second choices meet full experts.",
            "Token 1 wants expert 2 second, but the later token 4 took it as its first choice: future.",
        ],
        spec({"places": 1, "evaluation": 1}, 2),
        {"logits": ln((5, 3, 2), (5, 2, 3), (3, 5, 2), (5, 3, 2), (2, 3, 5), (3, 2, 5)), "training": False},
        {
            "experts": [[0, -1], [-1, -1], [1, -1], [-1, -1], [2, -1], [-1, -1]],
            "weights": [[0.5, 0], [0, 0], [0.5, 0], [0, 0], [0.5, 0], [0, 0]],
            "capacity": 1,
            "dropped": 9,
            "causality": "future",
        },
    )
    add(
        "places by score depend on later tokens",
        ["C = 2. Expert 0 goes to token 3 (5/8) and token 1 (11/20). The later token 3 took the place of token 0 (2/4): future."],
        spec({"places": 1, "evaluation": 2, "priority": "score"}),
        outside,
        {**kept3(0), "capacity": 2, "causality": "future"},
    )


def groups(add):
    row = ln((8, 2, 6, 5))
    four = lambda k=2, **rest: token(4, k, **rest)
    add(
        "a group is as good as its best expert",
        ["Scores over 21: 8, 2 | 6, 5. Group 0's best is 8, group 1's 6: experts 0 and 1."],
        four(groups={"count": 2, "keep": 1}),
        {"logits": row},
        {"experts": [[0, 1]], "weights": [[8 / 21, 2 / 21]]},
    )
    add(
        "a group is as good as its two best",
        ["8 + 2 = 10 against 6 + 5 = 11: group 1, experts 2 and 3."],
        four(groups={"count": 2, "keep": 1, "score": "top2-sum"}),
        {"logits": row},
        {"experts": [[2, 3]], "weights": [[6 / 21, 5 / 21]]},
    )
    sigmoid = four(score="sigmoid", groups={"count": 2, "keep": 1, "score": "top2-sum"}, bias="selection-only", normalise=True, scale=2.5)
    add(
        "the bias chooses groups too",
        [
            "Sigmoid scores 9/10, 1/2 | 4/5, 3/4. Without the bias 1.4 < 1.55. The bias 0.2 on expert 0 makes it 1.6: group 0.",
            "Weights without the bias: 9/10 and 1/2 over 7/5, times 2.5: 45/28 and 25/28.",
        ],
        sigmoid,
        {"logits": ln((9, 1, 4, 3)), "bias": [0.2, 0, 0, 0]},
        {"experts": [[0, 1]], "weights": [[45 / 28, 25 / 28]]},
    )
    add(
        "two of three groups",
        ["Scores over 24: 1, 8 | 2, 3 | 4, 6. Group bests 8, 3, 6: groups 0 and 2. Experts 1, 5 and 4."],
        token(6, 3, groups={"count": 3, "keep": 2}),
        {"logits": ln((1, 8, 2, 3, 4, 6))},
        {"experts": [[1, 5, 4]], "weights": [[8 / 24, 6 / 24, 4 / 24]]},
    )
    add(
        "an expert that is ruled out does not count for its group",
        ["Expert 0 may not be taken. Group 0's best is then 2, group 1's 6: expert 2. Its score is over all four experts still: 6/21."],
        four(1, groups={"count": 2, "keep": 1}),
        {"logits": row, "without": [[0]]},
        {"experts": [[2]], "weights": [[6 / 21]]},
    )
    six = ln((9, 8, 5, 1, 4, 2))
    add(
        "a group that would cost the token an expert is skipped",
        [
            "Scores over 29: 9, 8 | 5, 1 | 4, 2; one group kept, two picks, expert 1 ruled out. Allowed: 1, 2, 2 experts.",
            "With the best choice of a group the token can get 2. Group 0 has the best score but 1 expert: skipped. Group 1 is next: experts 2 and 3.",
        ],
        token(6, 2, groups={"count": 3, "keep": 1}),
        {"logits": six, "without": [[1]]},
        {"experts": [[2, 3]], "weights": [[5 / 29, 1 / 29]]},
    )
    add(
        "a short group is kept where the other can make up for it",
        [
            "Two groups kept, three picks, expert 1 ruled out. The token can get 3. Group 0 with 1 and the largest of the others with 2 make 3: kept. Then group 1: experts 0, 2, 3."
        ],
        token(6, 3, groups={"count": 3, "keep": 2}),
        {"logits": six, "without": [[1]]},
        {"experts": [[0, 2, 3]], "weights": [[9 / 29, 5 / 29, 1 / 29]]},
    )
    add(
        "and is skipped where it cannot",
        ["The same with four picks: two whole groups hold 4. Group 0 with 1 and 2 makes 3: skipped. Groups 1 and 2: experts 2, 4, 5, 3."],
        token(6, 4, groups={"count": 3, "keep": 2}),
        {"logits": six, "without": [[1]]},
        {"experts": [[2, 4, 5, 3]], "weights": [[5 / 29, 4 / 29, 2 / 29, 1 / 29]]},
    )
    add(
        "no choice of groups has enough",
        [
            "Experts 1, 2 and 5 are ruled out: one is left in each group, so the most a token can get of one group is 1. Group 0 is the best, and expert 0 all there is: one place."
        ],
        token(6, 2, groups={"count": 3, "keep": 1}),
        {"logits": six, "without": [[1, 2, 5]]},
        {"experts": [[0]], "weights": [[9 / 29]], "counts": [1, 0, 0, 0, 0, 0]},
    )
    top_p = lambda **rest: {"experts": 4, "select": {"by": "token", "topP": 0.25, **rest}, "groups": {"count": 2, "keep": 1}}
    add(
        "top-p: a token could get maxK experts, which is E when it is not said",
        [
            "Scores over 21: 8, 2 | 6, 5, expert 1 ruled out. Of one group the token can get min(4, 2) = 2; group 0 has 1: skipped. Group 1: 6/21 = 0.286 reaches 0.25 alone."
        ],
        top_p(),
        {"logits": row, "without": [[1]]},
        {"experts": [[2]], "weights": [[6 / 21]]},
    )
    add(
        "top-p: with maxK 1 a group of one is enough",
        ["The token can get min(1, 2) = 1, and group 0 has 1: kept. Expert 0, 8/21."],
        top_p(maxK=1),
        {"logits": row, "without": [[1]]},
        {"experts": [[0]], "weights": [[8 / 21]]},
    )
    add(
        "the sum of two best, with one left",
        [
            "Logits ln(1/2), ln 8 | ln(3/5), ln(2/3), choice on logits, expert 1 ruled out. Group 0 sums its one: ln(1/2) = -0.693. Group 1: ln(3/5) + ln(2/3) = ln(2/5) = -0.916. Group 0: expert 0, sigmoid (1/2)/(3/2) = 1/3."
        ],
        four(1, score="sigmoid", order="select-then-score", groups={"count": 2, "keep": 1, "score": "top2-sum"}),
        {"logits": ln((0.5, 8, 0.6, 2 / 3)), "without": [[1]]},
        {"experts": [[0]], "weights": [[1 / 3]]},
    )
    add(
        "a group with none left is the worst",
        [
            "Logits 1, 2 | -5, -6 | -7, -9, experts 0 and 1 ruled out. Group 0 scores -inf and stands behind the others: experts 2 and 4, of groups 1 and 2; sigmoid of -5 and -7."
        ],
        token(6, 3, score="sigmoid", order="select-then-score", groups={"count": 3, "keep": 2}),
        {"logits": [[1, 2, -5, -6, -7, -9]], "without": [[0, 1]]},
        {"experts": [[2, 3, 4]], "weights": [[0.0066928509, 0.00247262316, 0.000911051194]]},
    )
    add(
        "labels limit first, groups then",
        [
            'Scores over 24: 9, 1 | 2, 3 | 4, 5; one group kept. "odd" leaves experts 1, 3, 5, one in each group: the best group is 2 (5), and expert 5 its only one.',
            '"mixed" leaves 2, 3 and 5: group 2 scores 5 but has one expert, group 1 has two: experts 3 and 2.',
        ],
        {"experts": 6, "select": {"by": "label", "table": {"odd": [1, 3, 5], "mixed": [2, 3, 5]}, "k": 2}, "groups": {"count": 3, "keep": 1}},
        {"logits": ln((9, 1, 2, 3, 4, 5), (9, 1, 2, 3, 4, 5)), "labels": ["odd", "mixed"]},
        {"experts": [[5], [3, 2]], "weights": [[5 / 24], [3 / 24, 2 / 24]]},
    )


TOPICS = [
    (
        "switch-capacity",
        "C places an expert: the factor, min, multiple, and what is dropped.",
        "Fedus et al. 2022, equation 3; Lepikhin et al. 2021 (GShard), algorithm 1",
        switch,
    ),
    ("places", "A fixed number of places.", "transformers: SwitchTransformersTop1Router (expert_capacity)", places),
    (
        "over-groups",
        "Who shares places: the batch, a sequence, n neighbouring tokens.",
        "Lepikhin et al. 2021 (GShard), groups; transformers: SwitchTransformersTop1Router, per sequence",
        over,
    ),
    ("priority", "Who comes first where places are short.", "Riquelme et al. 2021 (V-MoE), algorithm 2: batch prioritised routing", priority),
    ("next-best", "A full expert hands its token on.", "docs/routing.md: capacity, next-best", next_best),
    ("evaluation", "Capacity outside training.", "docs/routing.md: capacity, evaluation; Riquelme et al. 2021", evaluation),
    ("groups-and-masks", "Groups of experts, and experts that a token may not take.", "DeepSeek-V2 (2024), 2.2.2; DeepSeek-V3 (2024), 2.1.2", groups),
]
