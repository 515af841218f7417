/**
 * Applies learned merges to one word: the pair of neighbours with the lowest rank is joined first, the leftmost of
 * equals. A heap of candidates makes a word of n bytes take n log n steps, so that no input is slow.
 */
export class MergeTable {
  private readonly rankOf = new Map<number, number>();
  private readonly stride: number;
  private readonly idOfRank: Int32Array;

  /**
   * @param merges pairs of ids and the id each makes, lowest rank first
   * @param vocabSize all ids are below it
   */
  constructor(
    merges: readonly (readonly [left: number, right: number, merged: number])[],
    vocabSize: number,
  ) {
    this.stride = vocabSize;
    this.idOfRank = Int32Array.from(merges, ([, , merged]) => merged);
    for (const [rank, [left, right]] of merges.entries()) {
      const key = left * vocabSize + right;
      if (!this.rankOf.has(key)) this.rankOf.set(key, rank);
    }
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
      if (rank !== undefined) pushLowest(heap, rank * n + at);
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

  private rankAt(ids: Int32Array, next: Int32Array, at: number): number | undefined {
    const left = ids[at]!;
    const after = next[at]!;
    if (left < 0 || after >= ids.length) return undefined;
    return this.rankOf.get(left * this.stride + ids[after]!);
  }
}

function pushLowest(heap: number[], value: number): void {
  let at = heap.length;
  heap.push(value);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

function popLowest(heap: number[]): number {
  const top = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return top;
  let at = 0;
  while (true) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= last) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return top;
}
