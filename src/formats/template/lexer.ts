import { TemplateSyntaxError, Unsupported } from "./errors.ts";
import { type Integer, integer } from "./numbers.ts";
import { codeEscape } from "./printing.ts";
import { spaceClass, strip } from "./text.ts";

/**
 * Jinja's lexer under trim_blocks and lstrip_blocks, as transformers sets them: a newline after a block goes, and so does
 * white space before a block that begins its line. Source: jinja2/lexer.py 3.1.
 */

export interface Token {
  /** data, name, string, integer, float, eof, a delimiter such as block_begin, or the text of an operator. */
  readonly type: string;
  readonly value: string;
  /** Of an integer or a float. */
  readonly number?: Integer;
  readonly line: number;
}

const opening = /\{[{%#]/g;
const rawBegin = new RegExp(
  `\\{%([-+]?)[${spaceClass}]*raw[${spaceClass}]*(?:-%\\}[${spaceClass}]*|%\\})`,
  "y",
);
const rawEnd = new RegExp(
  `\\{%([-+]?)[${spaceClass}]*endraw[${spaceClass}]*(?:\\+%\\}|-%\\}[${spaceClass}]*|%\\}\\n?)`,
  "g",
);
const commentEnd = new RegExp(`\\+#\\}|-#\\}[${spaceClass}]*|#\\}\\n?`, "g");
const blockEnd = new RegExp(`\\+%\\}|-%\\}[${spaceClass}]*|%\\}\\n?`, "y");
const variableEnd = new RegExp(`-\\}\\}[${spaceClass}]*|\\}\\}`, "y");
const space = new RegExp(`[${spaceClass}]+`, "y");
const onlySpace = new RegExp(`^[${spaceClass}]+$`);
const floatNumber = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const integerNumber = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
// Nearly all names; patterns of Unicode take milliseconds to build.
const plainName = /[A-Za-z_]\w*(?![^\0-\x7f])/y;
const name = /[\p{L}\p{N}\p{M}_·℘℮゛゜]+/uy;
const identifier = /^[\p{ID_Start}_][\p{ID_Continue}]*$/u;
const stringLiteral = /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy;
const operator = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y;
const closing: Readonly<Record<string, string>> = { "{": "}", "(": ")", "[": "]" };

/** Errors: {@link TemplateSyntaxError}. */
export function tokenize(text: string): Token[] {
  const source = text.replace(/\r\n|\r/g, "\n").replace(/\n$/, "");
  const tokens: Token[] = [];
  let [at, line, lineStart] = [0, 1, true];

  const advance = (end: number) => {
    for (let i = at; i < end; i++) if (source.charCodeAt(i) === 10) line++;
    lineStart = end > at ? source[end - 1] === "\n" : lineStart;
    at = end;
  };
  const match = (pattern: RegExp, from = at): RegExpExecArray | null => {
    pattern.lastIndex = from;
    return pattern.exec(source);
  };
  /** Text before a tag, with white space taken off as the tag's sign says. */
  const data = (end: number, sign: string, isBlock: boolean) => {
    let part = source.slice(at, end);
    if (sign === "-") part = strip(part, null, false, true);
    else if (sign !== "+" && isBlock) {
      const from = part.lastIndexOf("\n") + 1;
      if ((from > 0 || lineStart) && onlySpace.test(part.slice(from))) part = part.slice(0, from);
    }
    if (part !== "") tokens.push({ type: "data", value: part, line });
  };

  while (at < source.length) {
    const found = match(opening);
    if (!found) {
      tokens.push({ type: "data", value: source.slice(at), line });
      break;
    }
    const kind = found[0][1]!;
    const raw = kind === "%" ? match(rawBegin, found.index) : null;
    if (raw) {
      data(found.index, raw[1]!, true);
      advance(found.index + raw[0].length);
      // Jinja's patterns need one more character to find that the end is missing.
      if (at >= source.length) break;
      const end = match(rawEnd);
      if (!end) throw new TemplateSyntaxError("Missing end of raw directive", line);
      data(end.index, end[1]!, true);
      advance(end.index + end[0].length);
      continue;
    }
    const next = source[found.index + 2];
    const sign = next === "-" || next === "+" ? next : "";
    data(found.index, sign, kind !== "{");
    advance(found.index + 2 + sign.length);
    if (kind === "#") {
      if (at >= source.length) break;
      const end = match(commentEnd);
      if (!end) throw new TemplateSyntaxError("Missing end of comment tag", line);
      advance(end.index + end[0].length);
    } else {
      tag(kind === "%" ? "block" : "variable");
    }
  }
  tokens.push({ type: "eof", value: "", line });
  return tokens;

  function tag(kind: "block" | "variable"): void {
    tokens.push({ type: `${kind}_begin`, value: "", line });
    const open: string[] = [];
    for (;;) {
      const end = open.length === 0 ? match(kind === "block" ? blockEnd : variableEnd) : null;
      if (end) {
        tokens.push({ type: `${kind}_end`, value: "", line });
        advance(at + end[0].length);
        return;
      }
      // Jinja ends quietly where the source ends within a tag; its parser then misses the end.
      if (at >= source.length) return;
      const blank = match(space);
      if (blank) {
        advance(at + blank[0].length);
        continue;
      }
      const token = inTag(open);
      tokens.push(token);
    }
  }

  function inTag(open: string[]): Token {
    let found = match(floatNumber);
    const token = (type: string, value: string, number?: Integer): Token => {
      const made = { type, value, number, line };
      advance(at + found![0].length);
      return made;
    };
    if (found) return token("float", found[0], Number(found[0].replaceAll("_", "")));
    found = match(integerNumber);
    if (found) return token("integer", found[0], integer(BigInt(found[0].replaceAll("_", "").toLowerCase())));
    found = match(plainName);
    if (found) return token("name", found[0]);
    found = match(name);
    if (found) {
      if (!identifier.test(found[0])) throw new TemplateSyntaxError("Invalid character in identifier", line);
      return token("name", found[0]);
    }
    found = match(stringLiteral);
    if (found) return token("string", unescaped(found[0].slice(1, -1), line));
    found = match(operator);
    if (!found) throw new TemplateSyntaxError(`unexpected char '${source[at]}'`, line);
    const text = found[0];
    if (closing[text]) open.push(closing[text]);
    else if (text === "}" || text === ")" || text === "]") {
      const expected = open.pop();
      if (expected === undefined) throw new TemplateSyntaxError(`unexpected '${text}'`, line);
      if (expected !== text)
        throw new TemplateSyntaxError(`unexpected '${text}', expected '${expected}'`, line);
    }
    return token(text, text);
  }
}

const simpleEscapes: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Escapes of a string, by Python's "unicode-escape". What is not ASCII counts as escaped itself, as in Jinja. */
function unescaped(text: string, line: number): string {
  if (!text.includes("\\")) return text;
  let ascii = "";
  for (const point of text) ascii += point > "\x7f" ? codeEscape(point.codePointAt(0)!) : point;
  return ascii.replace(
    /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))/gs,
    (whole, octal, x, u, U, other) => {
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      const hex = x ?? u ?? U;
      if (hex !== undefined) {
        const code = Number.parseInt(hex, 16);
        if (code >= 0xd800 && code < 0xe000)
          throw new Unsupported(`the escape ${whole}, half of a character,`);
        if (code > 0x10ffff) throw new TemplateSyntaxError("illegal Unicode character", line);
        return String.fromCodePoint(code);
      }
      if (other === "N") throw new Unsupported("the escape \\N{...} of a string");
      if (other === "x" || other === "u" || other === "U")
        throw new TemplateSyntaxError(`truncated \\${other} escape`, line);
      return simpleEscapes[other] ?? whole;
    },
  );
}
