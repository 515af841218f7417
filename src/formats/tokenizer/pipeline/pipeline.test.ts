import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { readTokenizer } from "../read.ts";
import type { Tokenizer } from "../tokenizer.ts";

/** Ids without and with special tokens (0: the same), the text of the latter (0: the text given), and without special ones (0: the same). */
type Row = readonly [readonly number[], readonly number[] | 0, string | 0, string | 0];

interface Case {
  readonly model: string;
  readonly changes: object;
  readonly tokens: string;
  readonly first: readonly Row[];
  readonly rest: readonly string[];
}

/** Results of the Rust library; see test/golden/tokenizer_pipeline.py. */
const golden: {
  models: Record<string, object>;
  tokens: Record<string, object[]>;
  first: string[];
  more: string[];
  cases: Record<string, Case>;
} = JSON.parse(
  await readFile(new URL("../../../../test/golden/formats/tokenizer_pipeline.json", import.meta.url), "utf8"),
);

const read = new Map<Case, Tokenizer>();

function tokenizerOf(given: Case): Tokenizer {
  const known = read.get(given) ?? newTokenizer(given);
  read.set(given, known);
  return known;
}

function newTokenizer({ model, changes, tokens, first: _, rest: __, ...parts }: Case): Tokenizer {
  const json = {
    ...parts,
    added_tokens: golden.tokens[tokens],
    model: { ...golden.models[model], ...changes },
  };
  return readTokenizer({ tokenizer: JSON.stringify(json), config: "{}" });
}

/** What the library was asked for; the stream's text must be the decoded text. */
function resultsOf(tokenizer: Tokenizer, text: string): [number[], number[] | 0, string, string] {
  const bare = [...tokenizer.encode(text)];
  const ids = [...tokenizer.encode(text, { addSpecial: true })];
  const decoded = tokenizer.decode(ids);
  const stream = tokenizer.stream();
  expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(decoded);
  const same = ids.length === bare.length && ids.every((id, i) => id === bare[i]);
  return [bare, same ? 0 : ids, decoded, tokenizer.decode(ids, { skipSpecial: true })];
}

describe("ids and texts are the Rust library's", () => {
  test.each(Object.entries(golden.cases))("%s", (_, given) => {
    const tokenizer = tokenizerOf(given);
    for (const [i, text] of golden.first.entries()) {
      const [ids, all, decoded, skipped] = resultsOf(tokenizer, text);
      const row = [ids, all, decoded === text ? 0 : decoded, skipped === decoded ? 0 : skipped];
      expect(row, JSON.stringify(text)).toEqual(given.first[i]);
    }
    for (const [i, hash] of given.rest.entries()) {
      const texts = golden.more.slice(10 * i, 10 * i + 10);
      const found = JSON.stringify(texts.map((text) => resultsOf(tokenizer, text)));
      expect(createHash("sha256").update(found).digest("hex").slice(0, 8), JSON.stringify(texts)).toBe(hash);
    }
  });
});

test("an id beyond the vocabulary is empty text, whatever the decoder", () => {
  for (const [name, given] of Object.entries(golden.cases)) {
    const tokenizer = tokenizerOf(given);
    const ids = [...tokenizer.encode("the dog's dogs")];
    const padded = ids.flatMap((id) => [tokenizer.vocabSize, id, 99_999]);
    expect(tokenizer.decode(padded), name).toBe(tokenizer.decode(ids));
    const stream = tokenizer.stream();
    expect(padded.map((id) => stream.push(id)).join("") + stream.end()).toBe(tokenizer.decode(ids));
  }
});

test("half of a pair of code units is U+FFFD", () => {
  for (const given of Object.values(golden.cases)) {
    const tokenizer = tokenizerOf(given);
    expect([...tokenizer.encode("a\ud800b \udc00")]).toEqual([...tokenizer.encode("a\ufffdb \ufffd")]);
  }
});

test("a long text takes no long time", () => {
  const text = "the dog's  naïve 世界 <l> x".repeat(4000);
  for (const name of ["added strip, llama", "Unigram", "Bert", "WordLevel"]) {
    const tokenizer = tokenizerOf(golden.cases[name]!);
    const started = performance.now();
    tokenizer.decode(tokenizer.encode(text));
    expect(performance.now() - started, name).toBeLessThan(5000); // steps that grow with the square would take minutes
  }
});

test("what is not done here is refused with its key", () => {
  const base = { model: golden.models.byte, added_tokens: [] };
  const refused = (parts: object) => () =>
    readTokenizer({ tokenizer: JSON.stringify({ ...base, ...parts }), config: "{}" }, "m/tokenizer.json");
  expect(refused({ normalizer: { type: "Lowercase2" } })).toThrow(
    /m\/tokenizer.json.normalizer.type is "Lowercase2"/,
  );
  expect(refused({ pre_tokenizer: { type: "UnicodeScripts" } })).toThrow(
    /pre_tokenizer.type is "UnicodeScripts"/,
  );
  expect(refused({ model: { ...golden.models.byte, dropout: 0.1 } })).toThrow(/model.dropout is 0.1/);
  expect(refused({ decoder: { type: "Strip", content: "a" } })).toThrow(/decoder has no value for "start"/);
  expect(
    refused({
      pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated", invert: false },
    }),
  ).toThrow(expect.objectContaining({ code: "tokenizer" }));
});
