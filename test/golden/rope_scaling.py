"""Frequencies and amplitudes of scaled rotary embeddings, from transformers' modeling_rope_utils: writes rope_scaling.json beside this file.

    python test/golden/rope_scaling.py

transformers computes them in f32; they are good to about 1e-6 of their size.
"""

import json
import pathlib

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
yarn = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "original_max_position_embeddings": 4096}
# What a file says, and its head width and theta.
cases = [
    ({"rope_type": "linear", "factor": 4.0}, 32, 10000.0),
    (llama3, 128, 500000.0),
    ({**llama3, "factor": 32.0, "original_max_position_embeddings": 512}, 64, 10000.0),
    ({**yarn, "truncate": False}, 64, 150000.0),
    (yarn, 64, 150000.0),
    ({**yarn, "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0}, 64, 10000.0),
    ({**yarn, "factor": 40.0, "mscale": 0.707, "mscale_all_dim": 1.0}, 64, 10000.0),
    ({**yarn, "attention_factor": 0.75}, 16, 10000.0),
    ({**yarn, "original_max_position_embeddings": 64}, 8, 100.0),
]


def run(parameters, head_dim, theta):
    config = LlamaConfig(head_dim=head_dim, max_position_embeddings=131072, rope_parameters={**parameters, "rope_theta": theta})
    frequencies, amplitude = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, "cpu")
    return {"parameters": parameters, "dims": head_dim, "theta": theta, "frequencies": frequencies.tolist(), "amplitude": float(amplitude)}


path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps([run(*case) for case in cases]) + "\n")
