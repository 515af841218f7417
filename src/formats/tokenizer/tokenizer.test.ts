import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { readable } from "./byte-level.ts";
import { tokenizerFiles } from "./hugging-face.ts";
import { readPipeline } from "./pipeline/read.ts";
import { readTokenizer } from "./read.ts";
import { splitWords } from "./split.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { trainBpe } from "./train.ts";

interface Sample {
  text: string;
  ids: number[];
  special: number[];
  decoded: string;
  skipped: string;
}

interface Golden {
  tokenizer: { model: { merges: [string, string][]; vocab: Record<string, number> } };
  samples: Sample[];
}

const folder = new URL("../../../test/golden/formats/", import.meta.url);
const golden = async (name: string): Promise<Golden> =>
  JSON.parse(await readFile(new URL(name, folder), "utf8"));
const trainingText = await readFile(new URL("training.txt", folder), "utf8");

function check(tokenizer: Tokenizer, samples: readonly Sample[]): void {
  for (const { text, ids, special, decoded, skipped } of samples) {
    expect([...tokenizer.encode(text)], text).toEqual(ids);
    expect([...tokenizer.encode(text, { addSpecial: true })], text).toEqual(special);
    expect(tokenizer.decode(ids)).toBe(decoded);
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(skipped);
    const stream = tokenizer.stream();
    expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(decoded);
  }
}

const train = () => trainBpe([trainingText], { vocabSize: 480 });

test("training learns the merges that Hugging Face's trainer learns, in the same order, ties and all", async () => {
  const { tokenizer } = await golden("bpe.json");
  const { model } = JSON.parse(tokenizerFiles(train()).tokenizer);
  expect(model.merges.length).toBe(480 - 257);
  expect(model.merges).toEqual(tokenizer.model.merges.map((pair) => pair.join(" ")));
  expect(model.vocab).toEqual(tokenizer.model.vocab);
});

test("what training writes encodes and decodes as Hugging Face's tokenizers does", async () => {
  const { samples } = await golden("bpe.json");
  const tokenizer = readTokenizer(tokenizerFiles(train()));
  check(tokenizer, samples);
  expect(tokenizer.vocabSize).toBe(480);
  expect([tokenizer.bosId, tokenizer.eosId]).toEqual([0, 0]);
});

test.each(["bpe.json", "gpt2-style.json", "sentencepiece-style.json"])(
  "reads %s as its own library does",
  async (name) => {
    const { tokenizer, samples } = await golden(name);
    check(readTokenizer({ tokenizer: JSON.stringify(tokenizer), config: "{}" }), samples);
  },
);

test("the fast encoder and the pipeline agree", () => {
  const files = tokenizerFiles(train());
  const pipeline = readPipeline(JSON.parse(files.tokenizer), {}, "tokenizer.json");
  const fast = readTokenizer(files);
  expect([...fast.encode(trainingText)]).toEqual([...pipeline.encode(trainingText)]);
  for (let id = 0; id < fast.vocabSize; id++) expect(pipeline.bytes(id)).toEqual(fast.bytes(id));
});

test("words joined are the text, and a long word takes no long time", () => {
  for (const text of [trainingText, " \u0085 \ufeffx\r\n\n 1234 don't", "\ud800 lone"])
    expect(splitWords(text).join("")).toBe(text);
  const tokenizer = readTokenizer(tokenizerFiles(train()));
  const started = performance.now();
  expect(tokenizer.decode(tokenizer.encode("the".repeat(50_000)))).toBe("the".repeat(50_000));
  expect(performance.now() - started).toBeLessThan(3000); // steps that grow with the square would take minutes
});

test("training stops where no pair occurs twice, and needs room for the bytes", () => {
  expect(trainBpe(["abc"], { vocabSize: 400 }).merges).toEqual([]);
  // Sennrich et al. 2016, algorithm 1, in bytes: "low" 5, "lower" 2, "newest" 6, "widest" 3 merge es, est, lo, low first.
  const words = [
    ..."low ".repeat(5).split(" "),
    ..."lower ".repeat(2).split(" "),
    ..."newest ".repeat(6).split(" "),
    ..."widest ".repeat(3).split(" "),
  ];
  const { vocab } = JSON.parse(tokenizerFiles(trainBpe(words, { vocabSize: 257 + 4 })).tokenizer).model;
  expect(["es", "est", "lo", "low"].map((piece) => vocab[piece])).toEqual([257, 258, 259, 260]);
  expect(() => trainBpe(["x"], { vocabSize: 256 })).toThrow(/from 257/);
  expect(() => trainBpe([], { vocabSize: 300 })).toThrow(/no text/);
});

test("tokens are shown readably", () => {
  expect(readable(Uint8Array.of(0x20, 0x61, 0x0a, 0xe2, 0x82, 0xac, 0xe2, 0x82))).toBe(" a\\n€<0xE2><0x82>");
  expect(readable(Uint8Array.of(0x82, 0xc0, 0x80, 0x07, 0xed, 0xa0, 0x80))).toBe(
    "<0x82><0xC0><0x80><0x07><0xED><0xA0><0x80>",
  );
  expect(readable(new TextEncoder().encode("\u009b31m\u00a1"))).toBe("<0xC2><0x9B>31m¡");
});

test("a stream holds a character back until it is whole", () => {
  const tokenizer = readTokenizer(tokenizerFiles(trainBpe(["abc"], { vocabSize: 257 })));
  const stream = tokenizer.stream();
  const pushed = [...tokenizer.encode("€x")].map((id) => stream.push(id));
  expect(pushed).toEqual(["", "", "€", "x"]);
  stream.push(tokenizer.encode("€")[0]!);
  expect(stream.end()).toBe("\ufffd");
});

test("what is no tokenizer is refused with its name", () => {
  const refused = (tokenizer: string) => () => readTokenizer({ tokenizer, config: "{}" }, "m/tokenizer.json");
  expect(refused("{")).toThrow(/m\/tokenizer.json: line 1/);
  expect(refused('{"a":1}')).toThrow(/no field "model"/);
  expect(refused('{"model":{"type":"BPE"}}')).toThrow(expect.objectContaining({ code: "tokenizer" }));
  const broken = JSON.parse(tokenizerFiles(train()).tokenizer);
  broken.model.merges.push("zz qq");
  expect(refused(JSON.stringify(broken))).toThrow(/needs the token "zz", which is missing/);
  expect(readTokenizer(tokenizerFiles(train())).decode([480, 9999])).toBe("");
});
