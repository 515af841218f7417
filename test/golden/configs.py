"""Parameter counts of the models whose config.json stand in configs.json (as published, in transformers 4's spelling), from transformers' own
modules on the meta device.

Run with torch and transformers installed: python test/golden/configs.py > test/golden/configs_counts.json
"""

import json
import pathlib

import torch
from published import count
from transformers import AutoConfig, AutoModelForCausalLM

configs = json.loads((pathlib.Path(__file__).parent / "configs.json").read_text())
counts = {}
for name, config in configs.items():
    with torch.device("meta"):
        counts[name] = count(AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)))
print(json.dumps(counts, indent=1))
