import { ConclaveError, fail } from "../errors.ts";
import type { TextStream, Tokenizer } from "../formats/index.ts";
import type { GeneratedToken } from "./options.ts";

/** Text as it is written, with the token that it came with. */
export interface TextPiece {
  /** What can be shown now; empty while a character is incomplete or a stop string may be under way. */
  readonly text: string;
  /** Null for what was held back until the end. */
  readonly token: GeneratedToken | null;
  /** Why it is the last piece; "stop": a stop string, which is cut off, was met. */
  readonly finish: GeneratedToken["finish"] | "stop";
}

/** Cuts a text that comes in pieces at the first stop string, and holds back what may yet turn out to begin one. */
export class StopCutter {
  private readonly stops: readonly string[];
  private held = "";

  constructor(stops: readonly string[]) {
    if (stops.includes("")) fail("usage", "stop: an empty string would stop everything");
    this.stops = stops;
  }

  /** What of the text so far can be shown, and whether it ended at a stop string. */
  push(piece: string): { readonly text: string; readonly stopped: boolean } {
    const text = this.held + piece;
    const found = this.stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.held = "";
      return { text: text.slice(0, Math.min(...found)), stopped: true };
    }
    const kept = Math.max(0, ...this.stops.map((stop) => longestStart(text, stop)));
    this.held = text.slice(text.length - kept);
    return { text: text.slice(0, text.length - kept), stopped: false };
  }

  /** What was held back and is shown after all. */
  end(): string {
    const { held } = this;
    this.held = "";
    return held;
  }
}

/** The length of the longest end of `text` that `stop` begins with. */
function longestStart(text: string, stop: string): number {
  for (let n = Math.min(text.length, stop.length - 1); n > 0; n--)
    if (text.endsWith(stop.slice(0, n))) return n;
  return 0;
}

/**
 * Whether a tokenizer has a token of this id. Models have more rows than their tokenizers have tokens where a vocabulary was padded, and
 * such an id stands for no text, as in transformers.
 */
export function knowsToken(tokenizer: Tokenizer, id: number): boolean {
  if (id >= tokenizer.vocabSize) return false;
  try {
    tokenizer.bytes(id);
    return true;
  } catch (error) {
    if (isUnknown(error)) return false;
    throw error;
  }
}

/** Decodes ids as they come, without those that the tokenizer does not know. */
class KnownStream implements TextStream {
  private readonly tokenizer: Tokenizer;
  private stream: TextStream;
  private last: readonly number[];

  constructor(tokenizer: Tokenizer, after: readonly number[]) {
    this.tokenizer = tokenizer;
    this.last = after.filter((id) => knowsToken(tokenizer, id));
    this.stream = tokenizer.stream(this.last);
  }

  push(id: number): string {
    if (id >= this.tokenizer.vocabSize) return "";
    try {
      const text = this.stream.push(id);
      this.last = [id];
      return text;
    } catch (error) {
      if (!isUnknown(error) || knowsToken(this.tokenizer, id)) throw error;
      this.stream = this.tokenizer.stream(this.last); // it may hold the id that it could not read
      return "";
    }
  }

  end(): string {
    return this.stream.end();
  }
}

function isUnknown(error: unknown): boolean {
  return error instanceof ConclaveError && error.code === "tokenizer";
}

/**
 * The text of generated tokens, cut exactly at the first of the `stop` strings, after which the tokens' iterator is ended. An end token
 * has no text, and neither has an id that the tokenizer does not know. `after` are the ids that the text goes on from, such as a prompt's: without them it is a text of its own, which in some
 * vocabularies begins with a space that is dropped. Errors: "usage" for an empty stop string.
 */
export async function* textOf(
  tokens: AsyncIterable<GeneratedToken>,
  tokenizer: Tokenizer,
  stop: readonly string[] = [],
  after: readonly number[] = [],
): AsyncGenerator<TextPiece> {
  const stream = new KnownStream(tokenizer, after);
  const cutter = new StopCutter(stop);
  let finish: GeneratedToken["finish"] = null;
  for await (const token of tokens) {
    finish = token.finish;
    const { text, stopped } = cutter.push(finish === "end" ? "" : stream.push(token.id));
    // The reason to end comes with the last piece, and there may be text held back.
    yield { text, token, finish: stopped ? "stop" : null };
    if (stopped) return;
  }
  const { text, stopped } = cutter.push(stream.end());
  yield { text: stopped ? text : text + cutter.end(), token: null, finish: stopped ? "stop" : finish };
}
