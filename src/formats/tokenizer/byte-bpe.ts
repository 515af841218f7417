import { fail } from "../../errors.ts";
import { expressionOf } from "./added-tokens.ts";
import { bytesToSurface, readable } from "./byte-level.ts";
import type { MergeTable } from "./merge.ts";
import { concatenate, type TextStream, type Tokenizer } from "./tokenizer.ts";
import { IdList, WordMemory } from "./word-ids.ts";

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
  /** Words taken whole, without merging (Llama 3), in the byte alphabet; null: none. */
  readonly wholeWords: ReadonlyMap<string, number> | null;
  /** Ids put before and after a text when asked for. */
  readonly around: { readonly before: readonly number[]; readonly after: readonly number[] };
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
}

/** Byte-level BPE: every id has bytes, and every text has ids where every byte has one (else `encode` fails: tokenizer). */
export class ByteBpeTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
  private readonly parts: ByteBpeParts;
  /** -1 where no token is this byte alone. */
  private readonly idOfByte = new Int32Array(256).fill(-1);
  private readonly addedExpression: RegExp | undefined;
  private readonly memory = new WordMemory((word) => this.encodeWord(word));
  private readonly encoder = new TextEncoder();

  constructor(parts: ByteBpeParts) {
    this.parts = parts;
    this.vocabSize = parts.bytesOf.length;
    this.bosId = parts.bosId;
    this.eosId = parts.eosId;
    this.endIds = parts.endIds;
    this.addedExpression = expressionOf(parts.added.keys());
    const addedIds = new Set(parts.added.values());
    for (const [id, bytes] of parts.bytesOf.entries()) {
      if (addedIds.has(id)) continue;
      if (bytes.length === 1) this.idOfByte[bytes[0]!] = id;
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
      else for (const word of this.parts.splitWords(piece)) out.add(this.memory.idsOf(word));
    }
    if (addSpecial) out.add(around.after);
    return out.ids();
  }

  private encodeWord(word: string): Int32Array<ArrayBuffer> {
    const bytes = this.encoder.encode(word);
    const whole = this.parts.wholeWords?.get(bytesToSurface(bytes));
    return whole === undefined ? this.parts.merges.apply(this.byteIds(bytes)) : Int32Array.of(whole);
  }

  private byteIds(bytes: Uint8Array): Int32Array<ArrayBuffer> {
    const ids = new Int32Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) {
      ids[i] = this.idOfByte[bytes[i]!]!;
      if (ids[i]! < 0)
        fail("tokenizer", `the vocabulary has no token for the byte ${readable(bytes.subarray(i, i + 1))}`);
    }
    return ids;
  }

  decode(ids: ArrayLike<number>, { skipSpecial = false }: { skipSpecial?: boolean } = {}): string {
    const kept = Array.from(ids).filter((id) => !(skipSpecial && this.parts.special.has(id)));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      concatenate(kept.map((id) => this.bytes(id))),
    );
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
