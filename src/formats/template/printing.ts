/** How Python writes values: texts alone, without the values. */

const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

/** A str in quotes: single ones, unless it holds these and no double ones. What cannot be printed is escaped. */
export function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const ascii = /^[ -~]*$/.test(text);
  const body = text.replace(ascii ? /[\\'"]/g : /[\\\p{C}\p{Z}'"]/gu, (point) => {
    if (point === " ") return point;
    if (point === "'" || point === '"') return point === quote ? `\\${point}` : point;
    return escapes[point] ?? codeEscape(point.codePointAt(0)!);
  });
  return quote + body + quote;
}

/** Python's escape of a code point: \xNN, \uNNNN or \UNNNNNNNN. */
export function codeEscape(code: number): string {
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** Python's repr of a float: as few digits as name it, an exponent below 1e-4 and from 1e16. */
export function floatText(x: number): string {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (x === 0) return Object.is(x, -0) ? "-0.0" : "0.0";
  const [digits, exponent] = x.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (power < -4 || power >= 16) {
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const text = x.toString();
  if (!text.includes("e")) return text.includes(".") ? text : `${text}.0`;
  return x.toFixed(Math.max(1, digits.replace(/^-?\d\.?/, "").length - power));
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>'"]/g, (found) => htmlNames[found]!);
}

const htmlNames: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};
