/** A growing list of ids. */
export class IdList {
  private values: Int32Array<ArrayBuffer>;
  private length = 0;

  constructor(capacity: number) {
    this.values = new Int32Array(Math.ceil(capacity));
  }

  add(ids: ArrayLike<number>): void {
    const length = this.length + ids.length;
    if (length > this.values.length) {
      const larger = new Int32Array(2 * length);
      larger.set(this.values.subarray(0, this.length));
      this.values = larger;
    }
    for (let i = 0; i < ids.length; i++) this.values[this.length + i] = ids[i]!;
    this.length = length;
  }

  ids(): Int32Array<ArrayBuffer> {
    return this.values.slice(0, this.length);
  }
}

/** Distinct words whose ids are remembered; beyond it the memory starts anew. */
const rememberedWords = 200_000;
/** Longer words are not remembered: they hardly come twice. */
const longestRemembered = 64;

/** The ids of words, remembered: most words of a text come again. */
export class WordMemory {
  private readonly known = new Map<string, Int32Array<ArrayBuffer>>();
  private readonly encode: (word: string) => Int32Array<ArrayBuffer>;

  constructor(encode: (word: string) => Int32Array<ArrayBuffer>) {
    this.encode = encode;
  }

  idsOf(word: string): Int32Array<ArrayBuffer> {
    const known = this.known.get(word);
    if (known) return known;
    const ids = this.encode(word);
    if (word.length > longestRemembered) return ids;
    if (this.known.size >= rememberedWords) this.known.clear();
    this.known.set(word, ids);
    return ids;
  }
}
