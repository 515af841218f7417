import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { readSentencePiece, type SentencePieceFiles } from "./sentencepiece-folder.ts";
import type { Tokenizer } from "./tokenizer.ts";

const file = (name: string) => readFile(new URL(`../../../test/golden/formats/${name}`, import.meta.url));
const model = new Uint8Array(await file("tokenizer.model"));
/** SentencePiece's own; see test/golden/sentencepiece_model.py. */
const golden: { samples: string[]; ids: number[][]; bos: number; eos: number; size: number } = JSON.parse(
  String(await file("sentencepiece.json")),
);

const read = (files: Partial<SentencePieceFiles> = {}): Tokenizer =>
  readSentencePiece({ model, ...files }, "tokenizer.model");

test("ids are SentencePiece's", () => {
  const tokenizer = read();
  expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId]).toEqual([
    golden.size,
    golden.bos,
    golden.eos,
  ]);
  for (const [i, text] of golden.samples.entries())
    expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(golden.ids[i]);
  expect([...tokenizer.encode("a", { addSpecial: true })][0]).toBe(golden.bos);
});

test("tokens beside the vocabulary, and what begins and ends a text, are as tokenizer_config.json says", () => {
  const { size } = golden;
  const config = JSON.stringify({
    add_bos_token: false,
    add_eos_token: true,
    eos_token: { content: "<|im_end|>" },
    added_tokens_decoder: {
      1: { content: "<s>", special: true },
      [size]: { content: "<|im_start|>", special: true },
      [size + 1]: { content: "<|im_end|>", special: true },
    },
  });
  const added = JSON.stringify({ "<|im_end|>": size + 1 });
  const tokenizer = read({ config, added });
  expect(tokenizer.vocabSize).toBe(size + 2);
  const ids = [...tokenizer.encode("<|im_start|>", { addSpecial: true })];
  expect(ids).toEqual([size, size + 1]);
  expect(tokenizer.endIds).toContain(size + 1);
  const nowhere = JSON.stringify({ added_tokens_decoder: { first: { content: "<x>" } } });
  expect(() => read({ config: nowhere })).toThrow('the added token "<x>" has the id NaN');
  const gap = JSON.stringify({ "<x>": size + 5 });
  expect(() => read({ added: gap })).toThrow(
    `the added token "<x>" has the id ${size + 5}, where it would be ${size}`,
  );
});

test("a file that is cut off or damaged is an error of its own, wherever it ends", () => {
  const cuts = Array.from({ length: 60 }, (_, i) => Math.floor((i * model.length) / 60));
  for (const at of cuts) {
    const broken = model.slice();
    broken[at] = broken[at]! ^ 0xff;
    for (const bytes of [model.slice(0, at), broken])
      try {
        read({ model: bytes });
      } catch (error) {
        expect((error as { code?: string }).code, `at ${at}: ${error}`).toBe("tokenizer");
      }
  }
  expect(() => read({ model: new Uint8Array(0) })).toThrow("holds no pieces");
  // How Llama 3's original/tokenizer.model begins.
  const tiktoken = new TextEncoder().encode("IQ== 0\nIg== 1\nIw== 2\n");
  expect(() => read({ model: tiktoken })).toThrow("is a list of tiktoken's, not a SentencePiece model");
  expect(() => read({ model: new Uint8Array(2 ** 26) })).toThrow("it has 67108864 bytes");
});

test("a byte order mark is a piece like any other", () => {
  const mark = "\ufeff";
  const bytes = new TextEncoder().encode(mark);
  const tokenizer = read({
    model: Uint8Array.from([...model, 0x0a, 2 + bytes.length, 0x0a, bytes.length, ...bytes]),
  });
  expect([...tokenizer.encode(`a${mark}`)].at(-1)).toBe(golden.size);
});

test("what Llama's vocabularies do not do is refused by name", () => {
  // Fields of a model: 1 pieces, 2 trainer { 3 model type }, 3 normaliser { 4 remove spaces }; none said is a unigram vocabulary.
  const piece = [0x0a, 3, 0x0a, 1, 97];
  expect(() => read({ model: Uint8Array.from(piece) })).toThrow("the vocabulary is no BPE");
  const bpe = [...piece, 0x12, 2, 0x18, 2];
  expect(() => read({ model: Uint8Array.from(bpe) })).toThrow("the vocabulary removes spaces");
});
