import { fail } from "../../errors.ts";
import { readable } from "./byte-level.ts";
import type { MergeTable } from "./merge.ts";
import type { TextStream, Tokenizer } from "./tokenizer.ts";

/** Everything a byte-level BPE tokenizer is made of. */
export interface ByteBpeParts {
  /** The bytes of each id; a special token's are its text. */
  readonly bytesOf: readonly Uint8Array[];
  readonly merges: MergeTable;
  /** Cuts text into words. */
  readonly splitWords: (text: string) => string[];
  /** Tokens found in text before it is cut, with their ids. */
  readonly added: ReadonlyMap<string, number>;
  /** Ids that `skipSpecial` leaves out. */
  readonly special: ReadonlySet<number>;
  /** Take a word that is a token whole, without merging (Llama 3). */
  readonly wholeWordsFirst: boolean;
  /** Ids put before and after a text when asked for. */
  readonly around: { readonly before: readonly number[]; readonly after: readonly number[] };
  readonly bosId: number | null;
  readonly eosId: number | null;
}

/** Distinct words whose ids are remembered; beyond it the memory starts anew. */
const rememberedWords = 200_000;
/** Longer words are not remembered: they hardly come twice. */
const longestRemembered = 64;

/** Byte-level BPE: every text has ids, and every id has bytes. */
export class ByteBpeTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  private readonly parts: ByteBpeParts;
  private readonly idOfByte = new Int32Array(256);
  private readonly wholeWords = new Map<string, number>();
  private readonly addedExpression: RegExp | undefined;
  private readonly memory = new Map<string, Int32Array<ArrayBuffer>>();
  private readonly encoder = new TextEncoder();

  constructor(parts: ByteBpeParts) {
    this.parts = parts;
    this.vocabSize = parts.bytesOf.length;
    this.bosId = parts.bosId;
    this.eosId = parts.eosId;
    this.addedExpression = expressionOf(parts.added.keys());
    const addedIds = new Set(parts.added.values());
    for (const [id, bytes] of parts.bytesOf.entries()) {
      if (addedIds.has(id)) continue;
      if (bytes.length === 1) this.idOfByte[bytes[0]!] = id;
      if (parts.wholeWordsFirst) this.wholeWords.set(latin1(bytes), id);
    }
  }

  encode(text: string, { addSpecial = false }: { addSpecial?: boolean } = {}): Int32Array<ArrayBuffer> {
    const { added, around } = this.parts;
    const out = new IdList(text.length / 3 + 16);
    if (addSpecial) out.add(around.before);
    // A split on a captured group gives text and added tokens in turn.
    const pieces = this.addedExpression ? text.split(this.addedExpression) : [text];
    for (const [i, piece] of pieces.entries()) {
      if (i % 2 === 1) out.add([added.get(piece)!]);
      else for (const word of this.parts.splitWords(piece)) out.add(this.encodeWord(word));
    }
    if (addSpecial) out.add(around.after);
    return out.ids();
  }

  private encodeWord(word: string): Int32Array<ArrayBuffer> {
    const known = this.memory.get(word);
    if (known) return known;
    const bytes = this.encoder.encode(word);
    const whole = this.wholeWords.size > 0 ? this.wholeWords.get(latin1(bytes)) : undefined;
    const ids = whole === undefined ? this.parts.merges.apply(this.byteIds(bytes)) : Int32Array.of(whole);
    if (word.length > longestRemembered) return ids;
    if (this.memory.size >= rememberedWords) this.memory.clear();
    this.memory.set(word, ids);
    return ids;
  }

  private byteIds(bytes: Uint8Array): Int32Array<ArrayBuffer> {
    const ids = new Int32Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) ids[i] = this.idOfByte[bytes[i]!]!;
    return ids;
  }

  decode(ids: ArrayLike<number>, { skipSpecial = false }: { skipSpecial?: boolean } = {}): string {
    const kept = Array.from(ids).filter((id) => !(skipSpecial && this.parts.special.has(id)));
    const pieces = kept.map((id) => this.bytes(id));
    const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(all);
  }

  bytes(id: number): Uint8Array {
    return (
      this.parts.bytesOf[id] ??
      fail("tokenizer", `there is no token ${id}; ids run from 0 to ${this.vocabSize - 1}`)
    );
  }

  token(id: number): string {
    return readable(this.bytes(id));
  }

  stream(): TextStream {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      push: (id) => decoder.decode(this.bytes(id), { stream: true }),
      end: () => decoder.decode(),
    };
  }
}

/** Matches any of the tokens, the longest first; undefined where there is none. */
function expressionOf(tokens: Iterable<string>): RegExp | undefined {
  const sorted = [...tokens].sort((a, b) => b.length - a.length);
  if (sorted.length === 0) return undefined;
  return new RegExp(
    `(${sorted.map((token) => token.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|")})`,
    "u",
  );
}

/** Bytes as a string of as many characters, to serve as a key. */
function latin1(bytes: Uint8Array): string {
  let key = "";
  for (const byte of bytes) key += String.fromCharCode(byte);
  return key;
}

/** A growing list of ids. */
class IdList {
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
