import type { Part } from "./part.ts";

/** The part of a tokenizer that turns pieces of text into ids. */
export interface Model {
  /** "BPE", "Unigram", "WordPiece" or "WordLevel". */
  readonly type: string;
  /** Ids by the text of a token. */
  readonly ids: ReadonlyMap<string, number>;
  /** The ids of one piece, which is not empty. */
  encode(piece: string): ArrayLike<number>;
}

/** The ids of a vocabulary by text. */
export function vocabularyOf(part: Part): Map<string, number> {
  const vocab = part.raw("vocab");
  if (typeof vocab !== "object" || vocab === null || Array.isArray(vocab))
    part.fail('has no ids by text as "vocab"');
  const entries = Object.entries(vocab as Record<string, unknown>);
  for (const [text, id] of entries)
    if (!(Number.isInteger(id) && Number(id) >= 0 && Number(id) < mostIds))
      part.fail(`has ${JSON.stringify(id)} as the id of ${JSON.stringify(text)}`);
  return new Map(entries as [string, number][]);
}

/** Larger ids are damage: a table of all ids has to be held. */
export const mostIds: number = 2 ** 24;
