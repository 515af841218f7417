/** Matches any of the tokens, the longest first; undefined where there is none. */
export function expressionOf(tokens: Iterable<string>): RegExp | undefined {
  const sorted = [...tokens].sort((a, b) => b.length - a.length);
  if (sorted.length === 0) return undefined;
  return new RegExp(
    `(${sorted.map((token) => token.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|")})`,
    "u",
  );
}
