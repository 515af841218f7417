import { bytesToSurface } from "../byte-level.ts";
import type { Normalized } from "./normalizers.ts";
import type { Part } from "./part.ts";
import { type Behavior, behaviors, cut, expressionMatcher, type Matcher, matcherOf } from "./pattern.ts";
import { laterCharacters } from "./unicode.ts";

/** Cuts pieces of a text into smaller ones; none of them is empty. */
export type PreTokenizer = (pieces: readonly Normalized[]) => Normalized[];

/** GPT-2's rule, as tokenizers has it. */
export const gpt2Expression: RegExp =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
/** The word characters of Rust's regex crate. */
export const wordCharacter: string = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
const words = new RegExp(`[${wordCharacter}]+|[^${wordCharacter}\\p{White_Space}]+`, "gu");
const space = /\p{White_Space}/gu;
const punctuation = new RegExp(
  `[!-/:-@[-\`{-~]|[\\u166d\\u{111c9}]|(?![${laterCharacters("punctuation")}])\\p{P}`,
  "gu",
);

/** The pre-tokenizer of a tokenizer.json. Source: tokenizers 0.23, pre_tokenizers/. Errors: tokenizer, with the key. */
export function preTokenizerOf(part: Part): PreTokenizer {
  switch (part.type) {
    case "Sequence": {
      const steps = part.parts("pretokenizers").map(preTokenizerOf);
      return (pieces) => steps.reduce((cutPieces, step) => step(cutPieces), [...pieces]);
    }
    case "ByteLevel":
      return byteLevel(part);
    case "Metaspace":
      return metaspace(part);
    case "Split":
      return split(matcherOf(part), part.one("behavior", behaviors), part.boolean("invert"));
    case "Digits": {
      const behavior = part.boolean("individual_digits") ? "Isolated" : "Contiguous";
      return split(expressionMatcher(/\p{N}/gu), behavior);
    }
    case "Whitespace":
      return split(expressionMatcher(words), "Removed", true);
    case "WhitespaceSplit":
      return split(expressionMatcher(space), "Removed");
    case "Punctuation":
      return split(expressionMatcher(punctuation), part.one("behavior", behaviors, "Isolated"));
    case "BertPreTokenizer": {
      const [outer, inner] = [
        split(expressionMatcher(space), "Removed"),
        split(expressionMatcher(punctuation), "Isolated"),
      ];
      return (pieces) => inner(outer(pieces));
    }
    case "CharDelimiterSplit":
      return split(characterMatcher(part.string("delimiter")), "Removed");
    case "FixedLength":
      return fixedLength(part.count("length", 5) || part.unsupported("length"));
    default:
      return part.unsupported("type");
  }
}

function eachPiece(cuts: (piece: Normalized) => readonly number[]): PreTokenizer {
  return (pieces) => {
    const out: Normalized[] = [];
    for (const piece of pieces) {
      const at = cuts(piece);
      for (let i = 0; i < at.length; i += 2)
        out.push({ text: piece.text.slice(at[i], at[i + 1]), first: piece.first && at[i] === 0 });
    }
    return out;
  };
}

function split(matches: Matcher, behavior: Behavior, invert = false): PreTokenizer {
  return eachPiece(({ text }) => cut(text, matches(text), behavior, invert));
}

function characterMatcher(character: string): Matcher {
  return (text) => {
    const found: number[] = [];
    for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + character.length))
      found.push(at, at + character.length);
    return found;
  };
}

function byteLevel(part: Part): PreTokenizer {
  const prefix = part.boolean("add_prefix_space");
  const cuts = part.boolean("use_regex", true)
    ? split(expressionMatcher(gpt2Expression), "Isolated")
    : undefined;
  const encoder = new TextEncoder();
  return (pieces) => {
    const spaced = prefix
      ? pieces.map((piece) => (piece.text.startsWith(" ") ? piece : { ...piece, text: ` ${piece.text}` }))
      : pieces;
    return (cuts ? cuts(spaced) : spaced).map(({ text, first }) => ({
      text: bytesToSurface(encoder.encode(text)),
      first,
    }));
  };
}

function metaspace(part: Part): PreTokenizer {
  const replacement = part.string("replacement");
  const scheme = part.one("prepend_scheme", ["first", "never", "always"], "always");
  if (part.raw("add_prefix_space") === false && scheme !== "never") part.unsupported("add_prefix_space");
  const cuts = part.boolean("split", true)
    ? split(characterMatcher(replacement), "MergedWithNext")
    : undefined;
  return (pieces) => {
    const marked = pieces.map(({ text, first }) => {
      const spaced = text.replaceAll(" ", replacement);
      const begins =
        (scheme === "always" || (scheme === "first" && first)) && !spaced.startsWith(replacement);
      return { text: begins ? replacement + spaced : spaced, first };
    });
    return cuts ? cuts(marked) : marked;
  };
}

function fixedLength(length: number): PreTokenizer {
  return eachPiece(({ text }) => {
    const at: number[] = [];
    let [start, count, end] = [0, 0, 0];
    for (const character of text) {
      end += character.length;
      if (++count < length) continue;
      at.push(start, end);
      [start, count] = [end, 0];
    }
    if (start < end) at.push(start, end);
    return at;
  });
}
