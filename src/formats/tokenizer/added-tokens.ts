import { trimEnd } from "./pipeline/normalizers.ts";
import { wordCharacter } from "./pipeline/pre-tokenizers.ts";

/** A token that is found in a text before the text is cut. The names are those of tokenizer.json. */
export interface AddedToken {
  readonly content: string;
  /** Does not match next to a character of a word. */
  readonly single_word: boolean;
  /** Takes the white space before it along. */
  readonly lstrip: boolean;
  /** Takes the white space after it along. */
  readonly rstrip: boolean;
  /** Is looked for, normalised, in the normalised text, where the others are not. */
  readonly normalized: boolean;
  /** Is left out of a text for people. */
  readonly special: boolean;
}

/** A token that matches wherever its text stands. */
export const plainToken = (content: string, special: boolean): AddedToken => ({
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special,
});

/** A part of a text: an added token, or what lies between. */
export interface Section {
  readonly text: string;
  /** Where the section begins in the text. */
  readonly at: number;
  /** The added token's id. */
  readonly id?: number;
}

/** What a token is looked for as, in {@link AddedTokens}. */
interface Entry {
  readonly id: number;
  readonly token: AddedToken;
}

/**
 * Cuts texts at added tokens: from the left, the longest of those that begin at one place. Source: tokenizers 0.23,
 * added_vocabulary.rs, find_matches. A token that its neighbours rule out (`single_word`) hides shorter ones, as there.
 */
export class AddedTokens {
  private readonly entries: ReadonlyMap<string, Entry>;
  private readonly expression: RegExp | undefined;

  /** @param entries ids and tokens by the text they are looked for as */
  constructor(entries: ReadonlyMap<string, Entry>) {
    this.entries = entries;
    this.expression = expressionOf(entries.keys());
  }

  /** The sections of a text, without empty ones. */
  cut(text: string): Section[] {
    if (text === "") return [];
    if (!this.expression) return [{ text, at: 0 }];
    const sections: Section[] = [];
    let done = 0;
    for (const { 0: match, index } of text.matchAll(this.expression)) {
      const { id, token } = this.entries.get(match)!;
      let [start, end] = [index, index + match.length];
      if (token.single_word && isInsideWord(text, start, end)) continue;
      if (token.lstrip) start = Math.max(trimEnd(text.slice(done, start)).length + done, done);
      if (token.rstrip) end += /^\p{White_Space}*/u.exec(text.slice(end))![0].length;
      if (done < start) sections.push({ text: text.slice(done, start), at: done });
      // Nothing is left of a token of white space that the token before it took along.
      if (start < end) sections.push({ text: text.slice(start, end), at: start, id });
      done = end;
    }
    if (done < text.length) sections.push({ text: text.slice(done), at: done });
    return sections;
  }
}

const endsInWord = new RegExp(`[${wordCharacter}]$`, "u");
const beginsInWord = new RegExp(`^[${wordCharacter}]`, "u");

function isInsideWord(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - 2), start);
  const after = text.slice(end, end + 2);
  return endsInWord.test(before) || beginsInWord.test(after);
}

/** Matches any of the tokens, the longest first; undefined where there is none. */
function expressionOf(tokens: Iterable<string>): RegExp | undefined {
  const sorted = [...tokens].filter((token) => token !== "").sort((a, b) => b.length - a.length);
  if (sorted.length === 0) return undefined;
  return new RegExp(sorted.map((token) => token.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|"), "gu");
}
