import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { readGgufTokenizer } from "./gguf.ts";
import { cutWords, preTokenizer, preTokenizerNames } from "./pre-tokenizers.ts";

interface Vocabulary {
  readonly tokens: string[];
  readonly types: number[];
  readonly ids: Record<string, number[][]>;
}

/** Vocabularies with llama.cpp's ids of each sample; see test/golden/vocabularies.py. */
const golden: {
  samples: string[];
  byteLevel: Vocabulary & { merges: string[] };
  sentencePiece: Vocabulary & { scores: number[] };
} = JSON.parse(
  await readFile(new URL("../../../test/golden/formats/vocabularies.json", import.meta.url), "utf8"),
);

function metadata(model: string, { tokens, types }: Vocabulary, more: Record<string, unknown>) {
  const keys = {
    model,
    tokens,
    token_type: Int32Array.from(types),
    bos_token_id: tokens.indexOf("<s>"),
    ...more,
  };
  return new Map<string, unknown>(
    Object.entries({ ...keys, eos_token_id: tokens.indexOf("</s>") }).map(([key, value]) => [
      `tokenizer.ggml.${key}`,
      value,
    ]),
  );
}

const byteLevel = (pre: string, more: Record<string, unknown> = {}) =>
  metadata("gpt2", golden.byteLevel, { pre, merges: golden.byteLevel.merges, ...more });
const sentencePiece = (more: Record<string, unknown> = {}) =>
  metadata("llama", golden.sentencePiece, {
    scores: Float32Array.from(golden.sentencePiece.scores),
    ...more,
  });

describe("ids are llama.cpp's", () => {
  test.each(Object.entries(golden.byteLevel.ids))("byte-level BPE, cut as %s", (pre, expected) => {
    const tokenizer = readGgufTokenizer(byteLevel(pre));
    for (const [i, text] of golden.samples.entries()) {
      expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(expected[i]);
      expect(tokenizer.decode(expected[i]!)).toBe(text);
    }
  });

  test.each(Object.entries(golden.sentencePiece.ids))("SentencePiece's BPE, %s", (name, expected) => {
    const tokenizer = readGgufTokenizer(sentencePiece(name === "prefix" ? {} : { add_space_prefix: false }));
    for (const [i, text] of golden.samples.entries())
      expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(expected[i]);
  });
});

test("every rule cuts without loss, whatever the text", () => {
  for (const name of preTokenizerNames)
    for (const text of golden.samples) expect(cutWords(text, preTokenizer(name)!.cuts).join("")).toBe(text);
});

test("what begins and ends texts is as the file says, else as its kind of vocabulary has it", () => {
  const { sentencePiece: pieces, byteLevel: bytes } = golden;
  const [bos, eos] = [pieces.tokens.indexOf("<s>"), pieces.tokens.indexOf("</s>")];
  const ids = (map: Map<string, unknown>) => [...readGgufTokenizer(map).encode("the", { addSpecial: true })];
  const the = pieces.ids.prefix![golden.samples.indexOf("<s>")]!; // one id: the text is a token
  expect(the).toEqual([bos]);
  expect(ids(sentencePiece())[0]).toBe(bos);
  expect(ids(sentencePiece({ add_bos_token: false }))[0]).not.toBe(bos);
  expect(ids(sentencePiece({ add_eos_token: true })).at(-1)).toBe(eos);
  expect(ids(byteLevel("llama-bpe"))[0]).toBe(bytes.tokens.indexOf("<s>"));
  expect(ids(byteLevel("qwen2"))[0]).not.toBe(bytes.tokens.indexOf("<s>"));
  expect(readGgufTokenizer(byteLevel("qwen2", { eot_token_id: 9 })).endIds).toEqual([1, 9]);
});

test("text comes back: the space of its own goes, spaces that were there stay, special tokens go when asked", () => {
  const tokenizer = readGgufTokenizer(sentencePiece());
  for (const text of ["the", " the", "naïve 中文 😀 <0x0A>", "  a"]) {
    const ids = [...tokenizer.encode(text, { addSpecial: true })];
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(text);
    expect(tokenizer.decode(ids)).toBe(`<s> ${text}`);
    const stream = tokenizer.stream();
    expect(
      ids
        .slice(1)
        .map((id) => stream.push(id))
        .join("") + stream.end(),
    ).toBe(text);
  }
  const [first] = tokenizer.encode("the");
  expect(tokenizer.stream().push(first!)).toBe("the");
  expect(tokenizer.stream([first!]).push(first!)).toBe(" the"); // it goes on
  expect(tokenizer.stream([tokenizer.bosId!]).push(first!)).toBe("the"); // after a special token a text begins
});

test.each([
  ["llama", sentencePiece()],
  ["gpt2", byteLevel("qwen2")],
])("an id beyond the vocabulary is empty text, %s", (_, map) => {
  const tokenizer = readGgufTokenizer(map);
  const ids = [...tokenizer.encode("the dog")];
  const padded = [9999, ...ids.slice(0, 1), tokenizer.vocabSize, ...ids.slice(1), 9999];
  expect(tokenizer.decode(padded)).toBe(tokenizer.decode(ids));
  const stream = tokenizer.stream();
  expect(padded.map((id) => stream.push(id)).join("") + stream.end()).toBe("the dog");
  expect([tokenizer.token(9999), tokenizer.bytes(9999).length]).toEqual(["", 0]);
});

test("a long text takes no long time", () => {
  const tokenizer = readGgufTokenizer(sentencePiece());
  const text = "thrthought".repeat(20_000);
  const started = performance.now();
  expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  expect(performance.now() - started).toBeLessThan(5000); // steps that grow with the square would take minutes
});

test("what cannot be read is refused with its key", () => {
  const refused = (map: Map<string, unknown>) => () => readGgufTokenizer(map, "m.gguf");
  expect(refused(new Map())).toThrow(/m.gguf: tokenizer.ggml.model is missing/);
  expect(refused(new Map([["tokenizer.ggml.model", "bert"]]))).toThrow(/"bert"/);
  expect(refused(byteLevel("kimi-k2"))).toThrow(/pre is "kimi-k2"/);
  expect(refused(byteLevel("qwen2", { merges: ["Ġ qqq"] }))).toThrow(/merges holds "Ġ qqq"/);
  expect(refused(byteLevel("qwen2", { merges: "x" }))).toThrow(/merges is no list/);
  expect(refused(byteLevel("qwen2", { token_type: [1, 2] }))).toThrow(/token_type has 2 entries for 760/);
  expect(refused(byteLevel("qwen2", { bos_token_id: 760 }))).toThrow(
    /bos_token_id is 760; the ids run from 0 to 759/,
  );
  expect(refused(sentencePiece({ scores: undefined }))).toThrow(/scores is missing/);
  expect(refused(sentencePiece({ add_bos_token: 1 }))).toThrow(/add_bos_token is neither/);
  const tokens = golden.byteLevel.tokens.map((token) => (token === "\u0102" ? "no longer" : token));
  const short = readGgufTokenizer(byteLevel("qwen2", { tokens }));
  expect(() => short.encode("the\u0002")).toThrow(/no token for the byte <0x02>/);
});
