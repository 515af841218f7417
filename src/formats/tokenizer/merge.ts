import { popLowest, pushLowest } from "./heap.ts";

/**
 * Applies learned merges to one word: the pair of neighbours with the lowest rank is joined first, the leftmost of
 * equals. A heap of candidates makes a word of n bytes take n log n steps, so that no input is slow.
 */
export class MergeTable {
  private readonly idOfRank: Int32Array;
  /** An open hash table of pairs to ranks; where `left` is -1 a place is empty. */
  private readonly left: Int32Array;
  private readonly right: Int32Array;
  private readonly rank: Int32Array;

  /** @param merges pairs of ids and the id each makes, lowest rank first, three numbers each */
  constructor(merges: Int32Array) {
    const count = merges.length / 3;
    const places = 2 ** Math.ceil(Math.log2(2 * count + 1));
    this.left = new Int32Array(places).fill(-1);
    this.right = new Int32Array(places);
    this.rank = new Int32Array(places).fill(-1);
    this.idOfRank = new Int32Array(count);
    for (let rank = 0; rank < count; rank++) {
      const [left, right] = [merges[3 * rank]!, merges[3 * rank + 1]!];
      this.idOfRank[rank] = merges[3 * rank + 2]!;
      const place = this.placeOf(left, right);
      if (this.left[place]! >= 0) continue; // a pair listed twice has its first rank
      this.left[place] = left;
      this.right[place] = right;
      this.rank[place] = rank;
    }
  }

  /** Where a pair is, or the empty place where it would be. */
  private placeOf(left: number, right: number): number {
    const mask = this.left.length - 1;
    // Multipliers: 2^32 over the golden ratio, and a prime of MurmurHash.
    let place = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 7;
    for (place &= mask; this.left[place]! >= 0; place = (place + 1) & mask)
      if (this.left[place] === left && this.right[place] === right) break;
    return place;
  }

  /** Joins the ids of a word's bytes; works in `ids` and returns what is left of it. */
  apply(ids: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
    const n = ids.length;
    // A list linked both ways: next[i] is the start of the token after the one that starts at i; merged ones are -1.
    const next = Int32Array.from(ids, (_, i) => i + 1);
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const heap: number[] = [];
    const consider = (at: number): void => {
      const rank = this.rankAt(ids, next, at);
      if (rank >= 0) pushLowest(heap, rank * n + at);
    };
    for (let i = 0; i + 1 < n; i++) consider(i);
    while (heap.length > 0) {
      const entry = popLowest(heap);
      const at = entry % n;
      const rank = Math.floor(entry / n);
      if (this.rankAt(ids, next, at) !== rank) continue; // a neighbour was merged since
      const gone = next[at]!;
      ids[at] = this.idOfRank[rank]!;
      ids[gone] = -1;
      next[at] = next[gone]!;
      if (next[at]! < n) previous[next[at]!] = at;
      if (previous[at]! >= 0) consider(previous[at]!);
      consider(at);
    }
    return ids.filter((id) => id >= 0);
  }

  /** The rank of the pair at `at`, -1 where there is none. */
  private rankAt(ids: Int32Array, next: Int32Array, at: number): number {
    const left = ids[at]!;
    const after = next[at]!;
    if (left < 0 || after >= ids.length) return -1;
    return this.rank[this.placeOf(left, ids[after]!)]!;
  }
}
