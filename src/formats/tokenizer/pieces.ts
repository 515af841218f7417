import { popLowest, pushLowest } from "./heap.ts";

/**
 * SentencePiece's BPE: of all neighbours whose texts joined are a piece, those of the highest score are joined first, the
 * leftmost of equals (Kudo and Richardson 2018). A heap of candidates makes a text of n characters take n log n steps.
 */
export class PieceTable {
  private readonly idOf: ReadonlyMap<string, number>;
  /** Of each id: 0 for the highest score; equal scores have equal ranks. */
  private readonly rankOf: Float64Array;

  constructor(idOf: ReadonlyMap<string, number>, scores: ArrayLike<number>) {
    this.idOf = idOf;
    const sorted = [...new Set(Array.from(scores))].sort((a, b) => b - a);
    const ranks = new Map(sorted.map((score, rank) => [score, rank]));
    this.rankOf = Float64Array.from(scores, (score) => ranks.get(score)!);
  }

  /** The ids of a text; `spell` adds those of a character that is no piece. */
  apply(text: string, spell: (character: string) => readonly number[]): Int32Array<ArrayBuffer> {
    const starts = characterStarts(text);
    const n = starts.length - 1;
    // A list linked both ways: next[i] is the piece after the one that begins with character i.
    const next = Int32Array.from({ length: n }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: n }, (_, i) => i - 1);
    const pair = new Int32Array(n).fill(-1); // the id that piece i makes with the one after it
    const gone = new Uint8Array(n);
    const heap: number[] = [];
    const consider = (at: number): void => {
      const right = next[at]!;
      const id = right < n ? this.idOf.get(text.slice(starts[at], starts[next[right]!])) : undefined;
      pair[at] = id ?? -1;
      if (id !== undefined) pushLowest(heap, this.rankOf[id]! * n + at);
    };
    for (let i = 0; i + 1 < n; i++) consider(i);
    while (heap.length > 0) {
      const entry = popLowest(heap);
      const at = entry % n;
      // A neighbour may have been joined since.
      if (gone[at] || pair[at]! < 0 || this.rankOf[pair[at]!] !== Math.floor(entry / n)) continue;
      const right = next[at]!;
      gone[right] = 1;
      next[at] = next[right]!;
      if (next[at]! < n) previous[next[at]!] = at;
      consider(at);
      if (previous[at]! >= 0) consider(previous[at]!);
    }
    const ids: number[] = [];
    for (let at = 0; at < n; at = next[at]!) {
      const piece = text.slice(starts[at], starts[next[at]!]);
      const id = this.idOf.get(piece);
      if (id === undefined) ids.push(...spell(piece));
      else ids.push(id);
    }
    return Int32Array.from(ids);
  }
}

/** Where each character of a text begins, and where the last ends. */
function characterStarts(text: string): number[] {
  const starts: number[] = [];
  for (let at = 0; at < text.length; at += text.codePointAt(at)! > 0xffff ? 2 : 1) starts.push(at);
  starts.push(text.length);
  return starts;
}
