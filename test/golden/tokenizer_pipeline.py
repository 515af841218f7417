"""Makes test/golden/formats/tokenizer_pipeline.json: python test/golden/tokenizer_pipeline.py

Needs tokenizers 0.23. Small tokenizer.json files that differ in one part each (added tokens, normalizer, pre-tokenizer, model,
post-processor, decoder), with the ids and the decoded texts of Hugging Face's Rust library. Of the first texts the results are kept
whole, of the others a hash for every ten. The file is committed; the tests do not run this.

    python test/golden/tokenizer_pipeline.py --fuzz 5000 SEED FILE    writes results of random texts, all of them whole
"""

import base64
import hashlib
import json
import random
import struct
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent / "formats"
TRAINING = (HERE / "training.txt").read_text()
ALPHABET = [*"abcdefghijklmnopqrstuvwxyzABCDEHIST0123456789.,!?'-_<>|", "é", "ß", "世", "界", "▁", "я", "п"]
MIXED = "Привет 世界! Straße ÉCOLE é e\u0301 ﬁ ½ ① Ａ\u0130I \u1e9b\u0323 dog's don't 1234 😀 👩‍👩‍👧 x_y\n" * 8


def trained(model, trainer, pre=None, normalizer=None):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.normalizer = pre, normalizer
    tokenizer.train_from_iterator([TRAINING, MIXED], trainer)
    return json.loads(tokenizer.to_str())["model"]


def vocabularies():
    quiet = dict(show_progress=False)
    space = pre_tokenizers.Whitespace()
    byte = trained(models.BPE(), trainers.BpeTrainer(vocab_size=360, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), **quiet),
                   pre_tokenizers.ByteLevel(add_prefix_space=False))
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    meta = pre_tokenizers.Metaspace()
    fallback = trained(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
                       trainers.BpeTrainer(vocab_size=440, special_tokens=["<unk>", "<s>", "</s>", *bytes_], limit_alphabet=60, **quiet), meta)
    char = trained(models.BPE(unk_token="<unk>"),
                   trainers.BpeTrainer(vocab_size=160, special_tokens=["<unk>"], limit_alphabet=50, **quiet), space)
    affixes = trained(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"),
                      trainers.BpeTrainer(vocab_size=220, special_tokens=["<unk>"], limit_alphabet=50, continuing_subword_prefix="##",
                                          end_of_word_suffix="</w>", **quiet), space)
    piece = trained(models.WordPiece(unk_token="[UNK]"),
                    trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[CLS]", "[SEP]"], limit_alphabet=60, **quiet), space)
    unigram = trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", **quiet), meta)
    unigram_bytes = dict(unigram, byte_fallback=True, vocab=[*unigram["vocab"], *[[text, -12.0] for text in bytes_]])
    word = trained(models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=80, special_tokens=["[UNK]"], **quiet), space)
    return {"byte": byte, "fallback": fallback, "char": char, "affixes": affixes, "piece": piece, "unigram": unigram,
            "unigram_bytes": unigram_bytes, "word": word}


def added(content, **flags):
    return dict(dict(id=0, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False), **flags)


TOKENS = {
    "plain": [added("<|im_start|>", special=True), added("<|im_end|>", special=True), added("<think>"), added("dog")],
    "single": [added("dog", single_word=True), added("a", single_word=True, normalized=True), added("1", single_word=True, special=True),
               added("世", single_word=True)],
    "strip": [added("<l>", lstrip=True), added("<r>", rstrip=True, special=True), added("<b>", lstrip=True, rstrip=True),
              added("dog", lstrip=True, normalized=True), added("\n", rstrip=True)],
    "overlap": [added("<a>", special=True), added("<a><b>", normalized=True), added("<a><", normalized=False), added("ab"), added("abc", normalized=True),
                added("bcd"), added("abcde", special=True, normalized=True), added("  "), added("   ", normalized=True)],
    "strip-single": [added("dog", lstrip=True, rstrip=True, single_word=True), added("dogs", single_word=True), added("<l>", rstrip=True),
                     added(" <l>"), added("I", normalized=True, lstrip=True)],
    "upper": [added("DOG", normalized=True), added("É", normalized=True, special=True), added("Straße"), added("<S>", normalized=True, rstrip=True)],
    "known": [added("e", special=True), added("th", normalized=True), added("<unk>", special=True), added("世界", normalized=True), added("é"), added("Ġa")],
    "marks": [added("\ufeff"), added("\u0085", lstrip=True), added("😀", rstrip=True), added("👩‍👩‍👧", special=True)],
}


def darts(table):
    """A double-array trie in the layout of darts-clone, placed by trying: small tables only."""
    texts, offsets = b"", {}
    for value in table.values():
        if value not in offsets:
            offsets[value] = len(texts)
            texts += value.encode() + b"\0"
    root = {}
    for key, value in table.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = offsets[value]
    units, used = [0] * 4096, {0}

    def place(node, at):
        children = sorted(node)
        base = next(b for b in range(1, 2048) if b not in bases and all((b ^ c) not in used for c in children))
        bases.add(base)
        used.update(base ^ c for c in children)
        units[at] |= (at ^ base) << 10
        if 0 in node:
            units[at] |= 1 << 8
            units[base] = (1 << 31) | node[0]
        for c in children:
            if c:
                units[base ^ c] = c
                place(node[c], base ^ c)

    bases = set()
    place(root, 0)
    return base64.b64encode(struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + texts).decode()


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def regex(pattern):
    return {"Regex": pattern}


N = lambda type, **rest: dict(type=type, **rest)
BYTE = N("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
META = N("Metaspace", replacement="▁", prepend_scheme="first", split=True)
SPLIT = lambda pattern, behavior="Isolated", invert=False: N("Split", pattern=pattern, behavior=behavior, invert=invert)
LLAMA = sequence("decoders", N("Replace", pattern={"String": "▁"}, content=" "), N("ByteFallback"), N("Fuse"), N("Strip", content=" ", start=1, stop=0))
CHARSMAP = {"ﬁ": "fi", "½": "1/2", "①": "1", "Ａ": "A", "é": "E", "e\u0301": "ee", "e": "e", "\u00a0": " ", "\u200d": "", "ß": "ss", "\t": " ", "\ufeff": ""}
BERT = N("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)


def cases():
    out = {}

    def case(name, model, *, changes=None, tokens="plain", **parts):
        out[name] = dict(model=model, changes=changes or {}, tokens=tokens, **parts)

    for name in TOKENS:
        case(f"added {name}, byte level", "byte", tokens=name, pre_tokenizer=BYTE, decoder=BYTE)
        case(f"added {name}, lowercase", "char", tokens=name, normalizer=N("Lowercase"), pre_tokenizer=N("Whitespace"))
        case(f"added {name}, llama", "fallback", tokens=name, pre_tokenizer=dict(META, split=False), decoder=LLAMA)
        case(f"added {name}, llama of old", "fallback", tokens=name, decoder=LLAMA, normalizer=sequence(
            "normalizers", N("Prepend", prepend="▁"), N("Replace", pattern={"String": " "}, content="▁")))
    for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"]:
        case(form, "char", tokens="upper", normalizer=N(form), pre_tokenizer=N("WhitespaceSplit"))
    for left in [True, False]:
        for right in [True, False]:
            case(f"Strip {left} {right}", "fallback", normalizer=N("Strip", strip_left=left, strip_right=right), pre_tokenizer=META, decoder=LLAMA)
    case("NFD StripAccents", "char", normalizer=sequence("normalizers", N("NFD"), N("StripAccents"), N("Lowercase")), pre_tokenizer=N("Whitespace"), tokens="upper")
    case("Replace text", "char", normalizer=N("Replace", pattern={"String": "th"}, content="<t>"))
    case("Replace regex", "byte", normalizer=N("Replace", pattern=regex(r"\s+|\d{2}"), content=" "), pre_tokenizer=BYTE, decoder=BYTE)
    case("Replace empty", "fallback", normalizer=N("Replace", pattern=regex(r" {2,}|\p{P}"), content=""), pre_tokenizer=META, decoder=LLAMA)
    case("Prepend", "byte", normalizer=N("Prepend", prepend="_ "), pre_tokenizer=BYTE, decoder=BYTE)
    case("ByteLevel normalizer", "byte", tokens="upper", normalizer=N("ByteLevel"), decoder=BYTE)
    case("Bert", "piece", tokens="upper", normalizer=BERT, pre_tokenizer=N("BertPreTokenizer"), decoder=N("WordPiece", prefix="##", cleanup=True))
    case("Bert cased", "piece", normalizer=dict(BERT, strip_accents=True, lowercase=False, handle_chinese_chars=False), pre_tokenizer=N("BertPreTokenizer"),
         decoder=N("WordPiece", prefix="##", cleanup=False))
    case("Bert, accents stay", "piece", normalizer=dict(BERT, strip_accents=False, clean_text=False), pre_tokenizer=N("BertPreTokenizer"),
         post_processor=N("BertProcessing", sep=["[SEP]", 2], cls=["[CLS]", 1]))
    case("Precompiled", "unigram", normalizer=sequence("normalizers", N("Precompiled", precompiled_charsmap=darts(CHARSMAP)),
         N("Replace", pattern=regex(" {2,}"), content=" ")), pre_tokenizer=N("Metaspace", replacement="▁", prepend_scheme="always", split=True),
         decoder=N("Metaspace", replacement="▁", prepend_scheme="always", split=True))
    for prefix in [True, False]:
        for use in [True, False]:
            byte = dict(BYTE, add_prefix_space=prefix, use_regex=use)
            case(f"ByteLevel {prefix} {use}", "byte", pre_tokenizer=byte, decoder=BYTE, post_processor=dict(BYTE, trim_offsets=prefix))
    for scheme in ["first", "always", "never"]:
        for cut in [True, False]:
            meta = dict(META, prepend_scheme=scheme, split=cut)
            case(f"Metaspace {scheme} {cut}", "fallback", tokens="strip", pre_tokenizer=meta, decoder=meta)
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        for invert in [True, False]:
            case(f"Split {behavior} {invert}", "byte", pre_tokenizer=sequence("pretokenizers", SPLIT(regex(r"[aeo]|\s+"), behavior, invert), dict(BYTE, use_regex=False)), decoder=BYTE)
        case(f"Split text {behavior}", "byte", pre_tokenizer=sequence("pretokenizers", SPLIT({"String": "."}, behavior), dict(BYTE, use_regex=False)), decoder=BYTE)
        case(f"Punctuation {behavior}", "char", pre_tokenizer=N("Punctuation", behavior=behavior))
    case("Digits", "char", pre_tokenizer=N("Digits", individual_digits=False))
    case("Digits, each", "char", pre_tokenizer=sequence("pretokenizers", N("Digits", individual_digits=True), N("WhitespaceSplit")))
    case("CharDelimiterSplit", "char", pre_tokenizer=N("CharDelimiterSplit", delimiter="o"))
    case("FixedLength", "char", pre_tokenizer=N("FixedLength", length=3))
    case("Sequence", "fallback", pre_tokenizer=sequence("pretokenizers", N("Punctuation", behavior="Isolated"), N("Digits", individual_digits=True), META), decoder=LLAMA)
    case("empty matches", "char", pre_tokenizer=SPLIT(regex(r"x*(?=o)|\d*")))
    case("Qwen 2's rule", "byte", decoder=BYTE, normalizer=N("NFC"), pre_tokenizer=sequence("pretokenizers", SPLIT(regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")), dict(BYTE, use_regex=False)))
    case("DeepSeek's rules", "byte", decoder=BYTE, normalizer=sequence("normalizers"), pre_tokenizer=sequence("pretokenizers", SPLIT(regex(r"\p{N}{1,3}")),
         SPLIT(regex("[一-龥\u3040-ゟ゠-ヿ]+")), SPLIT(regex(
             r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")), dict(BYTE, use_regex=False)))
    case("words", "char", pre_tokenizer=SPLIT(regex(r"\w+|\W"), "Isolated"))
    for fuse in [True, False]:
        case(f"fuse_unk {fuse}", "char", changes=dict(fuse_unk=fuse))
    case("no unknown token", "char", changes=dict(unk_token=None))
    case("byte_fallback without unk", "fallback", changes=dict(unk_token=None, fuse_unk=False), decoder=LLAMA)
    case("ignore_merges", "byte", changes=dict(ignore_merges=True), pre_tokenizer=BYTE, decoder=BYTE)
    case("affixes", "affixes", pre_tokenizer=N("Whitespace"), decoder=N("BPEDecoder", suffix="</w>"))
    case("affixes, one piece", "affixes", decoder=N("BPEDecoder", suffix="</w>"))
    case("WordPiece", "piece", changes=dict(max_input_chars_per_word=6), pre_tokenizer=N("Whitespace"), decoder=N("WordPiece", prefix="##", cleanup=True),
         post_processor=N("RobertaProcessing", sep=["[SEP]", 2], cls=["[CLS]", 1], trim_offsets=True, add_prefix_space=False))
    case("WordLevel", "word", pre_tokenizer=N("Whitespace"), post_processor=N(
        "TemplateProcessing", single=[{"SpecialToken": {"id": "[UNK]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "two", "type_id": 0}}],
        pair=[], special_tokens={"[UNK]": {"id": "[UNK]", "ids": [0], "tokens": ["[UNK]"]}, "two": {"id": "two", "ids": [3, 4], "tokens": ["a", "b"]}}))
    case("Unigram", "unigram", pre_tokenizer=META, decoder=META, post_processor=sequence("processors", BYTE, N(
        "TemplateProcessing", single=[{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}], pair=[],
        special_tokens={"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}})))
    case("Unigram, one piece", "unigram", decoder=META)
    case("Unigram, bytes", "unigram_bytes", pre_tokenizer=META, decoder=sequence("decoders", N("ByteFallback"), META))
    case("decoder Strip", "char", decoder=sequence("decoders", N("Strip", content=".", start=0, stop=1), N("Fuse"), N("Strip", content="t", start=2, stop=0)))
    case("decoder Replace", "char", decoder=sequence("decoders", N("Replace", pattern=regex("[aeiou]+"), content="*"), N("Replace", pattern={"String": "th"}, content="")))
    case("decoder CTC", "char", decoder=N("CTC", pad_token="e", word_delimiter_token="|", cleanup=True))
    case("decoder CTC, as it is", "char", decoder=N("CTC", pad_token="o", word_delimiter_token="|", cleanup=False))
    case("decoder ByteFallback", "fallback", decoder=N("ByteFallback"))
    case("truncation and padding", "byte", pre_tokenizer=BYTE, decoder=BYTE, truncation=dict(direction="Right", max_length=4, strategy="LongestFirst", stride=0),
         padding=dict(strategy={"Fixed": 12}, direction="Left", pad_to_multiple_of=None, pad_id=0, pad_type_id=0, pad_token="!"))
    return out


def file_of(case, models_):
    return dict(version="1.0", truncation=case.get("truncation"), padding=case.get("padding"), added_tokens=TOKENS[case["tokens"]],
                normalizer=case.get("normalizer"), pre_tokenizer=case.get("pre_tokenizer"), post_processor=case.get("post_processor"),
                decoder=case.get("decoder"), model=dict(models_[case["model"]], **case["changes"]))


# Texts whose results are kept whole: the first of these.
WHOLE = 7
FIRST = ["", " ", "the dog's dogs, dog; hotdog dog.", "  Hello  world ", "<|im_start|>user\nhi<|im_end|>\n", "a<l> b <r>  c <b> d\n\n <l>", "<a><b><a><abcde abcd bc",
         "Straße ÉCOLE é e\u0301cole ﬁ½①Ａ", "\u0130stanbul ΣΑΣ ΟΔΟΣ", "世界 Привет x世y 1234 5", "👩‍👩‍👧😀 😀  x", "\ufeffa\ufeff \u0085b\u00a0c\u2003d\u200be\u3000",
         "don't I'LL we've !?,. 'm n't", "a\tb\r\nc\x00d\x07e\u202ef", "   ", "theEEEeee  ssss", "<think>x</think> DOG É <S>  y", "😀\u0085a <r><l>x"]
WORDS = ["the", "dog", "dogs", " ", " ", "  ", "\n", "\t", "a", "ab", "abc", "abcde", "bcd", "<l>", "<r>", "<b>", "<a>", "<|im_start|>", "<|im_end|>", "<think>", "DOG", "é", "e\u0301", "É",
         "Straße", "<S>", "1", "23", "456", ".", ",", "!", "'s", "'", "n't", "-", "_", "世", "界", "世界", "я", "Привет", "😀", "👩‍👩‍👧", "\ufeff", "\u0085", "\u00a0", "\u200d", "\u3000",
         "I", "x", "th", "e", "s", "\u0130", "Σ", "ﬁ", "½", "①", "\x00", "\x07", "¿", "«", "₿", "٣", "한국", "ก็", "हिन्दी", "Ġ", "▁", "##", "</w>", "<0x41>", "<unk>", "\u2028", "\r\n", "𝒳", "𐐀"]


def random_texts(count, seed):
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        length = draw.choice([1, 2, 3, 5, 8, 13, 21])
        pick = lambda: draw.choice(WORDS) if draw.random() < 0.85 else chr(draw.choice([draw.randrange(32, 0x250), draw.randrange(0x250, 0xD800), draw.randrange(0x1F300, 0x1F700)]))
        texts.append("".join(pick() for _ in range(length)))
    return texts


def results(file, texts):
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    found = []
    for text in texts:
        ids = tokenizer.encode(text).ids
        bare = tokenizer.encode(text, add_special_tokens=False).ids
        # BPEDecoder of no tokens is an overflow there.
        decode = lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip) if ids else ""
        found.append([bare, ids if ids != bare else 0, decode(ids, False), decode(ids, True)])
    return found


def digest(found):
    return hashlib.sha256(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()[:8]


def main():
    if sys.argv[1:2] == ["--fuzz"]:
        count, seed, path = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        golden = json.loads((HERE / "tokenizer_pipeline.json").read_text())
        texts = random_texts(count, seed)
        all_cases = {name: results(file_of(case, golden["models"]), texts) for name, case in golden["cases"].items()}
        Path(path).write_text(json.dumps(dict(texts=texts, cases=all_cases)))
        return
    models_ = vocabularies()
    more = [*FIRST[WHOLE:], *random_texts(210 - len(FIRST), 7)]
    found = {}
    for name, case in cases().items():
        file = file_of(case, models_)
        rest = results(file, more)
        # Equal texts are not written down: 0 for what is the text before it.
        first = [[ids, all_ids, 0 if text == given else text, 0 if skipped == text else skipped]
                 for given, (ids, all_ids, text, skipped) in zip(FIRST, results(file, FIRST[:WHOLE]))]
        found[name] = dict(case, first=first, rest=[digest(rest[i : i + 10]) for i in range(0, len(rest), 10)])
    golden = dict(models=models_, tokens=TOKENS, first=FIRST[:WHOLE], more=more, cases=found)
    (HERE / "tokenizer_pipeline.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


main()
