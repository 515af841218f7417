import { fail } from "../../errors.ts";
import { bytesInOrder } from "./byte-level.ts";
import { splitWords } from "./split.ts";

/**
 * Byte pair encoding, learned from text (Sennrich et al. 2016): words are counted, then the most frequent pair of
 * neighbouring tokens becomes a token, again and again.
 *
 * The choice is that of Hugging Face's trainer, so both learn the same merges from the same text: ids are special
 * tokens, then bytes in the order of their characters, then merges; among equally frequent pairs the one with the
 * lower left id wins, then the lower right id.
 */
export interface BpeOptions {
  /** Tokens in all, special ones and the 256 bytes included. Fewer are made when no pair is left that occurs twice. */
  readonly vocabSize: number;
  /** Default ["<|endoftext|>"]. */
  readonly specialTokens?: readonly string[];
  /** How often a pair must occur to become a token. Default 2. */
  readonly minCount?: number;
}

/** What training found. Token `specialTokens.length + i` is the byte `bytesInOrder[i]` for i below 256. */
export interface BpeModel {
  readonly specialTokens: readonly string[];
  /** Pairs of ids in the order they were merged; merge i made token specialTokens.length + 256 + i. */
  readonly merges: readonly (readonly [left: number, right: number])[];
}

/** Learns a vocabulary from texts. Errors: config, where it leaves no room for the bytes; data, where there is no text. */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): BpeModel {
  const { vocabSize, specialTokens = ["<|endoftext|>"], minCount = 2 } = options;
  const base = specialTokens.length + 256;
  if (!Number.isInteger(vocabSize) || vocabSize < base || vocabSize > 2 ** 20) {
    fail(
      "config",
      `vocabSize must be a whole number from ${base} (256 bytes, ${specialTokens.length} special) to ${2 ** 20}, not ${vocabSize}`,
    );
  }
  const words = countWords(texts, specialTokens.length);
  if (words.length === 0)
    fail(
      "data",
      "there is no text to learn a vocabulary from",
      "give --data files or folders that hold UTF-8 text",
    );
  const pairs = new PairCounts(words, vocabSize);
  const merges: [number, number][] = [];
  while (base + merges.length < vocabSize) {
    const best = pairs.takeBest();
    if (!best || best.count < minCount) break;
    pairs.merge(best, base + merges.length);
    merges.push([best.left, best.right]);
  }
  return { specialTokens, merges };
}

interface Word {
  /** Shrinks as pairs are merged. */
  readonly ids: number[];
  readonly count: number;
}

function countWords(texts: Iterable<string>, firstByteId: number): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of splitWords(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const idOfByte = new Int32Array(256);
  for (const [i, byte] of bytesInOrder.entries()) idOfByte[byte] = firstByteId + i;
  const encoder = new TextEncoder();
  return Array.from(counts, ([word, count]) => ({
    ids: Array.from(encoder.encode(word), (byte) => idOfByte[byte]!),
    count,
  }));
}

interface Pair {
  readonly left: number;
  readonly right: number;
  count: number;
  /** Words the pair has stood in, by index; some may have lost it since. */
  words: number[];
}

/** How often each pair of neighbours occurs, kept up to date while words are merged. */
class PairCounts {
  private readonly words: readonly Word[];
  private readonly stride: number;
  private readonly pairs = new Map<number, Pair>();
  private readonly heap = new PairHeap();

  constructor(words: readonly Word[], vocabSize: number) {
    this.words = words;
    this.stride = vocabSize;
    const all = new Set<Pair>();
    for (const [index, { ids, count }] of words.entries()) {
      for (let i = 0; i + 1 < ids.length; i++) all.add(this.add(ids[i]!, ids[i + 1]!, count, index));
    }
    for (const pair of all) this.heap.push({ pair, count: pair.count });
  }

  /** The most frequent pair. Counts on the heap may be out of date, but only too high: such a pair goes back. */
  takeBest(): Pair | undefined {
    for (let top = this.heap.pop(); top; top = this.heap.pop()) {
      const { pair, count } = top;
      if (pair.count === count) return pair;
      if (pair.count > 0) this.heap.push({ pair, count: pair.count });
    }
    return undefined;
  }

  /** Replaces the pair by `id` in every word that has it. Only pairs with `id` become more frequent. */
  merge(pair: Pair, id: number): void {
    this.pairs.delete(this.key(pair.left, pair.right));
    const made = new Set<Pair>();
    for (const index of pair.words) this.mergeWord(index, pair, id, made);
    for (const other of made) this.heap.push({ pair: other, count: other.count });
  }

  private mergeWord(index: number, { left, right }: Pair, id: number, made: Set<Pair>): void {
    const { ids, count } = this.words[index]!;
    let kept = 0;
    for (let i = 0; i < ids.length; i++) {
      if (ids[i] !== left || ids[i + 1] !== right) {
        ids[kept++] = ids[i]!;
        continue;
      }
      if (kept > 0) {
        this.take(ids[kept - 1]!, left, count);
        made.add(this.add(ids[kept - 1]!, id, count, index));
      }
      if (i + 2 < ids.length) {
        this.take(right, ids[i + 2]!, count);
        made.add(this.add(id, ids[i + 2]!, count, index));
      }
      ids[kept++] = id;
      i++;
    }
    ids.length = kept;
  }

  private add(left: number, right: number, count: number, index: number): Pair {
    const key = this.key(left, right);
    let pair = this.pairs.get(key);
    if (!pair) {
      pair = { left, right, count: 0, words: [] };
      this.pairs.set(key, pair);
    }
    pair.count += count;
    if (pair.words.at(-1) !== index) pair.words.push(index);
    return pair;
  }

  private take(left: number, right: number, count: number): void {
    const pair = this.pairs.get(this.key(left, right));
    if (pair) pair.count -= count; // none: the pair that is being merged, next to itself
  }

  private key(left: number, right: number): number {
    return left * this.stride + right;
  }
}

interface HeapEntry {
  readonly pair: Pair;
  /** The pair's count when it was put here; it may have changed since. */
  readonly count: number;
}

/** A binary heap with the most frequent pair on top. */
class PairHeap {
  private readonly entries: HeapEntry[] = [];

  push(entry: HeapEntry): void {
    const { entries } = this;
    let at = entries.length;
    entries.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!comesFirst(entry, entries[parent]!)) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): HeapEntry | undefined {
    const { entries } = this;
    const top = entries[0];
    const last = entries.pop();
    if (!top || !last || entries.length === 0) return top;
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && comesFirst(entries[child + 1]!, entries[child]!)) child++;
      if (!comesFirst(entries[child]!, last)) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = last;
    return top;
  }
}

function comesFirst(a: HeapEntry, b: HeapEntry): boolean {
  if (a.count !== b.count) return a.count > b.count;
  return a.pair.left !== b.pair.left ? a.pair.left < b.pair.left : a.pair.right < b.pair.right;
}
