/**
 * How text is cut into words before byte pairs are merged; no token crosses a cut. The rule is that of GPT-4 and
 * Llama 3: contractions; words, with one leading space or sign; up to three digits; runs of signs with the line
 * ends after them; line ends with the white space before them; other white space, leaving one space to the word after.
 */

/** The rule as tokenizer.json writes it (Oniguruma syntax). */
export const splitPattern: string = pattern("\\s", "\\S");

/** The same in JavaScript, where \s is another set (it has U+FEFF and lacks U+0085). */
const splitExpression = new RegExp(pattern("\\p{White_Space}", "\\P{White_Space}"), "gu");

// Letters of both cases are spelled out: inline (?i:) is beyond Node 20, and would let "ſ" pass for "s".
function pattern(space: string, notSpace: string): string {
  return [
    "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])",
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+",
    "\\p{N}{1,3}",
    ` ?[^${space}\\p{L}\\p{N}]+[\\r\\n]*`,
    `${space}*[\\r\\n]+`,
    `${space}+(?!${notSpace})`,
    `${space}+`,
  ].join("|");
}

/** Cuts text into words; joined, they are the text. */
export function splitWords(text: string): string[] {
  return text.match(splitExpression) ?? [];
}
