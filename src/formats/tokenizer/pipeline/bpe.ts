import { MergeTable } from "../merge.ts";
import { IdList, WordMemory } from "../word-ids.ts";
import type { Part } from "./part.ts";
import { type Model, vocabularyOf } from "./vocabulary.ts";

/** Byte pair encoding over characters. Source: tokenizers 0.23, models/bpe/model.rs. */
export function bpeModel(part: Part): Model {
  const dropout = part.raw("dropout") ?? 0;
  if (dropout !== 0) part.unsupported("dropout"); // the same text would have other ids every time
  const ids = vocabularyOf(part);
  const prefix = part.string("continuing_subword_prefix", "");
  const merges = new MergeTable(mergesOf(part, ids, prefix.length));
  const spell = speller(part, ids, prefix, part.string("end_of_word_suffix", ""));
  const whole = part.boolean("ignore_merges", false);
  const encode = (piece: string): ArrayLike<number> => {
    const id = whole ? ids.get(piece) : undefined;
    return id === undefined ? merges.apply(Int32Array.from(spell(piece))) : [id];
  };
  const cuts = wordCuts(part, ids, prefix);
  if (!cuts) return { type: "BPE", ids, encode };
  const memory = new WordMemory((word) => Int32Array.from(encode(word)));
  return {
    type: "BPE",
    ids,
    encode: (piece) => {
      if (piece.length < longPiece) return encode(piece);
      const all = new IdList(piece.length / 3 + 16);
      for (const word of piece.match(cuts) ?? []) if (word !== "") all.add(memory.idsOf(word));
      return all.ids();
    },
  };
}

/** Shorter pieces are not cut: nothing is gained. */
const longPiece = 32;

/**
 * How a piece can be cut into words that do not influence each other: before a "▁" that follows another character, where no token has
 * one there, as in Llama's vocabularies, whose texts are one piece. Undefined where words do influence each other.
 */
function wordCuts(part: Part, ids: ReadonlyMap<string, number>, prefix: string): RegExp | undefined {
  // Unknown characters may be joined across words, unless all of them have bytes; so may what stands at the end of a piece.
  const bytes = part.boolean("byte_fallback", false) && byteIds(ids).every((id) => id !== undefined);
  if (!(bytes || !part.has("unk_token")) || prefix !== "" || part.string("end_of_word_suffix", "") !== "")
    return undefined;
  if (part.boolean("ignore_merges", false)) return undefined;
  for (const token of ids.keys()) if (/[^\u2581]\u2581/.test(token)) return undefined;
  return /\u2581*[^\u2581]*/g;
}

const byteIds = (ids: ReadonlyMap<string, number>): (number | undefined)[] =>
  Array.from({ length: 256 }, (_, byte) => ids.get(byteToken(byte)));

/** 10 is <0x0A>. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

/** Left, right and made token of each merge. Of a pair that is listed twice, the last counts. */
export function mergesOf(part: Part, ids: ReadonlyMap<string, number>, prefixLength = 0): Int32Array {
  const idOf = (token: string): number =>
    ids.get(token) ??
    part.fail(`has a merge that needs the token ${JSON.stringify(token)}, which is missing`);
  const ranked = new Map<string, [number, number, number]>();
  for (const merge of part.list("merges")) {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!(Array.isArray(pair) && pair.length === 2 && pair.every((token) => typeof token === "string")))
      return part.fail(`has the merge ${JSON.stringify(merge)}, which is no pair`);
    const [left, right] = pair as [string, string];
    const [a, b] = [idOf(left), idOf(right)];
    const key = `${a} ${b}`;
    ranked.delete(key);
    ranked.set(key, [a, b, idOf(left + right.slice(prefixLength))]);
  }
  return Int32Array.from([...ranked.values()].flat());
}

/** The ids of the characters of a piece, before merging. A character without a token and without bytes is left out, as there. */
function speller(
  part: Part,
  ids: ReadonlyMap<string, number>,
  prefix: string,
  suffix: string,
): (piece: string) => number[] {
  const bytes = part.boolean("byte_fallback", false) ? byteIds(ids) : undefined;
  const fuses = part.boolean("fuse_unk", false);
  const token = part.has("unk_token") ? part.string("unk_token") : undefined;
  const unknown = (): number =>
    ids.get(token!) ??
    part.fail(`has the unk_token ${JSON.stringify(token)}, which is not in its vocabulary`);
  const encoder = new TextEncoder();
  return (piece) => {
    const spelled: number[] = [];
    let pending: number | undefined; // an unknown token that the next character may join
    let at = 0;
    for (const character of piece) {
      const start = at;
      at += character.length;
      let text = start > 0 ? prefix + character : character;
      if (at === piece.length) text += suffix;
      const id = ids.get(text);
      if (id !== undefined) {
        if (pending !== undefined) spelled.push(pending);
        pending = undefined;
        spelled.push(id);
        continue;
      }
      const spelledOut = bytes && Array.from(encoder.encode(text), (byte) => bytes[byte]);
      if (spelledOut?.every((byte) => byte !== undefined)) spelled.push(...(spelledOut as number[]));
      else if (token !== undefined) {
        if (pending !== undefined && !fuses) spelled.push(pending);
        if (pending === undefined || !fuses) pending = unknown();
      }
    }
    if (pending !== undefined) spelled.push(pending);
    return spelled;
  };
}
