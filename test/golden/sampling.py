"""Which tokens transformers' logits processors and warpers leave, and with what probabilities: sampling.json.

    python test/golden/sampling.py
"""

import json
from pathlib import Path

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

torch.manual_seed(7)
vocabulary = 48
logits = (torch.randn(1, vocabulary) * 2).round(decimals=3)
history = [3, 11, 3, 40, 7, 29]  # prompt and answer

cases = [
    {"temperature": 0.7},
    {"temperature": 1.3, "topK": 5},
    {"temperature": 1.0, "topP": 0.8},
    {"temperature": 0.9, "minP": 0.1},
    {"temperature": 1.5, "topK": 20, "topP": 0.9, "minP": 0.05},
    {"temperature": 0.8, "topK": 6, "topP": 0.6, "minP": 0.3},
    {"temperature": 1.0, "repetitionPenalty": 1.4},
    {"temperature": 1.0, "repetitionPenalty": 0.6, "topP": 0.7},
    {"temperature": 1.2, "bias": {"5": 3.5, "11": -2.0}, "repetitionPenalty": 1.2, "topK": 12},
]

out = []
for case in cases:
    steps = LogitsProcessorList()
    if "bias" in case:
        steps.append(SequenceBiasLogitsProcessor([[[int(i)], b] for i, b in case["bias"].items()]))
    if "repetitionPenalty" in case:
        steps.append(RepetitionPenaltyLogitsProcessor(case["repetitionPenalty"]))
    steps.append(TemperatureLogitsWarper(case["temperature"]))
    if "topK" in case:
        steps.append(TopKLogitsWarper(case["topK"]))
    if "topP" in case:
        steps.append(TopPLogitsWarper(case["topP"]))
    if "minP" in case:
        steps.append(MinPLogitsWarper(case["minP"]))
    p = steps(torch.tensor([history]), logits.clone()).softmax(-1)[0]
    out.append({"options": case, "probabilities": {str(i): v for i, v in enumerate(p.tolist()) if v > 0}})

Path(__file__).with_name("sampling.json").write_text(
    json.dumps({"logits": [round(v, 3) for v in logits[0].tolist()], "history": history, "cases": out}) + "\n"
)
