"""Makes the golden files of src/formats: python test/golden/formats.py

Needs numpy, torch, safetensors, tokenizers. The files are committed; the tests do not run this.
"""

import json
import random
from pathlib import Path

import numpy as np
import safetensors
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent / "formats"
HERE.mkdir(exist_ok=True)


def write_json(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


def safetensors_files():
    """One tensor of every element type, as the reference writer puts them; the bytes count up from 1."""
    sizes = {
        "bool": 8, "uint8": 8, "int8": 8, "float8_e5m2": 8, "float8_e4m3fn": 8, "float8_e8m0fnu": 8,
        "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "int16": 16, "uint16": 16, "float16": 16, "bfloat16": 16,
        "int32": 32, "uint32": 32, "float32": 32, "complex64": 64, "float64": 64, "int64": 64, "uint64": 64,
    }
    tensors, count = [], 0
    for dtype, bits in sizes.items():
        length = 3 * bits // 8
        tensors.append((f"t.{dtype}", dtype, [3, 1], bytes((count + i) % 251 + 1 for i in range(length))))
        count += length
    tensors.append(("a.float32", "float32", [], bytes([0, 0, 192, 63])))
    tensors.append(("empty \u00e9\U0001f600", "float32", [0, 7], b""))
    arrays = [np.frombuffer(data, dtype=np.uint8) for *_, data in tensors]  # kept alive while they are written
    specs = {
        name: safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=array.ctypes.data, data_len=len(data))
        for (name, dtype, shape, data), array in zip(tensors, arrays)
    }
    (HERE / "every-dtype.safetensors").write_bytes(safetensors.serialize(specs, metadata={"format": "pt"}))


def npy_files():
    np.save(HERE / "f4.npy", (np.arange(6, dtype="<f4") / 4 - 0.5).reshape(2, 3))
    np.save(HERE / "i4.npy", np.array([1, -2, 2147483647, -2147483648, 0], dtype="<i4"))
    np.save(HERE / "scalar.npy", np.array(1.5, dtype="<f4"))
    np.save(HERE / "empty.npy", np.zeros((0, 4), dtype="<f4"))


def float_files():
    """f32 bit patterns with the f16 and bf16 patterns they round to: special values, halfway cases, chance."""
    rng = np.random.default_rng(7)
    edges = [0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x33000000, 0x33000001, 0x32FFFFFF,
             0x387FC000, 0x387FE000, 0x38800000, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x47800000, 0x3F801000, 0x3F803000,
             0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF, 0x00000001, 0x007FFFFF, 0x00800000]
    near_half = (rng.integers(102, 144, 120, dtype=np.uint32) << 23) | rng.integers(0, 2**23, 120, dtype=np.uint32)
    words = np.concatenate([np.array(edges, dtype=np.uint32), near_half, rng.integers(0, 2**32, 60, dtype=np.uint32)])
    values = torch.from_numpy(words.view(np.float32).copy())
    f16 = values.to(torch.float16).view(torch.int16).numpy().view(np.uint16)
    bf16 = values.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    halves = np.concatenate([np.arange(0, 65536, 97, dtype=np.uint16), np.array([0x3FF, 0x400, 0x7BFF, 0x7C00], np.uint16)])
    write_json("floats.json", {
        "f32": words.tolist(), "f16": f16.tolist(), "bf16": bf16.tolist(),
        "halves": halves.tolist(), "halvesAsF32": halves.view(np.float16).astype(np.float32).view(np.uint32).tolist(),
    })


SAMPLES = [
    "", " ", "Hello, world!", "I'm sure they'll say it's DON'T'VE we'RE", "  two  spaces   three\ttab \t mixed ",
    "line\nline\r\nline\r\n\r\n\n  indented\n\tdeep\n", "12345678 3.14159 0x1F \u0661\u0662\u0663 \u00bd\u00b2\u2167",
    "na\u00efve caf\u00e9 stra\u00dfe \u0141\u00f3d\u017a \u01c5 \u017fs 'S '\u017f",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u4e2d\u6587\uff0c\u6807\u70b9\u3002 \ud55c\uad6d\uc5b4",
    "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "a\u00a0b\u2003c\u0085d\ufeffe\u200bf\u2028g\u3000h\x0bi\x0cj\x1ck", "e\u0301 \u0915\u094d\u0937 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "const f = (x: number): string => { return `${x ** 2}`; }; // ok?\nif (a&&b||!c) { x_1 += 0b1010; }\n",
    "<|endoftext|>", "one<|endoftext|> two <|endoftext|>", "<|endoftext", "....!!!???\n\n---===###\r\n", "\x00\x01\x7f\ufffd",
    "a" * 300, "the theory of the thing that they thought through", "\U00010348\U0001d400\U000e0001",
]

SPLIT = (r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def training_text():
    """Chance words of a small made-up language: many pairs are equally frequent, so that ties decide."""
    rng = random.Random(3)
    syllables = ["ka", "lo", "mi", "the", "ing", "qu", "\u00e9t", "\u65e5", "ra", "sho", "un", "\u0436\u0438"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(120)]
    lines = []
    for _ in range(90):
        line = " ".join(rng.choices(words, k=rng.randint(3, 12)))
        lines.append(line.capitalize() + rng.choice([".", "!", " (x = 10);", "...", ",\r"]))
    return "\n".join(lines) + "\n" + "aaaaaaa aaaa aaa\n" * 4


def trained(split):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([training_text()], trainer)
    return tokenizer


def byte_level():
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def sentencepiece_style():
    """A tokenizer as Llama 2 and Mixtral have it: metaspace, byte fallback, a leading space that decoding drops."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    merges, vocab = [], {piece: i for i, piece in enumerate(pieces)}
    for piece in ["\u2581", "t", "h", "e", "a", "n", "o", "r", "s", "i", "g"]:
        vocab[piece] = len(vocab)
    for left, right in [("t", "h"), ("th", "e"), ("\u2581", "the"), ("i", "n"), ("in", "g"), ("\u2581", "a"), ("o", "n")]:
        vocab[left + right] = len(vocab)
        merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1),
    ])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in pieces[:3]])
    return tokenizer


def encoded(tokenizer, samples):
    rows = []
    for text in samples:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        rows.append({
            "text": text, "ids": ids, "special": tokenizer.encode(text).ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False), "skipped": tokenizer.decode(ids),
        })
    return rows


def tokenizer_files():
    (HERE / "training.txt").write_bytes(training_text().encode("utf-8"))
    ours = trained(byte_level())
    write_json("bpe.json", {"tokenizer": json.loads(ours.to_str()), "samples": encoded(ours, SAMPLES)})

    gpt2 = trained(pre_tokenizers.ByteLevel(add_prefix_space=False))
    gpt2.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]),
    ])
    gpt2.model.ignore_merges = True
    gpt2.add_tokens([AddedToken("kalo mi", normalized=False), AddedToken("kalo", normalized=False)])
    write_json("gpt2-style.json", {"tokenizer": json.loads(gpt2.to_str()), "samples": encoded(gpt2, [*SAMPLES, "a kalo mi kalo"])})

    llama = sentencepiece_style()
    samples = ["the thing", " on a ring\n", "caf\u00e9 \U0001f600 the", "<s>the</s>", "  the  the"]
    write_json("sentencepiece-style.json", {"tokenizer": json.loads(llama.to_str()), "samples": encoded(llama, samples)})


safetensors_files()
npy_files()
float_files()
tokenizer_files()
