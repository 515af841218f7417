/** Text to ids and back. Ids run from 0 to vocabSize - 1. */
export interface Tokenizer {
  /** Ids in all, special ones included: the least number of rows an embedding needs. */
  readonly vocabSize: number;
  /** Begins a text, where the model knows such a token. */
  readonly bosId: number | null;
  /** Ends a text. */
  readonly eosId: number | null;
  /** Ids that end what a model writes: eosId and, of a chat model, the token that ends its turn. */
  readonly endIds: readonly number[];
  /**
   * The ids of a text. Special tokens written out in it, such as "<|endoftext|>", become their ids; with `addSpecial`
   * those that the tokenizer puts around a prompt (a leading bos, often) are added.
   */
  encode(text: string, options?: { addSpecial?: boolean }): Int32Array<ArrayBuffer>;
  /** The text of ids; bytes that are no UTF-8 become U+FFFD. `skipSpecial` leaves special tokens out. */
  decode(ids: ArrayLike<number>, options?: { skipSpecial?: boolean }): string;
  /** The bytes one id adds to a text. */
  bytes(id: number): Uint8Array;
  /** One id for a person to read: control characters escaped, parts of a character as <0xE2>. */
  token(id: number): string;
  /**
   * Decodes ids as they come. `after` are ids that came before them: their text is not given out, but a vocabulary that
   * begins texts with a space of its own drops that space only where nothing came before.
   */
  stream(after?: readonly number[]): TextStream;
}

/** Text of ids that come one by one, given out as soon as its characters are whole. */
export interface TextStream {
  /** The text that `id` completes; empty while a character is incomplete. */
  push(id: number): string;
  /** What is left at the end: an incomplete character becomes U+FFFD. */
  end(): string;
}

/** The bytes of pieces, one after another. */
export function concatenate(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
