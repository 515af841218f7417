import { fail } from "../../../errors.ts";
import { byteToken } from "./bpe.ts";
import type { Part } from "./part.ts";
import type { Model } from "./vocabulary.ts";

/** How much less an unknown character scores than the lowest token. */
const unknownPenalty = 10;

interface Node {
  readonly next: Map<number, Node>;
  /** -1 where no token ends. */
  id: number;
}

/** Unigram: the cut into tokens whose scores sum to the most. Source: tokenizers 0.23, models/unigram/model.rs. */
export function unigramModel(part: Part): Model {
  const vocab = part.list("vocab") as readonly unknown[];
  const scores = new Float64Array(vocab.length);
  const ids = new Map<string, number>();
  for (const [id, entry] of vocab.entries()) {
    const [text, score] = Array.isArray(entry) ? entry : [];
    if (typeof text !== "string" || typeof score !== "number")
      return part.fail(`has ${JSON.stringify(entry)} in "vocab"; it takes pairs of a text and a score`);
    scores[id] = score;
    ids.set(text, id);
  }
  const unknownId = part.has("unk_id") ? part.count("unk_id") : undefined;
  if (unknownId !== undefined && unknownId >= vocab.length)
    part.fail(`has the unk_id ${unknownId}, which is no token`);
  const unknown = (): number =>
    unknownId ??
    fail(
      "tokenizer",
      `${part.path} has no unk_id, and no token for a part of the text`,
      "give token ids with --ids",
    );
  const root = trieOf(ids);
  const worst =
    scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY) - unknownPenalty;
  const bytes = part.boolean("byte_fallback", false)
    ? Array.from({ length: 256 }, (_, byte) => ids.get(byteToken(byte)))
    : undefined;
  const encoder = new TextEncoder();

  const encode = (piece: string): number[] => {
    const found: number[] = [];
    for (const text of bestPath(piece, root, scores, worst, unknown, unknownId)) {
      const id = ids.get(text);
      const spelled =
        id === undefined && bytes ? Array.from(encoder.encode(text), (byte) => bytes[byte]) : undefined;
      if (id !== undefined) found.push(id);
      else if (spelled?.every((byte) => byte !== undefined)) found.push(...(spelled as number[]));
      else found.push(unknown());
    }
    return found;
  };
  return { type: "Unigram", ids, encode };
}

function trieOf(ids: ReadonlyMap<string, number>): Node {
  const root: Node = { next: new Map(), id: -1 };
  for (const [text, id] of ids) {
    let node = root;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      let next = node.next.get(unit);
      if (!next) {
        next = { next: new Map(), id: -1 };
        node.next.set(unit, next);
      }
      node = next;
    }
    if (text !== "") node.id = id;
  }
  return root;
}

/** The texts of the best path; neighbouring unknown characters are one text. */
function bestPath(
  piece: string,
  root: Node,
  scores: Float64Array,
  worst: number,
  unknown: () => number,
  unknownId: number | undefined,
): string[] {
  const size = piece.length;
  const best = new Float64Array(size + 1);
  const from = new Int32Array(size + 1).fill(-1);
  const idAt = new Int32Array(size + 1);
  const offer = (start: number, end: number, score: number, id: number): void => {
    if (from[end]! >= 0 && score <= best[end]!) return;
    best[end] = score;
    from[end] = start;
    idAt[end] = id;
  };
  for (let start = 0; start < size; ) {
    const length = piece.codePointAt(start)! > 0xffff ? 2 : 1;
    let single = false;
    let node: Node | undefined = root;
    for (let end = start; end < size; ) {
      node = node.next.get(piece.charCodeAt(end++));
      if (!node) break;
      if (node.id < 0) continue;
      offer(start, end, scores[node.id]! + best[start]!, node.id);
      if (end - start === length) single = true;
    }
    if (!single) offer(start, start + length, worst + best[start]!, unknown());
    start += length;
  }
  const texts: string[] = [];
  let unknownEnd = -1;
  for (let end = size; end > 0; end = from[end]!) {
    if (idAt[end] === unknownId) {
      if (unknownEnd < 0) unknownEnd = end;
      continue;
    }
    if (unknownEnd >= 0) texts.push(piece.slice(end, unknownEnd));
    unknownEnd = -1;
    texts.push(piece.slice(from[end]!, end));
  }
  if (unknownEnd >= 0) texts.push(piece.slice(0, unknownEnd));
  return texts.reverse();
}
