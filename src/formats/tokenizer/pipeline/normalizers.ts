import { bytesToSurface } from "../byte-level.ts";
import type { Part } from "./part.ts";
import { matcherOf, replaceMatches } from "./pattern.ts";
import { precompiled } from "./precompiled.ts";
import { laterCharacters } from "./unicode.ts";

/** Text as it goes through the normalizers. */
export interface Normalized {
  readonly text: string;
  /** Whether the text begins where the original text began: a Metaspace with "first" asks for it. */
  readonly first: boolean;
}

export type Normalizer = (given: Normalized) => Normalized;

/** The normalizer of a tokenizer.json. Source: tokenizers 0.23, normalizers/. Errors: tokenizer, with the key. */
export function normalizerOf(part: Part): Normalizer {
  const { type } = part;
  switch (type) {
    case "Sequence": {
      const steps = part.parts("normalizers").map(normalizerOf);
      return (given) => steps.reduce((text, step) => step(text), given);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD":
      return mapped(unicodeForm(type));
    case "Lowercase":
      return mapped(lowercase);
    case "StripAccents":
      return filtered(known("[\\p{M}\\u1cf2\\u1cf3]", "marks"));
    case "Strip":
      return strip(part.boolean("strip_left"), part.boolean("strip_right"));
    case "Prepend": {
      const before = part.string("prepend");
      return mapped((text) => before + text);
    }
    case "Replace": {
      const [matches, by] = [matcherOf(part), part.string("content")];
      return ({ text, first }) => {
        const found = matches(text);
        const loses = by === "" && found[0] === 0 && found[1]! > 0;
        return { text: replaceMatches(text, found, by), first: first && !loses };
      };
    }
    case "Nmt":
      return nmt;
    case "BertNormalizer":
      return bert(part);
    case "ByteLevel":
      return mapped((text) => bytesToSurface(encoder.encode(text)));
    case "Precompiled":
      return mapped(precompiled(part));
    default:
      return part.unsupported("type");
  }
}

const encoder = new TextEncoder();

/** What matches, without the characters that tokenizers does not know yet. */
function known(expression: string, property: "accents" | "marks" | "control"): RegExp {
  return new RegExp(`(?:(?![${laterCharacters(property)}])${expression})+`, "gu");
}

/** A normal form of Unicode; characters that tokenizers does not know yet stay as they are. */
function unicodeForm(form: "NFC" | "NFD" | "NFKC" | "NFKD"): (text: string) => string {
  const unknown = laterCharacters(form);
  if (unknown === "") return (text) => text.normalize(form);
  const parts = new RegExp(`[${unknown}]+`, "gu");
  return (text) =>
    text.search(parts) < 0
      ? text.normalize(form)
      : text.replace(new RegExp(`[^${unknown}]+`, "gu"), (part) => part.normalize(form));
}

/** A step that keeps the beginning of a text; an empty text stays empty. */
function mapped(change: (text: string) => string): Normalizer {
  return (given) => (given.text === "" ? given : { text: change(given.text), first: given.first });
}

/** Removes what matches. */
function filtered(removed: RegExp): Normalizer {
  return ({ text, first }) => {
    const kept = text.replace(removed, "");
    return { text: kept, first: first && (kept.length === text.length || text.search(removed) !== 0) };
  };
}

/** Character by character: "Σ" at the end of a word is lowercased like any other. */
function lowercase(text: string): string {
  // U+0130 and U+03A3 are the characters whose lower case depends on where they stand or that take two characters.
  return /[\u0130\u03a3]/.test(text)
    ? Array.from(text, (character) => character.toLowerCase()).join("")
    : text.toLowerCase();
}

function strip(left: boolean, right: boolean): Normalizer {
  return (given) => {
    let { text, first } = given;
    if (left) {
      const kept = text.replace(/^\p{White_Space}+/u, "");
      first &&= kept.length === text.length;
      text = kept;
    }
    if (right) text = trimEnd(text);
    return { text, first };
  };
}

/** In time that grows with the text: an expression for white space at the end would not. */
export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}
const isSpace = /^\p{White_Space}$/u;

const nmtControl = "\\u0001-\\u0008\\u000b\\u000e-\\u001f\\u007f\\u008f\\u009f";
const nmtRemoved = filtered(new RegExp(`[${nmtControl}]+`, "gu"));
const nmtSpaces = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu;
const nmt: Normalizer = (given) => mapped((text) => text.replace(nmtSpaces, " "))(nmtRemoved(given));

/** Chinese characters as BERT has them. */
const han =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bert(part: Part): Normalizer {
  const steps: Normalizer[] = [];
  const lower = part.boolean("lowercase");
  if (part.boolean("clean_text")) {
    steps.push(filtered(known("(?![\\t\\n\\r])[\\0\\ufffd\\p{Cc}\\p{Cf}\\p{Co}]", "control")));
    steps.push(mapped((text) => text.replace(/\p{White_Space}/gu, " ")));
  }
  if (part.boolean("handle_chinese_chars")) steps.push(mapped((text) => text.replace(han, " $& ")));
  if (part.boolean("strip_accents", lower)) {
    steps.push(mapped(unicodeForm("NFD")));
    steps.push(filtered(known("[\\p{Mn}\\u1734\\u{1171e}]", "accents")));
  }
  if (lower) steps.push(mapped(lowercase));
  return (given) => steps.reduce((text, step) => step(text), given);
}
