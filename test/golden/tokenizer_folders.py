"""Makes test/golden/formats/tokenizer_folders.json: python test/golden/tokenizer_folders.py

Needs transformers 5.18, sentencepiece and protobuf. Folders with tokenizer.model (that of sentencepiece_model.py) or a tokenizer.json
(of tokenizer_pipeline.json) and keys of tokenizer_config.json, with the ids and texts of AutoTokenizer. The file is committed; the
tests do not run this.
"""

import json
import shutil
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

HERE = Path(__file__).parent / "formats"
PIPELINE = json.loads((HERE / "tokenizer_pipeline.json").read_text())
SIZE = json.loads((HERE / "sentencepiece.json").read_text())["size"]
TEXTS = [*PIPELINE["first"], "<s>the</s>dog", "the <|user|>\n dog<|im_end|>  the", "xthe|dog dogs", "<pad>a <extra>b  <extra> c", *PIPELINE["more"][:8]]


def token(content, **flags):
    return dict(dict(content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True), **flags)


LLAMA = dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, bos_token="<s>", eos_token="</s>", unk_token="<unk>", legacy=False)
ADDED = {"0": token("<unk>"), "1": token("<s>"), "2": token("</s>"), str(SIZE): token("<|im_start|>", special=False),
         str(SIZE + 1): token("<|im_end|>", lstrip=True), str(SIZE + 2): token("<|user|>", rstrip=True), str(SIZE + 3): token("dog", single_word=True, special=False),
         str(SIZE + 4): token("dogs", normalized=True, special=False)}
FAST = dict(tokenizer_class="PreTrainedTokenizerFast")
MODEL = {
    "plain": LLAMA,
    "legacy": dict(LLAMA, legacy=True),
    "legacy not said": {key: value for key, value in LLAMA.items() if key != "legacy"},
    "added": dict(LLAMA, added_tokens_decoder=ADDED),
    "added, legacy": dict(LLAMA, added_tokens_decoder=ADDED, legacy=True),
    "no prefix": dict(LLAMA, add_prefix_space=False, added_tokens_decoder=ADDED),
    "no prefix, legacy": dict(LLAMA, add_prefix_space=False, legacy=True, added_tokens_decoder=ADDED),
    "prefix null": dict(LLAMA, add_prefix_space=None),
    "eos, no bos": dict(LLAMA, add_bos_token=False, add_eos_token=True),
    "bos not said": {key: value for key, value in LLAMA.items() if not key.startswith("add_")},
    "bos null": dict(LLAMA, bos_token=None, added_tokens_decoder=ADDED),
    "other eos": dict(LLAMA, add_eos_token=True, eos_token="<|im_end|>", pad_token="<pad>", added_tokens_decoder=ADDED),
    "tokens as objects": dict(LLAMA, bos_token=dict(token("<s>"), __type="AddedToken"), eos_token=dict(token("</s>", rstrip=True), __type="AddedToken")),
    "additional": dict(LLAMA, additional_special_tokens=["<extra>", "<|user|>"], pad_token="<pad>"),
    "split special": dict(LLAMA, split_special_tokens=True, added_tokens_decoder=ADDED),
    "clean up": dict(LLAMA, clean_up_tokenization_spaces=True, spaces_between_special_tokens=True, use_default_system_prompt=False, sp_model_kwargs={}),
    "clean up for BPE": dict(LLAMA, clean_up_tokenization_spaces=True, clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=True),
}
JSON = {
    "as it is": ("added plain, byte level", FAST),
    "bos beside a file": ("added plain, byte level", dict(FAST, add_bos_token=True, bos_token="<|im_start|>", add_prefix_space=True)),
    "tokens beside a file": ("added plain, byte level", dict(FAST, bos_token="<s>", pad_token="<pad>", extra_special_tokens=["<extra>"], image_token="<|user|>")),
    "decoder beside a file": ("added plain, byte level", dict(FAST, eos_token="<|im_end|>", added_tokens_decoder={"363": token("dog", single_word=True, special=False), "364": token("<|user|>", rstrip=True)})),
    "split special beside a file": ("added plain, byte level", dict(FAST, split_special_tokens=True)),
    "clean up beside WordPiece": ("Bert cased", dict(FAST, clean_up_tokenization_spaces=True, unk_token="[UNK]")),
    "clean up beside Unigram": ("Unigram, bytes", dict(FAST, clean_up_tokenization_spaces=True, add_eos_token=True, eos_token="</s>")),
    "clean up beside BPE": ("added plain, llama", dict(FAST, clean_up_tokenization_spaces=True)),
}


def results(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in TEXTS:
        ids, bare = tokenizer(text)["input_ids"], tokenizer(text, add_special_tokens=False)["input_ids"]
        decoded, skipped = tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)
        rows.append([bare, ids if ids != bare else 0, decoded if decoded != text else 0, skipped if skipped != decoded else 0])
    return dict(size=len(tokenizer), bos=tokenizer.bos_token_id, eos=tokenizer.eos_token_id, rows=rows)


def main():
    cases = []
    for name, config in MODEL.items():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(HERE / "tokenizer.model", folder)
            Path(folder, "config.json").write_text('{"model_type": "llama"}')
            Path(folder, "tokenizer_config.json").write_text(json.dumps(config))
            cases.append(dict(name=name, config=config, **results(folder)))
    for name, (case, config) in JSON.items():
        parts = dict(PIPELINE["cases"][case])
        parts = {key: value for key, value in parts.items() if key not in ("first", "rest")}
        model = dict(PIPELINE["models"][parts.pop("model")], **parts.pop("changes"))
        file = dict(version="1.0", truncation=None, padding=None, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None)
        file |= dict(parts, added_tokens=PIPELINE["tokens"][parts["tokens"]], model=model)
        file.pop("tokens")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text('{"model_type": "mixtral"}')
            Path(folder, "tokenizer.json").write_text(json.dumps(file))
            Path(folder, "tokenizer_config.json").write_text(json.dumps(config))
            cases.append(dict(name=name, case=case, config=config, **results(folder)))
    golden = dict(texts=TEXTS, cases=cases)
    (HERE / "tokenizer_folders.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


main()
