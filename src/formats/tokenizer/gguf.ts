import { fail } from "../../errors.ts";
import { GgufArray } from "../gguf/metadata.ts";
import { type AddedToken, plainToken } from "./added-tokens.ts";
import { ByteBpeTokenizer } from "./byte-bpe.ts";
import { surfaceToBytes } from "./byte-level.ts";
import { endIdsOf } from "./ends.ts";
import { MergeTable } from "./merge.ts";
import { cutWords, preTokenizer, preTokenizerNames } from "./pre-tokenizers.ts";
import { pieceKinds, SentencePieceTokenizer } from "./sentencepiece.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The metadata of a GGUF file by key: numbers, booleans, strings, and arrays of them. */
export interface TokenizerMetadata {
  get(key: string): unknown;
  keys(): Iterable<string>;
}

/**
 * Reads the vocabulary of a GGUF file: `tokenizer.ggml.model` "llama" (SentencePiece's BPE with byte fallback) or "gpt2"
 * (byte-level BPE; `tokenizer.ggml.pre` names how text is cut into words). Source of the keys: the GGUF specification;
 * what they mean: llama.cpp, llama-vocab.cpp.
 *
 * Errors: tokenizer, which names the key.
 *
 * @param name what errors call the file
 */
export function readGgufTokenizer(metadata: TokenizerMetadata, name = "the GGUF file"): Tokenizer {
  const keys = new Keys(metadata, name);
  const model =
    keys.string("model") ??
    fail(
      "tokenizer",
      `${name}: tokenizer.ggml.model is missing: the file holds no vocabulary`,
      "give token ids with --ids, or use a file with a vocabulary",
    );
  if (model === "llama") return sentencePiece(keys);
  if (model === "gpt2") return byteLevelBpe(keys);
  return fail(
    "tokenizer",
    `${name}: tokenizer.ggml.model is ${JSON.stringify(model)}; "llama" and "gpt2" can be read`,
    "give token ids with --ids, or use a folder with a tokenizer.json",
  );
}

function sentencePiece(keys: Keys): Tokenizer {
  const pieces = keys.tokens();
  const scores = keys.numbers("scores", pieces.length) ?? keys.fail("scores", "is missing");
  const kinds = keys.kinds(pieces);
  return new SentencePieceTokenizer({
    name: keys.name,
    pieces,
    scores,
    kinds,
    spacePrefix: keys.boolean("add_space_prefix") ?? true,
    ...keys.ends(pieces, kinds, { bos: 1, eos: 2, addBos: true }),
  });
}

function byteLevelBpe(keys: Keys): Tokenizer {
  const pre = keys.string("pre") ?? "default";
  const rule =
    preTokenizer(pre) ??
    fail(
      "tokenizer",
      `${keys.name}: tokenizer.ggml.pre is ${JSON.stringify(pre)}, a way of cutting text that is not known here`,
      `give token ids with --ids; known ways: ${preTokenizerNames.join(", ")}`,
    );
  const tokens = keys.tokens();
  const kinds = keys.kinds(tokens);
  const encoder = new TextEncoder();
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const written = (kind: number) => kind !== pieceKinds.normal && kind !== pieceKinds.unused;
  const added = new Map<number, AddedToken>();
  const bytesOf = tokens.map((token, id) => {
    const kind = kinds[id]!;
    if (written(kind) && token !== "")
      added.set(id, plainToken(token, kind === pieceKinds.control || kind === pieceKinds.unknown));
    return (written(kind) ? undefined : surfaceToBytes(token)) ?? encoder.encode(token);
  });
  return new ByteBpeTokenizer({
    bytesOf,
    merges: new MergeTable(mergesOf(keys, ids)),
    splitWords: (text) => cutWords(text, rule.cuts),
    vocabulary: [...tokens.keys()].filter((id) => !added.has(id)),
    added,
    splitSpecial: false,
    wholeWords: rule.wholeWordsFirst ? ids : null,
    ...keys.ends(tokens, kinds, { bos: null, eos: null, addBos: rule.addBos }),
  });
}

function mergesOf(keys: Keys, ids: ReadonlyMap<string, number>): Int32Array {
  const merges = keys.strings("merges") ?? keys.fail("merges", "is missing");
  const found = new Int32Array(3 * merges.length);
  for (const [rank, merge] of merges.entries()) {
    const cut = merge.indexOf(" ", 1);
    const [left, right] = [merge.slice(0, cut), merge.slice(cut + 1)];
    const [a = -1, b = -1, merged = -1] = [ids.get(left), ids.get(right), ids.get(left + right)];
    if (cut < 0 || a < 0 || b < 0 || merged < 0)
      keys.fail("merges", `holds ${JSON.stringify(merge)}, which is no pair of tokens that make a token`);
    found.set([a, b, merged], 3 * rank);
  }
  return found;
}

/** The keys below tokenizer.ggml, each checked as it is read. */
class Keys {
  readonly name: string;
  private readonly metadata: TokenizerMetadata;

  constructor(metadata: TokenizerMetadata, name: string) {
    this.metadata = metadata;
    this.name = name;
  }

  fail(key: string, what: string): never {
    return fail(
      "tokenizer",
      `${this.name}: tokenizer.ggml.${key} ${what}`,
      "fetch or convert the file again",
    );
  }

  private get(key: string): unknown {
    const value = this.metadata.get(`tokenizer.ggml.${key}`);
    return value instanceof GgufArray ? value.values() : value;
  }

  string(key: string): string | undefined {
    const value = this.get(key);
    return value === undefined || typeof value === "string" ? value : this.fail(key, "is no text");
  }

  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    return value === undefined || typeof value === "boolean"
      ? value
      : this.fail(key, "is neither true nor false");
  }

  strings(key: string): readonly string[] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const isList = Array.isArray(value) && value.every((text) => typeof text === "string");
    return isList ? value : this.fail(key, "is no list of texts");
  }

  /** A list of `length` numbers. */
  numbers(key: string, length: number): ArrayLike<number> | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const isList =
      ArrayBuffer.isView(value) || (Array.isArray(value) && value.every((x) => typeof x === "number"));
    if (!isList) this.fail(key, "is no list of numbers");
    const numbers = value as unknown as ArrayLike<number>;
    return numbers.length === length
      ? numbers
      : this.fail(key, `has ${numbers.length} entries for ${length} tokens`);
  }

  tokens(): readonly string[] {
    const tokens = this.strings("tokens") ?? this.fail("tokens", "is missing");
    return tokens.length > 0 ? tokens : this.fail("tokens", "is empty");
  }

  kinds(tokens: readonly string[]): ArrayLike<number> {
    return this.numbers("token_type", tokens.length) ?? new Uint8Array(tokens.length).fill(pieceKinds.normal);
  }

  private id(key: string, count: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const isId = Number.isInteger(value) && (value as number) >= 0 && (value as number) < count;
    return isId ? (value as number) : this.fail(key, `is ${value}; the ids run from 0 to ${count - 1}`);
  }

  /** What begins and ends texts; `usual` holds where the file does not say. */
  ends(
    tokens: readonly string[],
    kinds: ArrayLike<number>,
    usual: { bos: number | null; eos: number | null; addBos: boolean },
  ) {
    const count = tokens.length;
    const inside = (id: number | null) => (id !== null && id < count ? id : null);
    const bosId = this.id("bos_token_id", count) ?? inside(usual.bos);
    const eosId = this.id("eos_token_id", count) ?? inside(usual.eos);
    const specials = new Map<string, number>();
    for (const [id, token] of tokens.entries()) if (kinds[id] !== pieceKinds.normal) specials.set(token, id);
    const turnEnd = this.id("eot_token_id", count) ?? null;
    return {
      bosId,
      eosId,
      endIds: endIdsOf([eosId, turnEnd], (text) => specials.get(text)),
      around: {
        before:
          (this.boolean("add_bos_token") ?? usual.addBos)
            ? [bosId ?? this.fail("bos_token_id", "is missing")]
            : [],
        after: this.boolean("add_eos_token") ? [eosId ?? this.fail("eos_token_id", "is missing")] : [],
      },
    };
  }
}
