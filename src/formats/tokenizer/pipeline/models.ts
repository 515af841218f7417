import { fail } from "../../../errors.ts";
import { bpeModel } from "./bpe.ts";
import type { Part } from "./part.ts";
import { unigramModel } from "./unigram.ts";
import { type Model, vocabularyOf } from "./vocabulary.ts";

/** The model of a tokenizer.json. Source: tokenizers 0.23, models/. Errors: tokenizer, with the key. */
export function modelOf(part: Part): Model {
  switch (part.string("type", usualType(part))) {
    case "BPE":
      return bpeModel(part);
    case "Unigram":
      return unigramModel(part);
    case "WordPiece":
      return wordPiece(part);
    case "WordLevel":
      return wordLevel(part);
    default:
      return part.unsupported("type");
  }
}

/** Files from before tokenizers 0.10 do not say the type. */
function usualType(part: Part): string {
  if (part.has("merges")) return "BPE";
  if (Array.isArray(part.raw("vocab"))) return "Unigram";
  return part.has("max_input_chars_per_word") ? "WordPiece" : "WordLevel";
}

function unknownOf(part: Part, ids: ReadonlyMap<string, number>): () => number {
  const token = part.string("unk_token");
  const id = ids.get(token);
  return () =>
    id ??
    fail(
      "tokenizer",
      `${part.path} needs its unknown token ${JSON.stringify(token)} for this text, but its vocabulary has none`,
      "give token ids with --ids",
    );
}

function wordLevel(part: Part): Model {
  const ids = vocabularyOf(part);
  const unknown = unknownOf(part, ids);
  return { type: "WordLevel", ids, encode: (piece) => [ids.get(piece) ?? unknown()] };
}

function wordPiece(part: Part): Model {
  const ids = vocabularyOf(part);
  const unknown = unknownOf(part, ids);
  const prefix = part.string("continuing_subword_prefix", "##");
  const most = part.count("max_input_chars_per_word", 100);
  const encode = (piece: string): number[] => {
    const characters = Array.from(piece);
    if (characters.length > most) return [unknown()];
    const found: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start; end--) {
        id = ids.get((start > 0 ? prefix : "") + characters.slice(start, end).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return [unknown()];
      found.push(id);
      start = end;
    }
    return found;
  };
  return { type: "WordPiece", ids, encode };
}
