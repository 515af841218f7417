"""Vectors small enough to work by hand: noise and the losses. As in vectors_by_hand.py, the expected values are typed in."""

from math import log

from vectors_by_hand import H, ln, token

PHI1, PHI2 = 0.8413447460685429, 0.9772498680518208  # the normal distribution below 1 and below 2 standard deviations


def noise(add):
    clean, noisy = ln((4, 2, 1)), {"experts": [[0, 2]], "weights": [[4 / 7, 3 / 7]]}
    shazeer = token(3, 2, order="select-then-score", noise={"kind": "gaussian", "sigma": None})
    add(
        "a learned deviation: noise times noiseStd",
        [
            "Clean logits ln 4, ln 2, 0. The third draw is 2 ln 3 and its deviation 1/2: the noisy logit is ln 3.",
            "Exponentials 4, 2, 3: experts 0 and 2 with 4/7 and 3/7.",
        ],
        shazeer,
        {"logits": clean, "noise": [[0, 0, 2.19722458]], "noiseStd": [[1, 1, 0.5]], "training": True},
        noisy,
    )
    add(
        "a fixed deviation",
        ["sigma = 0.5 stands for every logit's deviation: the same noisy logits, the same route."],
        {**shazeer, "noise": {"kind": "gaussian", "sigma": 0.5}},
        {"logits": clean, "noise": [[0, 0, 2.19722458]], "training": True},
        noisy,
    )
    add(
        "the deviation 1/E",
        ['With E = 4, "1/E" is 1/4. The third draw is 4 ln 3: the noisy logit is ln 3. Exponentials 4, 2, 3, 1/2.'],
        token(4, 2, order="select-then-score", noise={"kind": "gaussian", "sigma": "1/E"}),
        {"logits": ln((4, 2, 1, 0.5)), "noise": [[0, 0, 4.39444915, 0]], "training": True},
        noisy,
    )
    load0, load1, load2 = PHI1 + 0.5, 2 * (1 - PHI1), (1 - PHI2) + (1 - PHI1)
    mean = (load0 + load1 + load2) / 3
    add(
        "the load loss",
        [
            "k = 1 and deviation 1. Token 0, no noise: 1, 0, -1. Expert 0's threshold is the best of the others, 0: Phi(1 - 0) = 0.841345. Experts 1 and 2 have the threshold 1: Phi(0 - 1) = 0.158655 and Phi(-1 - 1) = 0.022750.",
            "Token 1: clean 0, 0, 0, noise 1, 0, -1. Expert 0: threshold 0, Phi(0 - 0) = 1/2. Experts 1 and 2: threshold 1, Phi(0 - 1) = 0.158655 both.",
            "Loads 1.341345, 0.317311, 0.181405; mean 0.613354; CV^2 is their variance over the mean squared.",
        ],
        token(3, 1, noise={"kind": "gaussian", "sigma": 1}),
        {"logits": [[1, 0, -1], [0, 0, 0]], "noise": [[0, 0, 0], [1, 0, -1]], "training": True},
        {"experts": [[0], [0]], "losses": {"load": sum((v - mean) ** 2 for v in (load0, load1, load2)) / 3 / (mean**2 + 1e-10)}},
    )
    add(
        "outside training there is no noise, and load is CV^2 of counts",
        ["Clean logits: token 0 takes 0 and 1, token 1 takes 0 and 2. Counts 2, 1, 1; mean 4/3, variance (4/9 + 1/9 + 1/9)/3 = 2/9; over 16/9: 1/8."],
        shazeer,
        {"logits": ln((4, 2, 1), (4, 1, 2)), "training": False},
        {"experts": [[0, 1], [0, 2]], "weights": [[2 / 3, 1 / 3], [2 / 3, 1 / 3]], "losses": {"load": 1 / 8}},
    )
    add(
        "jitter works on tokens, so logits are routed as they are",
        ["A jitter multiplies the router's input, which is not here. Exponentials 4, 2, 1: expert 0, 4/7."],
        token(3, 1, noise="jitter"),
        {"logits": clean, "training": True},
        {"experts": [[0]], "weights": [[4 / 7]]},
    )


def balances(add):
    two = token(2, 1)
    kind = lambda **rest: {"balance": {"weight": 1, **rest}}
    add(
        "even: 1",
        ["Four tokens, two for each expert: f = 1/2, 1/2 and P = 1/2, 1/2. 2 * (1/4 + 1/4) = 1."],
        two,
        {"logits": ln((3, 1), (1, 3), (3, 1), (1, 3))},
        {"losses": {"balance": 1}},
    )
    halves = ln((3, 1), (3, 1), (1, 3), (1, 3))
    add(
        "over the batch this is even",
        ["Tokens 0 and 1 take expert 0, tokens 2 and 3 take expert 1: f and P are even over the batch, 1."],
        two,
        {"logits": halves, "sequence": 2, "losses": kind(over="batch")},
        {"losses": {"balance": 1}},
    )
    add(
        "over each sequence it is not",
        ["Two sequences of two. In the first f = 1, 0 and P = 3/4, 1/4: 2 * 3/4 = 3/2. In the second the same for expert 1: 3/2. The mean is 3/2."],
        two,
        {"logits": halves, "sequence": 2, "losses": kind(over="sequence")},
        {"losses": {"balance": 1.5}},
    )
    sig = token(2, 1, score="sigmoid")
    add(
        "probabilities from scores",
        [
            "Sigmoid scores: token 0: 3/4, 1/2, shares 3/5, 2/5; token 1: 4/5, 1/5, shares 4/5, 1/5.",
            "Both take expert 0: f = 1, 0; P_0 = (3/5 + 4/5)/2 = 7/10; 2 * 7/10 = 7/5.",
        ],
        sig,
        {"logits": ln((3, 1), (4, 0.25)), "losses": kind(of="scores")},
        {"losses": {"balance": 1.4}},
    )
    add(
        "probabilities from softmax, whatever the score",
        ["The same logits: softmax gives 3/4, 1/4 and 4/(17/4) = 16/17, 1/17. P_0 = (3/4 + 16/17)/2 = 115/136; 2 * 115/136 = 115/68."],
        sig,
        {"logits": ln((3, 1), (4, 0.25)), "losses": kind()},
        {"losses": {"balance": 115 / 68}},
    )
    add(
        "DeepSeek-V3: over each sequence, of scores, without the bias",
        [
            "First sequence as above: 7/5. Second: scores 1/5, 4/5 and 1/4, 3/4; both take expert 1, P_1 = (4/5 + 3/4)/2 = 31/40; 2 * 31/40 = 31/20.",
            "The bias 0.1, 0 changes no choice here, and is no part of P. The mean of 1.4 and 1.55 is 1.475.",
        ],
        {**sig, "bias": "selection-only"},
        {"logits": ln((3, 1), (4, 0.25), (0.25, 4), (1 / 3, 3)), "bias": [0.1, 0], "sequence": 2, "losses": kind(over="sequence", of="scores")},
        {"experts": [[0], [0], [1], [1]], "losses": {"balance": 1.475}},
    )
    add(
        "over each label, weighed by its tokens",
        [
            "Label a has three tokens: f = 2/3, 1/3; P_0 = (3/4 + 3/4 + 1/4)/3 = 7/12, P_1 = 5/12: 2 * (14/36 + 5/36) = 19/18.",
            "Label b has one: expert 1, P_1 = 4/5: 8/5. Together 3/4 * 19/18 + 1/4 * 8/5 = 143/120.",
        ],
        two,
        {"logits": ln((3, 1), (1, 4), (3, 1), (1, 3)), "labels": ["a", "b", "a", "a"], "losses": kind(over="label")},
        {"losses": {"balance": 143 / 120}},
    )
    table = {"experts": 4, "select": {"by": "label", "table": {"text": [0, 1], "image": [2, 3]}, "k": 1}}
    add(
        "over each label where labels also limit the choice",
        [
            "text: tokens 0 and 1 with scores 4/8, 2/8, 1/8, 1/8 and 2/8, 3/8, 2/8, 1/8 take experts 0 and 1: f = 1/2, 1/2; P_0 = 6/16, P_1 = 5/16: 4 * 1/2 * 11/16 = 11/8.",
            "image: token 2 with 1/10, 2/10, 3/10, 4/10 takes expert 3: 4 * 4/10 = 8/5. Together 2/3 * 11/8 + 1/3 * 8/5 = 29/20.",
        ],
        table,
        {"logits": ln((4, 2, 1, 1), (2, 3, 2, 1), (1, 2, 3, 4)), "labels": ["text", "text", "image"], "losses": kind(over="label")},
        {"losses": {"balance": 1.45}},
    )


def importances(add):
    add(
        "of weights",
        ["Weights 3/4 to expert 0 and 4/5 to expert 1. Mean 0.775, variance 0.025^2 = 0.000625; over 0.600625: 0.00104058272."],
        token(2, 1),
        {"logits": ln((3, 1), (1, 4))},
        {"losses": {"importance": 0.000625 / 0.600625}},
    )
    add(
        "of probabilities",
        ["Sums of probabilities: 3/4 + 1/5 = 0.95 and 1/4 + 4/5 = 1.05. Mean 1, variance 0.0025."],
        token(2, 1),
        {"logits": ln((3, 1), (1, 4)), "losses": {"importance": {"weight": 1, "of": "probabilities"}}},
        {"losses": {"importance": 0.0025}},
    )
    add(
        "of probabilities of the clean logits, under noise",
        [
            "The draws 2 * ln 3 * (1, -1) times 1/E = 1/2 turn token 1's exponentials 1, 4 to 3, 4/3, so it takes expert 0: weight 3/(13/3) = 9/13.",
            "Importance still is that of the clean probabilities: 0.0025.",
        ],
        token(2, 1, noise={"kind": "gaussian", "sigma": "1/E"}),
        {
            "logits": ln((3, 1), (1, 4)),
            "noise": [[0, 0], [2.19722458, -2.19722458]],
            "training": True,
            "losses": {"importance": {"weight": 1, "of": "probabilities"}},
        },
        {"experts": [[0], [0]], "weights": [[3 / 4], [9 / 13]], "losses": {"importance": 0.0025}},
    )
    add(
        "a dropped place counts as wanted",
        [
            "One place: token 1 is dropped and its weight is 0. Importance adds its 4/5 to expert 0 all the same: sums 1.55 and 0, mean 0.775, variance 0.775^2: 1."
        ],
        token(2, 1, capacity={"places": 1}),
        {"logits": ln((3, 1), (4, 1)), "training": True},
        {"experts": [[0], [-1]], "weights": [[3 / 4], [0]], "losses": {"importance": 1}},
    )


def entropies(add):
    rows = ln((3, 1), (1, 3), (3, 1))
    kind = lambda **rest: {"marginalEntropy": {"weight": 1, **rest}}
    h = H(3 / 4, 1 / 4)
    add(
        "entropy of the mean, and mean of the entropies",
        [
            "Tokens 0 and 1: the mean p is 1/2, 1/2, entropy ln 2 = 0.693147. Each token's own entropy is H(3/4, 1/4) = 0.562335.",
            "Exponentials sum to 4: z = (ln 4)^2.",
        ],
        token(2, 1),
        {"logits": rows[:2]},
        {"losses": {"marginalEntropy": log(2), "tokenEntropy": h, "z": log(4) ** 2}},
    )
    add(
        "below the threshold",
        ["max(0, 1 - ln 2) = 0.306852819."],
        token(2, 1),
        {"logits": rows[:2], "losses": kind(threshold=1.0)},
        {"losses": {"marginalEntropy": 1 - log(2)}},
    )
    add(
        "above the threshold",
        ["ln 2 > 0.5: max(0, 0.5 - ln 2) = 0."],
        token(2, 1),
        {"logits": rows[:2], "losses": kind(threshold=0.5)},
        {"losses": {"marginalEntropy": 0}},
    )
    labels = ["a", "a", "b"]
    add(
        "over each label",
        ["Label a: ln 2, two of three tokens. Label b: H(3/4, 1/4). 2/3 * 0.693147 + 1/3 * 0.562335 = 0.649543."],
        token(2, 1),
        {"logits": rows, "labels": labels, "losses": kind(over="label")},
        {"losses": {"marginalEntropy": 2 / 3 * log(2) + h / 3}},
    )
    add(
        "over each label, with a threshold",
        [
            "Threshold 0.6. Label a: ln 2 is above it, 0. Label b: 0.6 - 0.562335 = 0.037665, a third of the tokens: 0.012554952.",
            "The threshold is taken for each label before the labels are added up.",
        ],
        token(2, 1),
        {"logits": rows, "labels": labels, "losses": kind(over="label", threshold=0.6)},
        {"losses": {"marginalEntropy": (0.6 - h) / 3}},
    )


TOPICS = [
    (
        "noise-and-load",
        "Gaussian noise in training, learned or fixed, and the load loss.",
        "Shazeer et al. 2017, equation 4 and appendix A; Riquelme et al. 2021 (sigma = 1/E)",
        noise,
    ),
    (
        "balance-kinds",
        "The balance loss over the batch, each sequence, each label; of softmax or of scores.",
        "Fedus et al. 2022, equation 4; DeepSeek-V3, equations 17 to 20",
        balances,
    ),
    (
        "importance-kinds",
        "CV^2 of summed weights, or of summed clean probabilities.",
        "Shazeer et al. 2017, equation 7; Riquelme et al. 2021, appendix A",
        importances,
    ),
    (
        "marginal-entropy",
        "Entropy of the mean probability, with a threshold, over labels; token entropy and z beside it.",
        "Mustafa et al. 2022 (LIMoE), section 2.2; Zoph et al. 2022, equation 5",
        entropies,
    ),
]
