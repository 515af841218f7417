/** From documents to the token streams a run trains on. */
import {
  type Document,
  readTokenizer,
  splitCorpus,
  type Tokenizer,
  type TokenizerFiles,
  tokenizerFiles,
  trainBpe,
} from "../formats/index.ts";
import type { TrainConfig } from "./config.ts";
import type { Stream, TokenCorpus } from "./data.ts";

/** Ends every document of a stream. */
const endOfText = "<|endoftext|>";

export interface PreparedCorpus {
  readonly corpus: TokenCorpus;
  readonly tokenizer: Tokenizer;
  readonly files: TokenizerFiles;
}

/**
 * Holds text out, learns a byte-level BPE vocabulary from the rest (or takes `files`, a resumed run's), and encodes both parts.
 * Errors: "data" where there is too little text; "tokenizer".
 */
export function prepareCorpus(
  documents: readonly Document[],
  data: TrainConfig["data"],
  files: TokenizerFiles | null = null,
): PreparedCorpus {
  const { train, heldOut } = splitCorpus(documents, { heldOutShare: data.heldOutShare });
  const used = files ?? learnTokenizer(train, data);
  const tokenizer = readTokenizer(used);
  const domains = [...new Set(documents.map(({ domain }) => domain))];
  const corpus = {
    train: encodeDomains(train, domains, tokenizer),
    heldOut: encodeDomains(heldOut, domains, tokenizer),
    tokenBytes: tokenBytes(tokenizer),
  };
  return { corpus, tokenizer, files: used };
}

function learnTokenizer(
  train: readonly Document[],
  { vocabSize, sequence }: TrainConfig["data"],
): TokenizerFiles {
  const model = trainBpe(
    train.map(({ text }) => text),
    { vocabSize, specialTokens: [endOfText] },
  );
  return tokenizerFiles(model, { maxLength: sequence });
}

function encodeDomains(
  documents: readonly Document[],
  domains: readonly string[],
  tokenizer: Tokenizer,
): Stream[] {
  const separator = tokenizer.eosId === null ? [] : [tokenizer.eosId];
  return domains.map((domain) => {
    const pieces = documents
      .filter((document) => document.domain === domain)
      .flatMap(({ text }) => [tokenizer.encode(text), Int32Array.from(separator)]);
    const ids = new Int32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      ids.set(piece, at);
      at += piece.length;
    }
    return { domain, ids };
  });
}

/** Bytes of text each id stands for; the marks between documents stand for none. */
function tokenBytes(tokenizer: Tokenizer): Int32Array {
  const { vocabSize, bosId, eosId } = tokenizer;
  return Int32Array.from({ length: vocabSize }, (_, id) =>
    id === eosId || id === bosId ? 0 : tokenizer.bytes(id).length,
  );
}
