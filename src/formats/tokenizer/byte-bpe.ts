import { fail } from "../../errors.ts";
import { type AddedToken, AddedTokens } from "./added-tokens.ts";
import { bytesToSurface, readable, wellFormed } from "./byte-level.ts";
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
  /** The ids of the vocabulary itself, which words are made of. */
  readonly vocabulary: Iterable<number>;
  /** Tokens found in text before it is cut, by id. */
  readonly added: ReadonlyMap<number, AddedToken>;
  /** Whether special tokens in a text are text like any other. */
  readonly splitSpecial: boolean;
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
  /** Added tokens are looked for in two turns: the normalised ones in what the others leave. */
  private readonly written: AddedTokens;
  private readonly normalized: AddedTokens;
  private readonly memory = new WordMemory((word) => this.encodeWord(word));
  private readonly encoder = new TextEncoder();

  constructor(parts: ByteBpeParts) {
    this.parts = parts;
    this.vocabSize = parts.bytesOf.length;
    this.bosId = parts.bosId;
    this.eosId = parts.eosId;
    this.endIds = parts.endIds;
    const searched = [...parts.added].filter(([, { special }]) => !(special && parts.splitSpecial));
    const lookedFor = (normalized: boolean): AddedTokens => {
      const tokens = searched.filter(([, token]) => token.normalized === normalized);
      return new AddedTokens(new Map(tokens.map(([id, token]) => [token.content, { id, token }])));
    };
    this.written = lookedFor(false);
    this.normalized = lookedFor(true);
    for (const id of parts.vocabulary) {
      const bytes = parts.bytesOf[id]!;
      if (bytes.length === 1) this.idOfByte[bytes[0]!] = id;
    }
  }

  encode(text: string, { addSpecial = false }: { addSpecial?: boolean } = {}): Int32Array<ArrayBuffer> {
    const { around } = this.parts;
    const out = new IdList(text.length / 3 + 16);
    if (addSpecial) out.add(around.before);
    for (const section of this.written.cut(wellFormed(text))) {
      const parts = section.id === undefined ? this.normalized.cut(section.text) : [section];
      for (const part of parts)
        if (part.id !== undefined) out.add([part.id]);
        else for (const word of this.parts.splitWords(part.text)) out.add(this.memory.idsOf(word));
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
    const kept = Array.from(ids).filter((id) => !(skipSpecial && this.parts.added.get(id)?.special));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      concatenate(kept.map((id) => this.bytes(id))),
    );
  }

  bytes(id: number): Uint8Array {
    return this.parts.bytesOf[id] ?? noBytes;
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

/** Of an id beyond the vocabulary: models often have more rows than their tokenizer has tokens. */
const noBytes = new Uint8Array(0);
