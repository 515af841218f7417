import { surfaceToBytes } from "../byte-level.ts";
import type { Part } from "./part.ts";
import { matcherOf, replaceMatches } from "./pattern.ts";

/**
 * A step from the tokens of ids to their text, for tokens that come one by one. A token may come in several chunks, where a step before
 * has joined all tokens to one: then only the last chunk, at the end, says that the token ends.
 */
export interface DecoderStep {
  push(chunk: string, ends: boolean, out: Sink): void;
  /** No more chunks come. */
  end(out: Sink): void;
}

export type Sink = (chunk: string, ends: boolean) => void;

/** How a text begins for a step. */
export interface Beginning {
  /** Whether tokens came before, which are not decoded. */
  readonly begun: boolean;
  /** Whether a step before joins all tokens to one. */
  readonly joined: boolean;
}

/** Makes a step anew for every text. */
export type Decoder = (beginning: Beginning) => DecoderStep;

/** The decoders of a tokenizer.json, in order. Source: tokenizers 0.23, decoders/. Errors: tokenizer, with the key. */
export function decodersOf(part: Part): Decoder[] {
  switch (part.type) {
    case "Sequence":
      return part.parts("decoders").flatMap(decodersOf);
    case "ByteLevel":
      return [byteLevel];
    case "ByteFallback":
      return [byteFallback];
    case "Fuse":
      return [fuse];
    case "Strip":
      return [strip(part.string("content"), part.count("start"), part.count("stop"))];
    case "Replace": {
      const [matches, by] = [matcherOf(part), part.string("content")];
      const change = (token: string): string => replaceMatches(token, matches(token), by);
      const pattern = part.part("pattern").raw("String");
      return [typeof pattern === "string" && pattern.length === 1 ? eachChunk(change) : eachToken(change)];
    }
    case "Metaspace": {
      const replacement = part.string("replacement");
      const drops = part.one("prepend_scheme", ["first", "never", "always"], "always") !== "never";
      return [eachToken((token, i) => token.replaceAll(replacement, drops && i === 0 ? "" : " "))];
    }
    case "WordPiece": {
      const [prefix, clean] = [part.string("prefix"), part.boolean("cleanup")];
      return [
        eachToken((token, i) => {
          const joined =
            i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
          return clean ? cleanWordPieces(joined) : joined;
        }),
      ];
    }
    case "BPEDecoder":
      return [wordEnds(part.string("suffix"))];
    case "CTC":
      return [ctc(part.string("pad_token"), part.string("word_delimiter_token"), part.boolean("cleanup"))];
    default:
      return part.unsupported("type");
  }
}

/** Without a decoder, tokens stand with spaces between them. */
export const spaced: Decoder = eachToken((token, i) => (i === 0 ? token : ` ${token}`));

function cleanWordPieces(text: string): string {
  return text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" do not", " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}

/** A step that changes each token for itself; `i` counts tokens from 0. */
function eachToken(change: (token: string, i: number) => string): Decoder {
  return ({ begun }) => {
    let i = begun ? 1 : 0;
    let token = "";
    return {
      push(chunk, ends, out) {
        token += chunk;
        if (!ends) return;
        out(change(token, i++), true);
        token = "";
      },
      end() {},
    };
  };
}

/** A step that changes every character for itself. */
function eachChunk(change: (chunk: string) => string): Decoder {
  return () => ({
    push: (chunk, ends, out) => out(change(chunk), ends),
    end() {},
  });
}

/** Joins all tokens to one. */
function fuse(): DecoderStep {
  return {
    push: (chunk, _, out) => out(chunk, false),
    end: (out) => out("", true),
  };
}

function byteLevel(): DecoderStep {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const encoder = new TextEncoder();
  let token = "";
  return {
    push(chunk, ends, out) {
      token += chunk;
      if (!ends) return;
      out(decoder.decode(surfaceToBytes(token) ?? encoder.encode(token), { stream: true }), false);
      token = "";
    },
    end: (out) => out(decoder.decode(), true),
  };
}

/** Tokens such as <0xE2> in a row are the bytes of a text; where they are none, each is U+FFFD. They wait for the token after them. */
function byteFallback(): DecoderStep {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let bytes: number[] = [];
  let token = "";
  const settle = (out: Sink): void => {
    if (bytes.length === 0) return;
    try {
      out(decoder.decode(Uint8Array.from(bytes)), true);
    } catch {
      for (const _ of bytes) out("\ufffd", true);
    }
    bytes = [];
  };
  return {
    push(chunk, ends, out) {
      token += chunk;
      if (!ends) return;
      const byte = byteOf(token);
      if (byte === undefined) {
        settle(out);
        out(token, true);
      } else bytes.push(byte);
      token = "";
    },
    end: settle,
  };
}

/** <0x0A> is 10. As in Rust, a sign stands for a digit: <0x+A> is 10 too. */
export function byteOf(token: string): number | undefined {
  const match = /^<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/.exec(token);
  return match ? Number.parseInt(match[1]!.replace("+", ""), 16) : undefined;
}

/** Drops up to `start` and `stop` times a character where a token begins and ends. */
function strip(content: string, start: number, stop: number): Decoder {
  return ({ begun, joined }) => {
    let left = begun && joined ? 0 : start; // the one token of a text that goes on has begun
    let held = "";
    return {
      push(chunk, ends, out) {
        let text = held + chunk;
        held = "";
        for (; left > 0 && text !== ""; left--)
          if (text.startsWith(content)) text = text.slice(content.length);
          else left = 1;
        let kept = text.length;
        for (let i = 0; i < stop && kept > 0 && text.endsWith(content, kept); i++) kept -= content.length;
        if (!ends) held = text.slice(kept);
        out(text.slice(0, kept), ends);
        if (ends) left = start;
      },
      end() {},
    };
  };
}

/** What ends a word becomes a space, and nothing in the last token, so that a token waits for the next. */
function wordEnds(suffix: string): Decoder {
  const replaced = (token: string, by: string): string =>
    suffix === ""
      ? [by, ...Array.from(token, (character) => character + by)].join("")
      : token.replaceAll(suffix, by);
  return () => {
    let [before, token]: [string | undefined, string] = [undefined, ""];
    return {
      push(chunk, ends, out) {
        token += chunk;
        if (!ends) return;
        if (before !== undefined) out(replaced(before, " "), true);
        [before, token] = [token, ""];
      },
      end(out) {
        if (before !== undefined) out(replaced(before, ""), true);
      },
    };
  };
}

/** A token that comes again and again counts once; the pad token is what stands between. */
function ctc(pad: string, delimiter: string, clean: boolean): Decoder {
  return () => {
    let [before, token]: [string | undefined, string] = [undefined, ""];
    return {
      push(chunk, ends, out) {
        token += chunk;
        if (!ends) return;
        const text = token === before ? "" : token.replaceAll(pad, "");
        [before, token] = [token, ""];
        const shown = clean ? cleanWordPieces(text).replaceAll(delimiter, " ") : text;
        if (shown !== "") out(shown, true);
      },
      end() {},
    };
  };
}

/** The steps of a text, one after another. */
export function chain(decoders: readonly Decoder[], begun: boolean): DecoderStep {
  let joins = false;
  const steps = decoders.map((decoder) => {
    const step = decoder({ begun, joined: joins });
    joins ||= decoder === fuse || decoder === byteLevel;
    return step;
  });
  const sinkAfter = (i: number, out: Sink): Sink =>
    i + 1 === steps.length ? out : (chunk, ends) => steps[i + 1]!.push(chunk, ends, sinkAfter(i + 1, out));
  return {
    push: (chunk, ends, out) => steps[0]!.push(chunk, ends, sinkAfter(0, out)),
    end: (out) => {
      for (const [i, step] of steps.entries()) step.end(sinkAfter(i, out));
    },
  };
}

/** What transformers calls clean_up_tokenization_spaces: no spaces before signs. */
export function cleanSpaces(text: string): string {
  return text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}

/** Text that {@link cleanSpaces} may yet change waits: what it looks for begins with a space and has four characters at most. */
export function spaceCleaner(): DecoderStep {
  let held = "";
  return {
    push(chunk, _, out) {
      held += chunk;
      let cut = held.length;
      while (cut > 0 && held.slice(Math.max(0, cut - 4), cut).includes(" ")) cut--;
      if (cut < 4) return;
      out(cleanSpaces(held.slice(0, cut)), false);
      held = held.slice(cut);
    },
    end(out) {
      out(cleanSpaces(held), true);
      held = "";
    },
  };
}
