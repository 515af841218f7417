"""Makes test/golden/formats/tokenizer.model and sentencepiece.json: python test/golden/sentencepiece_model.py

Needs sentencepiece. A small vocabulary made as Llama's was (BPE, byte fallback, texts as they are), with SentencePiece's own ids of
some texts. The files are committed; the tests do not run this.
"""

import json
from pathlib import Path

import sentencepiece

HERE = Path(__file__).parent / "formats"
SETTINGS = dict(
    input=str(HERE / "training.txt"), vocab_size=400, model_type="bpe", byte_fallback=True, hard_vocab_limit=False,
    normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, max_sentence_length=100_000,
    character_coverage=0.99,
)
sentencepiece.SentencePieceTrainer.train(model_prefix=str(HERE / "tokenizer"), **SETTINGS)
(HERE / "tokenizer.vocab").unlink()
processor = sentencepiece.SentencePieceProcessor(model_file=str(HERE / "tokenizer.model"))
# "<s>" and the like are left out: SentencePiece spells them, while a prompt's are meant.
samples = [text for text in json.loads((HERE / "vocabularies.json").read_text())["samples"] if "<s>" not in text]
golden = {
    "samples": samples,
    "ids": processor.encode(samples),
    "bos": processor.bos_id(), "eos": processor.eos_id(), "size": processor.vocab_size(),
}
(HERE / "sentencepiece.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
