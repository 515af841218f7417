/** Strings by code point, as Python counts them. Strings without surrogates, nearly all, take JavaScript's way. */

const surrogate = /[\ud800-\udfff]/;

export function pointLength(text: string): number {
  if (!surrogate.test(text)) return text.length;
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** The string's code points; an array of strings only where one is needed. */
export function points(text: string): string | string[] {
  return surrogate.test(text) ? [...text] : text;
}

export function pointSlice(text: string, start: number, end: number): string {
  const all = points(text);
  return typeof all === "string" ? all.slice(start, end) : all.slice(start, end).join("");
}

/** Position in code points of a position in UTF-16 units. */
export function pointIndex(text: string, unit: number): number {
  return unit <= 0 ? unit : pointLength(text.slice(0, unit));
}

/** Order by code point. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  if (!surrogate.test(a) && !surrogate.test(b)) return a < b ? -1 : 1;
  const [p, q] = [[...a], [...b]];
  for (let i = 0; i < Math.min(p.length, q.length); i++) {
    if (p[i] !== q[i]) return p[i]!.codePointAt(0)! - q[i]!.codePointAt(0)!;
  }
  return p.length - q.length;
}

/** What str.isspace() holds for, as the inside of a character class. JavaScript's \s differs by six characters. */
export const spaceClass =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const leadingSpace = new RegExp(`^[${spaceClass}]+`);
const isSpace = new RegExp(`^[${spaceClass}]$`);
const spaceRun = new RegExp(`[${spaceClass}]+`);

/** str.strip, lstrip and rstrip: of white space, or of any of the characters given. */
export function strip(text: string, chars: string | null, left: boolean, right: boolean): string {
  const set = chars === null ? undefined : new Set(chars);
  const drops = (point: string) => (set ? set.has(point) : isSpace.test(point));
  let [start, end] = [0, text.length];
  while (left && start < end) {
    const point = String.fromCodePoint(text.codePointAt(start)!);
    if (!drops(point)) break;
    start += point.length;
  }
  while (right && end > start) {
    const low = text.charCodeAt(end - 1);
    const pair = low >= 0xdc00 && low < 0xe000 && end - 2 >= start && text.codePointAt(end - 2)! > 0xffff;
    const point = text.slice(pair ? end - 2 : end - 1, end);
    if (!drops(point)) break;
    end -= point.length;
  }
  return text.slice(start, end);
}

/** str.split(None, max): at runs of white space, none at the ends. A negative max is none. */
export function splitSpace(text: string, max: number): string[] {
  const parts: string[] = [];
  let rest = text.replace(leadingSpace, "");
  while (rest !== "" && (max < 0 || parts.length < max)) {
    const found = spaceRun.exec(rest);
    if (!found) break;
    parts.push(rest.slice(0, found.index));
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest !== "") parts.push(rest);
  return parts;
}

export function rsplitSpace(text: string, max: number): string[] {
  if (max < 0) return splitSpace(text, -1);
  const parts: string[] = [];
  let rest = strip(text, null, false, true);
  while (rest !== "" && parts.length < max) {
    const found = new RegExp(`[${spaceClass}]+(?=[^${spaceClass}]*$)`).exec(rest);
    if (!found) break;
    parts.unshift(rest.slice(found.index + found[0].length));
    rest = rest.slice(0, found.index);
  }
  if (rest !== "") parts.unshift(rest);
  return parts;
}

export function splitText(text: string, separator: string, max: number): string[] {
  const parts = text.split(separator);
  if (max < 0 || parts.length <= max + 1) return parts;
  return [...parts.slice(0, max), parts.slice(max).join(separator)];
}

export function rsplitText(text: string, separator: string, max: number): string[] {
  if (max < 0) return text.split(separator);
  const parts: string[] = [];
  let rest = text;
  while (parts.length < max) {
    const at = rest.lastIndexOf(separator, rest.length - separator.length);
    if (at < 0 || rest.length < separator.length) break;
    parts.unshift(rest.slice(at + separator.length));
    rest = rest.slice(0, at);
  }
  return [rest, ...parts];
}

const lineEnd = "\\r\\n|[\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029]";
const lineOf = new RegExp(`.*?(?:${lineEnd})|.+$`, "gs");
const endOfLine = new RegExp(`(?:${lineEnd})$`);

/** str.splitlines: Python ends lines at more characters than \\n. */
export function splitLines(text: string, keepEnds: boolean): string[] {
  const lines = text.match(lineOf) ?? [];
  return keepEnds ? lines : lines.map((line) => line.replace(endOfLine, ""));
}

/** str.replace; a negative count is all. */
export function replaceText(text: string, old: string, by: string, count: number): string {
  if (count === 0) return text;
  if (old !== "") {
    if (count < 0) return text.replaceAll(old, () => by);
    return splitText(text, old, count).join(by);
  }
  const all = [...text];
  const times = count < 0 ? all.length + 1 : Math.min(count, all.length + 1);
  let result = "";
  for (let i = 0; i <= all.length; i++) result += (i < times ? by : "") + (all[i] ?? "");
  return result;
}

/** str.count: occurrences that do not overlap. */
export function countText(text: string, part: string): number {
  return part === "" ? pointLength(text) + 1 : text.split(part).length - 1;
}

// Letters whose title case is another than their upper case: digraphs, Georgian, ligatures.
const digraphs: Readonly<Record<string, string>> = Object.fromEntries(
  ["\u01c4\u01c5\u01c6", "\u01c7\u01c8\u01c9", "\u01ca\u01cb\u01cc", "\u01f1\u01f2\u01f3"].flatMap((forms) =>
    [...forms].map((form) => [form, forms[1]!]),
  ),
);

function titlePoint(point: string): string {
  if (digraphs[point]) return digraphs[point];
  if (/[\u10d0-\u10ff\u1f80-\u1faf\u1fb3\u1fbc\u1fc3\u1fcc\u1ff3\u1ffc]/.test(point)) {
    return /[\u10d0-\u10ff]/.test(point) ? point : titleGreek(point);
  }
  const upper = [...point.toUpperCase()];
  return upper.length === 1 ||
    /[\u0149\u01f0\u0390\u03b0\u1e96-\u1e9a\u1f50-\u1f56\u1fb6\u1fc6\u1fd2-\u1fd7\u1fe2-\u1fe7\u1ff6]/.test(
      point,
    )
    ? upper.join("")
    : upper[0]! + upper.slice(1).join("").toLowerCase();
}

/** Greek letters with an iota below have one of their own: upper case splits it off. */
function titleGreek(point: string): string {
  const code = point.codePointAt(0)!;
  if (code < 0x1fb0) return String.fromCodePoint(code | 8);
  return String.fromCodePoint(code === 0x1fb3 || code === 0x1fc3 || code === 0x1ff3 ? code + 9 : code);
}

/** str.capitalize. */
export function capitalize(text: string): string {
  if (text === "") return "";
  const first = String.fromCodePoint(text.codePointAt(0)!);
  return titlePoint(first) + text.slice(first.length).toLowerCase();
}

const cased = /[\p{Lu}\p{Ll}\p{Lt}\p{Uppercase}\p{Lowercase}]/u;

/** str.title: a capital after everything that has no case. */
export function titleText(text: string): string {
  let [result, after] = ["", false];
  for (const point of text) {
    result += after ? point.toLowerCase() : titlePoint(point);
    after = cased.test(point);
  }
  return result;
}

export function swapCase(text: string): string {
  let result = "";
  for (const point of text) {
    const lower = point.toLowerCase();
    result += lower === point ? point.toUpperCase() : lower;
  }
  return result;
}
