import { fail } from "../../errors.ts";
import { foldedConfig, type TokenizerConfigFiles, type TokenizerConfigJson } from "./config.ts";
import { readGgufTokenizer } from "./gguf.ts";
import { Part } from "./pipeline/part.ts";
import { addedTokensOf, readPipeline } from "./pipeline/read.ts";
import { readSentencePieceModel, type SentencePieceModel } from "./sentencepiece-model.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface SentencePieceFiles extends TokenizerConfigFiles {
  /** tokenizer.model */
  readonly model: Uint8Array;
}

/**
 * Reads the tokenizer of a folder whose only vocabulary is a tokenizer.model, as Llama 2 and the models of its time often come. With a
 * tokenizer_config.json it is what transformers makes of the two (LlamaTokenizer); without one, SentencePiece itself and a leading bos.
 *
 * Errors: tokenizer, with the key.
 *
 * @param name what errors call tokenizer.model
 */
export function readSentencePiece(files: SentencePieceFiles, name: string): Tokenizer {
  const model = readSentencePieceModel(files.model, name);
  const isAlone = [files.config, files.specialTokens, files.added].every((file) => file === undefined);
  return isAlone ? plain(model, name) : llama(model, files, name);
}

/** As llama.cpp's converter writes it into a GGUF file. */
function plain(model: SentencePieceModel, name: string): Tokenizer {
  const { pieces, bosId, eosId, addsPrefix } = model;
  const keys = {
    model: "llama",
    tokens: pieces.map(({ text }) => text),
    scores: Float32Array.from(pieces, ({ score }) => score),
    token_type: Int32Array.from(pieces, ({ kind }) => kind),
    bos_token_id: bosId >= 0 ? bosId : undefined,
    eos_token_id: eosId >= 0 ? eosId : undefined,
    add_bos_token: bosId >= 0,
    add_eos_token: false,
    add_space_prefix: addsPrefix,
  };
  return readGgufTokenizer(
    new Map(Object.entries(keys).map(([key, value]) => [`tokenizer.ggml.${key}`, value])),
    name,
  );
}

const classes: readonly unknown[] = [undefined, null, "LlamaTokenizer", "LlamaTokenizerFast"];

/** Source: transformers 5.18, LlamaTokenizer.__init__, SentencePieceExtractor.extract and TokenizersBackend.__init__. */
function llama(model: SentencePieceModel, files: SentencePieceFiles, name: string): Tokenizer {
  const given = foldedConfig(files, name);
  const refuse = (key: string, value: unknown, why: string): never =>
    fail(
      "tokenizer",
      `${name}: tokenizer_config.json has ${key} ${JSON.stringify(value)}, ${why}`,
      "convert it: transformers' AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes a tokenizer.json",
    );
  if (!classes.includes(given.tokenizer_class))
    refuse("tokenizer_class", given.tokenizer_class, "which is read from a tokenizer.json only");
  if (Object.keys(given.sp_model_kwargs ?? {}).length > 0)
    refuse("sp_model_kwargs", given.sp_model_kwargs, "which is not supported");
  // A key that is null says that there is no such token.
  const config = { unk_token: "<unk>", bos_token: "<s>", eos_token: "</s>", ...given };
  const vocab = new Map(model.pieces.map(({ text }, id) => [text, id]));
  const prefixes = config.add_prefix_space ?? true;
  const scheme = !prefixes ? "never" : config.legacy === true ? "always" : "first";
  checkIds(config, vocab, name);
  return readPipeline(
    {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "Metaspace", replacement: "\u2581", prepend_scheme: scheme, split: false },
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "\u2581" }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          ...(prefixes ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        type: "BPE",
        vocab: Object.fromEntries(vocab),
        merges: mergesOf(vocab),
        fuse_unk: true,
        byte_fallback: true,
      },
    },
    config,
    name,
    { bos: config.add_bos_token ?? files.config === undefined, eos: config.add_eos_token === true },
  );
}

/** Every way to cut a piece into two, in the order of ids; of one piece, those with the shorter left part first. */
function mergesOf(vocab: ReadonlyMap<string, number>): [string, string][] {
  const merges: [string, string][] = [];
  for (const piece of vocab.keys())
    for (let at = width(piece, 0); at < piece.length; at += width(piece, at)) {
      const [left, right] = [piece.slice(0, at), piece.slice(at)];
      if (vocab.has(left) && vocab.has(right)) merges.push([left, right]);
    }
  return merges;
}

const width = (text: string, at: number): number => (text.codePointAt(at)! > 0xffff ? 2 : 1);

/** A token whose id would be another than the one written down is refused: the model was trained with the latter. */
function checkIds(config: TokenizerConfigJson, vocab: ReadonlyMap<string, number>, name: string): void {
  const added = addedTokensOf(new Part({}, name), vocab, config);
  const idOf = new Map([...added].map(([id, { content }]) => [content, id]));
  for (const [id, { content }] of Object.entries(config.added_tokens_decoder ?? {}))
    if (content !== "" && idOf.get(content) !== Number(id))
      fail(
        "tokenizer",
        `${name}: the added token ${JSON.stringify(content)} has the id ${Number(id)}, where it would be ${idOf.get(content)}`,
        "correct added_tokens_decoder or added_tokens.json: ids go on from the vocabulary without a gap",
      );
}
