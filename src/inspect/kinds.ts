/** What a token is made of, by its printable text. The order is that of the report's columns. */
export const tokenKinds = [
  "space + word",
  "word piece",
  "capitalised",
  "digits",
  "punctuation",
  "white space",
  "other",
] as const;

export type TokenKind = (typeof tokenKinds)[number];

/** The kind of a token's text: capitalised words (with or without a leading space) stand apart, since experts often part by case. */
export function tokenKind(text: string): TokenKind {
  if (/^\s+$/u.test(text)) return "white space";
  const bare = text.trim();
  if (/^\p{N}+$/u.test(bare)) return "digits";
  if (/^[\p{P}\p{S}]+$/u.test(bare)) return "punctuation";
  if (/^\p{Lu}[\p{L}\p{M}'’]*$/u.test(bare)) return "capitalised";
  if (/^[\p{L}\p{M}'’]+$/u.test(bare)) return /^\s/u.test(text) ? "space + word" : "word piece";
  return "other";
}
