import { fail } from "../../errors.ts";
import { parseJson } from "../json.ts";
import type { AddedToken } from "./added-tokens.ts";
import { ByteBpeTokenizer } from "./byte-bpe.ts";
import { surfaceToBytes } from "./byte-level.ts";
import { foldedConfig, type TokenizerConfigJson } from "./config.ts";
import { endsOf } from "./ends.ts";
import { type ByteBpeJson, byteBpeSchema, type TokenizerFiles } from "./hugging-face.ts";
import { MergeTable } from "./merge.ts";
import { mergesOf } from "./pipeline/bpe.ts";
import { Part } from "./pipeline/part.ts";
import { cut, expressionMatcher, type Matcher, matcherOf } from "./pipeline/pattern.ts";
import { gpt2Expression } from "./pipeline/pre-tokenizers.ts";
import { addedTokensOf, aroundOf, readPipeline } from "./pipeline/read.ts";
import { mostIds } from "./pipeline/vocabulary.ts";
import { splitPattern, splitWords } from "./split.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Reads a tokenizer from the text of its tokenizer.json and tokenizer_config.json. Byte-level BPE (GPT-2, Llama 3, and
 * what Conclave trains) is done here, which is faster; everything else by Hugging Face's library.
 *
 * Errors: file-damaged, where a file is no JSON; tokenizer, where it is no tokenizer.
 *
 * @param name what errors call tokenizer.json, such as its path
 */
export function readTokenizer(files: TokenizerFiles, name = "tokenizer.json"): Tokenizer {
  const json = parseJson(files.tokenizer, name);
  const config = foldedConfig(files, name);
  if (typeof json !== "object" || json === null || !("model" in json)) {
    fail(
      "tokenizer",
      `${name} holds no tokenizer: it has no field "model"`,
      "fetch the tokenizer.json that the model was published with",
    );
  }
  const own = byteBpeSchema.safeParse(json);
  const splitter = own.success ? splitterOf(own.data) : undefined;
  const fast = own.success && splitter ? byteBpe(own.data, config, splitter, name) : undefined;
  return fast ?? readPipeline(json as object, config, name);
}

type Splitter = (text: string) => string[];

/** How a pre-tokenizer cuts text; undefined where it is not a chain of splits that ends in byte level. */
function splitterOf({ pre_tokenizer }: ByteBpeJson): Splitter | undefined {
  const steps = pre_tokenizer.type === "Sequence" ? pre_tokenizer.pretokenizers : [pre_tokenizer];
  const splitters: Splitter[] = [];
  for (const [i, step] of steps.entries()) {
    if (step.type === "Split") splitters.push(splitterFor(step));
    else if (i + 1 < steps.length) return undefined;
    else if (step.use_regex !== false) splitters.push(isolated(expressionMatcher(gpt2Expression)));
  }
  if (steps.at(-1)?.type !== "ByteLevel") return undefined;
  if (splitters.length === 1) return splitters[0];
  return (text) => splitters.reduce((words, cut) => words.flatMap(cut), [text]);
}

function splitterFor(step: { pattern: { Regex: string } }): Splitter {
  if (step.pattern.Regex === splitPattern) return splitWords;
  return isolated(matcherOf(new Part(step, "pre_tokenizer")));
}

function isolated(matches: Matcher): Splitter {
  return (text) => {
    const words: string[] = [];
    const at = cut(text, matches(text), "Isolated", false);
    for (let i = 0; i < at.length; i += 2) words.push(text.slice(at[i], at[i + 1]));
    return words;
  };
}

/** Undefined for what only the pipeline can read: a vocabulary without all bytes. */
function byteBpe(
  json: ByteBpeJson,
  config: TokenizerConfigJson,
  split: Splitter,
  name: string,
): Tokenizer | undefined {
  const root = new Part(json, name);
  const damaged = (what: string): never => fail("tokenizer", `${name}: ${what}`, "fetch the file again");
  const ids = new Map(Object.entries(json.model.vocab));
  const added: ReadonlyMap<number, AddedToken> = addedTokensOf(root, ids, config);
  const encoder = new TextEncoder();
  const bytesOf: Uint8Array[] = [];
  for (const [surface, id] of ids) {
    if (bytesOf[id]) damaged(`the id ${id} stands for two tokens`);
    if (id >= mostIds) damaged(`the id ${id} is too large`);
    bytesOf[id] = surfaceToBytes(surface) ?? encoder.encode(surface);
  }
  const singles = new Set(bytesOf.filter((bytes) => bytes?.length === 1).map((bytes) => bytes[0]));
  if (singles.size < 256) return undefined;
  // As there, the text of an added token is read in the byte alphabet where it is of it.
  for (const [id, { content }] of added) bytesOf[id] = surfaceToBytes(content) ?? encoder.encode(content);
  for (let id = 0; id < bytesOf.length; id++) bytesOf[id] ??= new Uint8Array(0); // some vocabularies leave ids unused
  const addedIds = new Map([...added].map(([id, { content }]) => [content, id]));
  return new ByteBpeTokenizer({
    bytesOf,
    merges: new MergeTable(mergesOf(root.part("model"), ids)),
    splitWords: split,
    vocabulary: ids.values(),
    added,
    splitSpecial: config.split_special_tokens === true,
    wholeWords: json.model.ignore_merges ? ids : null,
    around: root.has("post_processor") ? aroundOf(root.part("post_processor")) : { before: [], after: [] },
    ...endsOf(
      config,
      (content) => addedIds.get(content) ?? ids.get(content),
      (content) => addedIds.get(content),
    ),
  });
}
