"""Makes test/golden/brought.json: python test/golden/brought.py [section ...]     all of it, or the sections named

What transformers 5.18 makes of checkpoints as people bring them: the models of test/golden/models with tensors under other names, a head of
their own, nulls and keys of other tools in config.json, texts beyond the trained length, and generation_config.json files.
src/models/brought.test.ts makes the same changes and must come to the same. Needs torch, safetensors and transformers 5.18.
"""

import json
import pathlib
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
MODELS = HERE / "models"
names = sorted(f.name for f in MODELS.iterdir() if "mxfp4" not in f.name)

PREFIXES = {"without": None, "model.": "model.", "language_model.": "language_model.", "module.": "module.", "transformer.": "transformer.",
            "base_model.model.": "base_model.model."}

# Keys of tools, each with a value that it has in published files.
KEYS = {
    "unsloth_fixed": True, "unsloth_version": "2025.8.1", "unsloth_tied": False, "_attn_implementation_autoset": True, "auto_map": {"AutoConfig": "a.B"},
    "pad_token_id": -1, "bos_token_id": -1, "is_decoder": True, "chunk_size_feed_forward": 0, "torchscript": False, "use_bfloat16": False,
    "tf_legacy_loss": False, "pruned_heads": {}, "tie_encoder_decoder": False, "is_encoder_decoder": False, "add_cross_attention": False,
    "cross_attention_hidden_size": None, "finetuning_task": None, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "problem_type": None,
    "task_specific_params": {"text-generation": {"max_length": 50}}, "tokenizer_class": None, "prefix": None, "sep_token_id": None, "max_length": 20,
    "min_length": 0, "do_sample": False, "early_stopping": False, "num_beams": 1, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0,
    "repetition_penalty": 1.0, "length_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "bad_words_ids": None,
    "num_return_sequences": 1, "output_scores": False, "return_dict_in_generate": False, "forced_bos_token_id": None, "forced_eos_token_id": None,
    "remove_invalid_values": False, "exponential_decay_length_penalty": None, "suppress_tokens": None, "begin_suppress_tokens": None,
    "num_beam_groups": 1, "diversity_penalty": 0.0, "decoder_start_token_id": None, "quantization_config": None, "gradient_checkpointing": False,
    "max_sequence_length": 2048, "model_max_length": 4096, "pretraining_tp": 1, "for_llm_compressor": False, "transformers.js_config": {"dtype": "q4"},
    "attention_bias": False, "mlp_bias": False, "use_sliding_window": False, "hidden_dropout": 0.0, "_commit_hash": None, "unk_token_id": 0,
}

GENERATION = [
    ({"eos_token_id": [2, 4]}, {}), ({"eos_token_id": 53}, {}), ({"eos_token_id": None}, {"eos_token_id": 53}), ({}, {"eos_token_id": 53}),
    (None, {"eos_token_id": [2, 53]}), (None, {"repetition_penalty": 1.6}), ({"repetition_penalty": 1.6}, {}), ({"suppress_tokens": [3, 53, 50]}, {}),
    ({"bad_words_ids": [[53]]}, {}), ({"do_sample": True, "top_k": 1}, {}), ({"eos_token_id": -1}, {}),
]


def load(folder, seeing=False):
    auto = AutoModelForImageTextToText if seeing else AutoModelForCausalLM
    return auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def logits(model, ids):
    with torch.no_grad():
        return model(ids[None]).logits[0].float()


def made(name, use, tensors=None, config=None, generation=None):
    """Calls `use` with a folder that holds the model `name` with these in place of its own."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(config or json.loads((MODELS / name / "config.json").read_text())))
        save_file(tensors or load_file(MODELS / name / "model.safetensors"), folder / "model.safetensors", metadata={"format": "pt"})
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        return use(folder)


def config_of(name):
    return json.loads((MODELS / name / "config.json").read_text())


def renamed(tensors, prefix):
    return {(k.removeprefix("model.") if prefix is None else prefix + k): v for k, v in tensors.items()}


def prefixes(name):
    golden = load_file(MODELS / name / "golden.safetensors")
    tensors = load_file(MODELS / name / "model.safetensors")
    seeing = name == "llama4-seeing"
    same = lambda folder: bool((logits(load(folder, seeing), golden["ids"].long()) - golden["logits"]).abs().max() < 1e-4)
    return {key: made(name, same, tensors=renamed(tensors, prefix)) for key, prefix in PREFIXES.items()}


def nulls(name):
    """Keys whose null is as if they were not there."""
    ids = load_file(MODELS / name / "golden.safetensors")["ids"].long()
    config = config_of(name)

    def tried(changed):
        try:
            return made(name, lambda folder: logits(load(folder), ids), config=changed)
        except Exception:
            return None

    found = []
    for key in [key for key in config if key != "model_type"]:
        null, absent = tried({**config, key: None}), tried({k: v for k, v in config.items() if k != key})
        if null is not None and absent is not None and torch.equal(null, absent):
            found.append(key)
    return found


def rounded(row):
    return [round(x, 5) for x in row.tolist()]


def own_head(name):
    tensors = load_file(MODELS / name / "model.safetensors")
    ids = load_file(MODELS / name / "golden.safetensors")["ids"].long()
    other = tensors["model.embed_tokens.weight"].roll(1, 0).contiguous()
    return rounded(made(name, lambda folder: logits(load(folder), ids)[-1], tensors={**tensors, "lm_head.weight": other}))


def head_alone(name):
    tensors = load_file(MODELS / name / "model.safetensors")
    golden = load_file(MODELS / name / "golden.safetensors")
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    return bool((made(name, lambda folder: logits(load(folder), golden["ids"].long()), tensors=tensors) - golden["logits"]).abs().max() < 1e-4)


def long_text(name, changes, length):
    ids = load_file(MODELS / name / "golden.safetensors")["ids"].long().repeat(8)[:length]
    return rounded(made(name, lambda folder: logits(load(folder), ids)[-1], config={**config_of(name), **changes}))


def idle(name, key, value):
    golden = load_file(MODELS / name / "golden.safetensors")
    same = lambda folder: bool(torch.equal(logits(load(folder), golden["ids"].long()), logits(load(MODELS / name), golden["ids"].long())))
    return made(name, same, config={**config_of(name), key: value})


def generated(generation, changes):
    def run(folder):
        return load(folder).generate(torch.tensor([[1, 5, 9]]), max_new_tokens=24)[0][3:].tolist()

    return made("mixtral", run, config={**config_of("mixtral"), **changes}, generation=generation)


YARN = {"rope_parameters": None, "rope_theta": 10000.0, "max_position_embeddings": 40,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}

SECTIONS = {
    "ownHead": lambda: {name: own_head(name) for name in ("qwen3-moe", "llama-odd-tied", "gpt-oss-tied")},
    "headAlone": lambda: {name: head_alone(name) for name in ("qwen3-moe", "llama-odd-tied")},
    "long": lambda: [
        {"name": name, "changes": changes, "length": length, "last": long_text(name, changes, length)}
        for name, changes, length in [
            ("qwen3-moe", YARN, 60), ("mixtral", {}, 200), ("llama", {}, 200), ("llama4", {}, 200), ("deepseek-v3", {}, 180),
            ("mixtral", {"head_dim": 8, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0}}, 150),
        ]
    ],
    "keys": lambda: {key: value for key, value in KEYS.items() if idle("mixtral", key, value)},
    "generation": lambda: [
        {"file": generation, "changes": changes, "ids": generated(generation, changes)} for generation, changes in GENERATION
    ],
    "prefixes": lambda: {name: prefixes(name) for name in names},
    "nulls": lambda: {name: nulls(name) for name in names if name != "llama4-seeing"},
}
path = HERE / "brought.json"
wanted = sys.argv[1:] or list(SECTIONS)
result = json.loads(path.read_text()) if sys.argv[1:] else {}
for section in wanted:
    result[section] = SECTIONS[section]()
lost = set(KEYS) - set(result["keys"])
assert not lost, lost
path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
