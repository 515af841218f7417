"""Makes test/golden/formats/vocabularies.json: small GGUF vocabularies with the ids that llama.cpp gives to texts.

    python test/golden/vocabularies.py FOLDER_WITH_NODE_LLAMA_CPP

Needs gguf, tokenizers, and a folder in which `npm install node-llama-cpp` was run. llama.cpp has no Unicode classes of
letter case, so for the two rules that need them (tekken, gpt-4o) the ids come from Hugging Face's tokenizers instead.
The file is committed; the tests do not run this.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

HERE = Path(__file__).parent

SAMPLES = [
    "", " ", "Hello, world!", "I'm sure they'll say it's DON'T'VE we'RE", "  two  spaces   three\ttab \t mixed ",
    "line\nline\r\nline\r\n\r\n\n  indented\n\tdeep\n", "12345678 3.14159 0x1F \u0661\u0662\u0663 \u00bd\u00b2\u2167",
    "na\u00efve caf\u00e9 stra\u00dfe \u0141\u00f3d\u017a \u01c5 camelCaseWORDS \u0416\u0438\u0437\u043d\u044c",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u4e2d\u6587\uff0c\u6807\u70b9\u3002 \ud55c\uad6d\uc5b4",
    "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001d400\U00010348",
    "e\u0301 \u0915\u094d\u0937 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u10d0\u10d1 \u0561\u0562",
    "const f = (x: number) => { return `${x ** 2}`; }; // ok?\nif (a&&b||!c) { x_1 += 0b10; }\n",
    "<s>", "one<s> two </s>three", "<s", "....!!!???\n\n---===###\r\n", "\x01\x7f", "a" * 70,
    "the theory of the thing that they thought through", "\u2581the \u2581 \u2581\u2581x", "<0x0A>", "a/b/c path/\n/to",
]

RULES = [
    "default", "llama-bpe", "dbrx", "qwen2", "qwen35", "gpt-2", "starcoder", "falcon", "deepseek-llm", "deepseek-coder",
    "deepseek-v3", "bailingmoe", "seed-coder",
]
CASE = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LETTERS = r"[^\r\n\p{L}\p{N}]?"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = {
    "tekken": f"{LETTERS}{UPPER}*{LOWER}+|{LETTERS}{UPPER}+{LOWER}*|\\p{{N}}{REST}",
    "gpt-4o": f"{LETTERS}{UPPER}*{LOWER}+{CASE}|{LETTERS}{UPPER}+{LOWER}*{CASE}|\\p{{N}}{{1,3}}{REST}",
}


def byte_level():
    """Merges over whole texts, words and all, so that every cut shows in the ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=760, min_frequency=2, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    rng = random.Random(5)
    texts = [*SAMPLES * 2]
    for _ in range(60):
        texts.append("".join(rng.choices(["123", "45", " ", "  ", "\n", "the", "Th", "it's", "'S", "!?", "...", "_", "/\n"], k=12)))
    tokenizer.train_from_iterator([text for text in texts if not text.startswith("<")], trainer)
    return json.loads(tokenizer.to_str())["model"], tokenizer


def sentence_pieces():
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    rng = random.Random(9)
    space = "\u2581"
    words = [space + "the", space + "th", "th", "he", "ing", space + "t", "ought", "ou", "gh", space * 2, space * 4, "in", "er",
             "or", "ory", "thr", space + "a", "aa", "aaaa", "li", "line", "ne", "in", "de", "deep", "\u4e2d\u6587", "na\u00ef"]
    letters = [*"thegainorslpdkcfuw", space, "\u4e2d", "\u6587", "\u00ef", "v", "\n"]
    seen = set()
    for piece in [*words, *letters]:
        if piece not in seen:
            # Few scores, so that equals are common.
            pieces.append((piece, -float(rng.randint(1, 9)), 1))
            seen.add(piece)
    pieces.append(("<tool>", 0.0, 4))
    return pieces


def write(path, model, tokens, types, pre=None, merges=None, scores=None, prefix=None):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_feed_forward_length(8)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if pre:
        writer.add_tokenizer_pre(pre)
    if merges:
        writer.add_token_merges(merges)
    if scores:
        writer.add_token_scores(scores)
    if prefix is not None:
        writer.add_add_space_prefix(prefix)
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("</s>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main(peers):
    model, tokenizer = byte_level()
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(pair) for pair in model["merges"]]
    types = [3 if token in ("<s>", "</s>") else 1 for token in tokens]
    pieces = sentence_pieces()
    names = {}
    with tempfile.TemporaryDirectory() as folder:
        for pre in RULES:
            write(f"{folder}/{pre}.gguf", "gpt2", tokens, types, pre=pre, merges=merges)
        for name, prefix in [("prefix", None), ("no-prefix", False)]:
            write(f"{folder}/{name}.gguf", "llama", [p for p, _, _ in pieces], [t for _, _, t in pieces],
                  scores=[s for _, s, _ in pieces], prefix=prefix)
        Path(folder, "samples.json").write_text(json.dumps([*SAMPLES, "a <tool>b <tool> c"]))
        subprocess.run(["node", HERE / "vocabularies.mjs", folder, peers], check=True)
        names = json.loads(Path(folder, "ids.json").read_text())
    for pre, pattern in CASED.items():
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])
        tokenizer.model.ignore_merges = pre == "tekken"
        names[pre] = [tokenizer.encode(text, add_special_tokens=False).ids for text in [*SAMPLES, "a <tool>b <tool> c"]]
    golden = {
        "samples": [*SAMPLES, "a <tool>b <tool> c"],
        "byteLevel": {"tokens": tokens, "types": types, "merges": merges, "ids": {n: names[n] for n in [*RULES, *CASED]}},
        "sentencePiece": {
            "tokens": [p for p, _, _ in pieces], "scores": [s for _, s, _ in pieces], "types": [t for _, _, t in pieces],
            "ids": {n: names[n] for n in ["prefix", "no-prefix"]},
        },
    }
    out = HERE / "formats" / "vocabularies.json"
    out.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


main(sys.argv[1])
