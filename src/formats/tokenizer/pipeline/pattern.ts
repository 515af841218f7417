import { SplitPreTokenizer } from "@huggingface/tokenizers";
import { ConclaveError } from "../../../errors.ts";
import type { Part } from "./part.ts";

/** Where a pattern matches in a text: start and end of each match, two numbers each, in order and without overlap. */
export type Matcher = (text: string) => number[];

/** The pattern of a Split or Replace: {"String": text} or {"Regex": Oniguruma's syntax}. */
export function matcherOf(part: Part): Matcher {
  const pattern = part.part("pattern");
  if (pattern.has("String")) {
    const text = pattern.string("String");
    if (text === "") pattern.unsupported("String");
    return (within) => occurrences(within, text);
  }
  return expressionMatcher(expressionOf(pattern));
}

/** A text matches from the left, without overlap. */
function occurrences(within: string, text: string): number[] {
  const found: number[] = [];
  for (let at = within.indexOf(text); at >= 0; at = within.indexOf(text, at + text.length))
    found.push(at, at + text.length);
  return found;
}

/** The library rewrites Oniguruma's syntax to JavaScript's. */
function expressionOf(pattern: Part): RegExp {
  const Regex = pattern.string("Regex");
  try {
    const split = new SplitPreTokenizer({
      type: "Split",
      pattern: { Regex },
      behavior: "Isolated",
      invert: false,
    });
    if (split.pattern) return split.pattern;
  } catch (error) {
    throw new ConclaveError(
      "tokenizer",
      `${pattern.path}.Regex cannot be read: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
  return pattern.unsupported("Regex");
}

/** The matches of an expression with the flag g. Oniguruma passes over an empty match where the last match ended. */
export function expressionMatcher(expression: RegExp): Matcher {
  return (text) => {
    const found: number[] = [];
    for (const { 0: match, index } of text.matchAll(expression))
      if (match !== "" || index !== found.at(-1)) found.push(index, index + match.length);
    return found;
  };
}

/** Replaces every match. */
export function replaceMatches(text: string, matches: readonly number[], by: string): string {
  if (matches.length === 0) return text;
  let out = "";
  let end = 0;
  for (let i = 0; i < matches.length; i += 2) {
    out += text.slice(end, matches[i]) + by;
    end = matches[i + 1]!;
  }
  return out + text.slice(end);
}

/** What becomes of the matches when a text is cut at them; the names are those of tokenizer.json. */
export const behaviors = [
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
] as const;
export type Behavior = (typeof behaviors)[number];

interface Span {
  start: number;
  end: number;
  readonly match: boolean;
}

/** Matches and what lies between them, in order; `invert` exchanges the two. */
function spansOf(text: string, matches: readonly number[], invert: boolean): Span[] {
  const spans: Span[] = [];
  let end = 0;
  for (let i = 0; i < matches.length; i += 2) {
    if (end !== matches[i]) spans.push({ start: end, end: matches[i]!, match: invert });
    spans.push({ start: matches[i]!, end: matches[i + 1]!, match: !invert });
    end = matches[i + 1]!;
  }
  if (end !== text.length) spans.push({ start: end, end: text.length, match: invert });
  return spans;
}

/** Cuts a text: start and end of each piece, two numbers each. Source: tokenizers, normalizer.rs, `split`. */
export function cut(text: string, matches: readonly number[], behavior: Behavior, invert: boolean): number[] {
  const spans = spansOf(text, matches, invert);
  const pieces: number[] = [];
  for (const { start, end } of merge(spans, behavior)) if (start !== end) pieces.push(start, end);
  return pieces;
}

function merge(spans: Span[], behavior: Behavior): Span[] {
  if (behavior === "Isolated") return spans;
  if (behavior === "Removed") return spans.filter(({ match }) => !match);
  const backward = behavior === "MergedWithNext";
  if (backward) spans.reverse();
  const merged: Span[] = [];
  let before = false;
  for (const span of spans) {
    const last = merged.at(-1);
    const joins = behavior === "Contiguous" ? span.match === before : span.match && !before;
    if (!joins || !last) merged.push(span);
    else if (backward) last.start = span.start;
    else last.end = span.end;
    before = span.match;
  }
  return backward ? merged.reverse() : merged;
}
