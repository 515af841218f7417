import { SplitPreTokenizer } from "@huggingface/tokenizers";
import { ConclaveError, fail } from "../../errors.ts";
import { parseJson } from "../json.ts";
import { ByteBpeTokenizer } from "./byte-bpe.ts";
import { surfaceToBytes } from "./byte-level.ts";
import { endIdsOf } from "./ends.ts";
import {
  type ByteBpeJson,
  byteBpeSchema,
  configSchema,
  type TokenizerConfigJson,
  type TokenizerFiles,
} from "./hugging-face.ts";
import { LibraryTokenizer } from "./library.ts";
import { MergeTable } from "./merge.ts";
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
  const configName = name.replace(/tokenizer\.json$/, "tokenizer_config.json");
  const config = configSchema.safeParse(parseJson(files.config, configName));
  if (!config.success) return fail("tokenizer", `${configName}: ${config.error.issues[0]?.message}`);
  if (typeof json !== "object" || json === null || !("model" in json)) {
    fail(
      "tokenizer",
      `${name} holds no tokenizer: it has no field "model"`,
      "fetch the tokenizer.json that the model was published with",
    );
  }
  const own = byteBpeSchema.safeParse(json);
  const splitter = own.success ? splitterOf(own.data) : undefined;
  if (own.success && splitter) return byteBpe(own.data, config.data, splitter, name);
  return throughLibrary(json as object, config.data, name);
}

type Splitter = (text: string) => string[];

const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** How a pre-tokenizer cuts text; undefined where it is not a chain of splits that ends in byte level. */
function splitterOf({ pre_tokenizer }: ByteBpeJson): Splitter | undefined {
  const steps = pre_tokenizer.type === "Sequence" ? pre_tokenizer.pretokenizers : [pre_tokenizer];
  const patterns: string[] = [];
  for (const [i, step] of steps.entries()) {
    if (step.type === "Split") patterns.push(step.pattern.Regex);
    else if (i + 1 < steps.length) return undefined;
    else if (step.use_regex !== false) patterns.push(gpt2Pattern);
  }
  if (steps.at(-1)?.type !== "ByteLevel") return undefined;
  const splitters = patterns.map(splitterFor);
  if (splitters.length === 1) return splitters[0];
  return (text) => splitters.reduce((words, cut) => words.flatMap(cut), [text]);
}

function splitterFor(pattern: string): Splitter {
  if (pattern === splitPattern) return splitWords;
  // The library rewrites Oniguruma syntax to what JavaScript knows.
  const split = new SplitPreTokenizer({
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  });
  return (text) => split.pre_tokenize_text(text);
}

function byteBpe(json: ByteBpeJson, config: TokenizerConfigJson, split: Splitter, name: string): Tokenizer {
  const damaged = (what: string): never =>
    fail("tokenizer", `${name}: ${what}`, "fetch the tokenizer.json that the model was published with");
  const ids = new Map(Object.entries(json.model.vocab));
  const added = new Map(json.added_tokens.map(({ content, id }) => [content, id]));
  const encoder = new TextEncoder();
  const bytesOf: Uint8Array[] = [];
  for (const [surface, id] of ids) {
    if (bytesOf[id]) damaged(`the id ${id} stands for two tokens`);
    bytesOf[id] = surfaceToBytes(surface) ?? encoder.encode(surface);
  }
  for (const [content, id] of added) bytesOf[id] = encoder.encode(content);
  const vocabSize = bytesOf.length;
  if (vocabSize > 2 ** 24) damaged(`ids up to ${vocabSize - 1} are too large`);
  for (let id = 0; id < vocabSize; id++) bytesOf[id] ??= new Uint8Array(0); // some vocabularies leave ids unused
  const singles = new Set(bytesOf.filter((bytes) => bytes.length === 1).map((bytes) => bytes[0]));
  if (singles.size < 256) damaged(`only ${singles.size} of the 256 bytes have a token`);

  const idOf = (surface: string): number =>
    ids.get(surface) ?? damaged(`a merge needs the token ${surface}, which is missing`);
  const merges = new Int32Array(3 * json.model.merges.length);
  for (const [rank, merge] of json.model.merges.entries()) {
    const [left, right, ...rest] = typeof merge === "string" ? merge.split(" ") : merge;
    if (left === undefined || right === undefined || rest.length > 0)
      return damaged(`the merge ${JSON.stringify(merge)} is no pair`);
    merges.set([idOf(left), idOf(right), idOf(left + right)], 3 * rank);
  }
  return new ByteBpeTokenizer({
    bytesOf,
    merges: new MergeTable(merges),
    splitWords: split,
    added,
    special: new Set(json.added_tokens.filter((token) => token.special).map((token) => token.id)),
    wholeWords: json.model.ignore_merges ? ids : null,
    around: aroundText(json),
    ...endsOf(
      config,
      (content) => added.get(content) ?? ids.get(content),
      (content) => added.get(content),
    ),
  });
}

/** The ids a template puts before and after a text. */
function aroundText({ post_processor }: ByteBpeJson): { before: number[]; after: number[] } {
  const processors = post_processor?.type === "Sequence" ? post_processor.processors : [post_processor];
  const around = { before: [] as number[], after: [] as number[] };
  for (const processor of processors) {
    if (processor?.type !== "TemplateProcessing") continue;
    let side: "before" | "after" = "before";
    for (const part of processor.single) {
      if ("Sequence" in part) side = "after";
      else around[side].push(...(processor.special_tokens[part.SpecialToken.id]?.ids ?? []));
    }
  }
  return around;
}

function endsOf(
  config: TokenizerConfigJson,
  idOf: (content: string) => number | undefined,
  addedId: (content: string) => number | undefined,
) {
  const find = (token: TokenizerConfigJson["bos_token"]): number | null => {
    const content = typeof token === "object" ? token?.content : token;
    return (content === undefined ? undefined : idOf(content)) ?? null;
  };
  const eosId = find(config.eos_token);
  return { bosId: find(config.bos_token), eosId, endIds: endIdsOf([eosId], addedId) };
}

function throughLibrary(json: object, config: TokenizerConfigJson, name: string): Tokenizer {
  // The library wants every section to be there, if only as null.
  const whole = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...json,
  };
  const vocab = new Map<string, number>();
  const added = new Map<string, number>();
  try {
    const { model, added_tokens } = whole as unknown as {
      model: { vocab: unknown };
      added_tokens: { content: string; id: number }[];
    };
    const entries = Array.isArray(model.vocab)
      ? model.vocab.map(([surface]: [string], id: number) => [surface, id] as const)
      : Object.entries(model.vocab as Record<string, number>);
    for (const [surface, id] of entries) vocab.set(surface, id);
    for (const { content, id } of added_tokens) {
      vocab.set(content, id);
      added.set(content, id);
    }
  } catch (error) {
    throw new ConclaveError("tokenizer", `${name}: its vocabulary is not of the format`, {
      remedy: "fetch the tokenizer.json that the model was published with",
      cause: error,
    });
  }
  return new LibraryTokenizer(whole, config, {
    name,
    ...endsOf(
      config,
      (content) => vocab.get(content),
      (content) => added.get(content),
    ),
    cleanUpSpaces: config.clean_up_tokenization_spaces === true,
    byteLevel: JSON.stringify(whole.decoder)?.includes('"ByteLevel"') ?? false,
  });
}
