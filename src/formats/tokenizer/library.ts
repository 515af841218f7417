import { Tokenizer as Library } from "@huggingface/tokenizers";
import { ConclaveError, fail } from "../../errors.ts";
import { readable, surfaceToBytes } from "./byte-level.ts";
import type { TextStream, Tokenizer } from "./tokenizer.ts";

export interface LibraryOptions {
  /** What errors call the tokenizer. */
  readonly name: string;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
  /** Whether decoding drops spaces before signs, as tokenizer_config.json says. */
  readonly cleanUpSpaces: boolean;
  /** Whether token surfaces are written in the byte alphabet. */
  readonly byteLevel: boolean;
}

/** Any tokenizer that Hugging Face's JavaScript library reads: SentencePiece-style BPE, Unigram, WordPiece. */
export class LibraryTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
  private readonly library: Library;
  private readonly options: LibraryOptions;
  private readonly surfaces: readonly (string | undefined)[];
  private readonly added: ReadonlySet<number>;

  constructor(tokenizerJson: object, configJson: object, options: LibraryOptions) {
    try {
      this.library = new Library(tokenizerJson, configJson);
    } catch (error) {
      throw new ConclaveError("tokenizer", `${options.name}: ${(error as Error).message}`, {
        remedy: "give token ids with --ids, or fetch the file again",
        cause: error,
      });
    }
    const surfaces: string[] = [];
    for (const [surface, id] of this.library.get_vocab()) surfaces[id] = surface;
    this.surfaces = surfaces;
    this.added = new Set(this.library.get_added_tokens_decoder().keys());
    this.vocabSize = surfaces.length;
    this.options = options;
    this.bosId = options.bosId;
    this.eosId = options.eosId;
    this.endIds = options.endIds;
  }

  encode(text: string, { addSpecial = false }: { addSpecial?: boolean } = {}): Int32Array<ArrayBuffer> {
    if (text === "" && !addSpecial) return new Int32Array(0);
    const { ids } = this.library.encode(text, { add_special_tokens: addSpecial });
    if (ids.includes(undefined as never))
      fail(
        "tokenizer",
        `${this.options.name} has no token for a part of the text`,
        "leave out characters that are rare in the model's languages, or give token ids with --ids",
      );
    return Int32Array.from(ids);
  }

  decode(ids: ArrayLike<number>, { skipSpecial = false }: { skipSpecial?: boolean } = {}): string {
    if (ids.length === 0) return "";
    for (let i = 0; i < ids.length; i++) this.surface(ids[i]!);
    return this.library.decode(Array.from(ids), {
      skip_special_tokens: skipSpecial,
      clean_up_tokenization_spaces: this.options.cleanUpSpaces,
    });
  }

  bytes(id: number): Uint8Array {
    const surface = this.surface(id);
    const encoder = new TextEncoder();
    if (this.added.has(id)) return encoder.encode(surface);
    const byte = /^<0x([0-9A-F]{2})>$/.exec(surface);
    if (byte) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    const asBytes = this.options.byteLevel ? surfaceToBytes(surface) : undefined;
    return asBytes ?? encoder.encode(surface.replaceAll("\u2581", " "));
  }

  token(id: number): string {
    return readable(this.bytes(id));
  }

  stream(after: readonly number[] = []): TextStream {
    return new WindowStream((ids) => this.decode(ids), after.slice(-1));
  }

  private surface(id: number): string {
    return (
      this.surfaces[id] ??
      fail("tokenizer", `there is no token ${id}; ids run from 0 to ${this.vocabSize - 1}`)
    );
  }
}

/**
 * Streams through a decoder that only knows whole lists of ids. A token's text depends on those before it (a leading
 * space is dropped at the start only), so a short window is decoded with and without the new id; the difference is given
 * out unless it ends in U+FFFD, the mark of a character whose other bytes are still to come.
 */
export class WindowStream implements TextStream {
  private readonly decode: (ids: readonly number[]) => string;
  private window: number[];
  /** How many ids of the window have been given out. */
  private done: number;

  /** @param after the ids before, whose text is not given out */
  constructor(decode: (ids: readonly number[]) => string, after: readonly number[] = []) {
    this.decode = decode;
    this.window = [...after];
    this.done = after.length;
  }

  push(id: number): string {
    this.window.push(id);
    const fresh = this.fresh();
    // Five ids without a whole character are no character in the making.
    if (fresh.endsWith("\ufffd") && this.window.length - this.done < 5) return "";
    this.settle();
    return fresh;
  }

  end(): string {
    const fresh = this.fresh();
    this.window = [];
    this.done = 0;
    return fresh;
  }

  private fresh(): string {
    return this.decode(this.window).slice(this.decode(this.window.slice(0, this.done)).length);
  }

  private settle(): void {
    this.window = this.window.slice(this.done);
    this.done = this.window.length;
  }
}
