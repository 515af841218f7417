import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { readTokenizer } from "./read.ts";
import { readSentencePiece } from "./sentencepiece-folder.ts";
import type { Tokenizer } from "./tokenizer.ts";

type Row = readonly [readonly number[], readonly number[] | 0, string | 0, string | 0];

interface Case {
  readonly name: string;
  /** A case of tokenizer_pipeline.json, whose tokenizer.json the folder has; without it, tokenizer.model. */
  readonly case?: string;
  readonly config: object;
  readonly size: number;
  readonly bos: number | null;
  readonly eos: number | null;
  readonly rows: readonly Row[];
}

const file = (name: string) => readFile(new URL(`../../../test/golden/formats/${name}`, import.meta.url));
const model = new Uint8Array(await file("tokenizer.model"));
const pipeline = JSON.parse(String(await file("tokenizer_pipeline.json")));
/** What transformers' AutoTokenizer does; see test/golden/tokenizer_folders.py. */
const golden: { texts: string[]; cases: Case[] } = JSON.parse(String(await file("tokenizer_folders.json")));

function tokenizerOf(given: Case): Tokenizer {
  const config = JSON.stringify(given.config);
  if (given.case === undefined) return readSentencePiece({ model, config }, "m/tokenizer.model");
  const { model: name, changes, tokens, first: _, rest: __, ...parts } = pipeline.cases[given.case];
  const json = {
    ...parts,
    added_tokens: pipeline.tokens[tokens],
    model: { ...pipeline.models[name], ...changes },
  };
  return readTokenizer({ tokenizer: JSON.stringify(json), config });
}

test.each(golden.cases.map((given) => [given.name, given] as const))("%s", (_, given) => {
  const tokenizer = tokenizerOf(given);
  expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId]).toEqual([given.size, given.bos, given.eos]);
  for (const [i, text] of golden.texts.entries()) {
    const [bare, all, decoded, skipped] = given.rows[i]!;
    const ids = all === 0 ? bare : all;
    expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(bare);
    expect([...tokenizer.encode(text, { addSpecial: true })], JSON.stringify(text)).toEqual(ids);
    const whole = decoded === 0 ? text : decoded;
    expect(tokenizer.decode(ids)).toBe(whole);
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(skipped === 0 ? whole : skipped);
    const stream = tokenizer.stream();
    expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(whole);
  }
});

test("a key that cannot be obeyed is refused by its name", () => {
  const refused = (config: object) => () =>
    readSentencePiece({ model, config: JSON.stringify(config) }, "m/tokenizer.model");
  expect(refused({ tokenizer_class: "GemmaTokenizer" })).toThrow(/has tokenizer_class "GemmaTokenizer"/);
  expect(refused({ sp_model_kwargs: { alpha: 0.1 } })).toThrow(/has sp_model_kwargs {"alpha":0.1}/);
  expect(refused({ legacy: "no" })).toThrow(/m\/tokenizer_config.json: legacy/);
  expect(refused({ added_tokens_decoder: { 3: { content: "<x>" } } })).toThrow(
    /"<x>" has the id 3, where it would be 400/,
  );
});
