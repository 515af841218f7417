import { sizeOf } from "./compare.ts";
import { Dict, Tuple } from "./containers.ts";
import { Unsupported } from "./errors.ts";
import { toJson } from "./json.ts";
import { count, round, toFloat, toInteger } from "./numbers.ts";
import { add } from "./operators.ts";
import { floatBody, percent } from "./percent.ts";
import { escapeHtml } from "./printing.ts";
import { bind, stringMethods } from "./string-methods.ts";
import {
  pointLength,
  pointSlice,
  replaceText,
  rsplitText,
  spaceClass,
  splitLines,
  splitSpace,
} from "./text.ts";
import {
  type Arguments,
  Float,
  isInteger,
  Markup,
  numeric,
  PyObject,
  positional,
  raise,
  repr,
  str,
  textOf,
  toList,
  truthy,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** A filter: the value before | and the arguments of the call. */
export type Filter = (value: Value, args: Arguments) => Value;

/** Binds the arguments of a filter by name. Errors: TypeError. */
export function bindFilter(
  name: string,
  args: Arguments,
  names: readonly string[],
  least = 0,
): (Value | undefined)[] {
  return bind(`the filter '${name}'`, args, names, least);
}

/** A filter that is a method of str, applied to the value's text. */
function method(name: string, method = name): Filter {
  return (value, args) => {
    bindFilter(name, args, []);
    return onText(value, (text) => stringMethods[method]!(text, positional()) as string);
  };
}

/** Changes a text; one that is marked as HTML stays marked. */
function onText(value: Value, change: (text: string) => string): Value {
  return value instanceof Markup ? new Markup(change(value.text)) : change(str(value));
}

export function escaped(value: Value): Markup {
  return value instanceof Markup ? value : new Markup(escapeHtml(str(value)));
}

const wordStart = new RegExp(`([-${spaceClass}({\\[<]+)`);

function title(value: Value, args: Arguments): Value {
  bindFilter("title", args, []);
  const parts = onPlain(value)
    .split(wordStart)
    .filter((part) => part !== "");
  const text = parts
    .map((part) => {
      const first = String.fromCodePoint(part.codePointAt(0)!);
      return first.toUpperCase() + part.slice(first.length).toLowerCase();
    })
    .join("");
  return text;
}

const onPlain = (value: Value): string => textOf(value) ?? str(value);

function indent(value: Value, args: Arguments): Value {
  const [width = 4, first = false, blank = false] = bindFilter("indent", args, ["width", "first", "blank"]);
  const by = textOf(width) ?? " ".repeat(Math.max(0, count(width)));
  if (textOf(value) === undefined) add(value, "\n");
  return onText(value, (text) => {
    const lines = splitLines(`${text}\n`, false);
    const rest = lines.slice(1).map((line) => (truthy(blank) || line !== "" ? by + line : line));
    return (truthy(first) ? by : "") + [lines[0]!, ...rest].join("\n");
  });
}

/** Strings that are longer by this much are not cut, by Jinja's policy "truncate.leeway". */
const truncateLeeway = 5;

function truncate(value: Value, args: Arguments): Value {
  const [length = 255, killWords = false, end = "...", leeway] = bindFilter("truncate", args, [
    "length",
    "killwords",
    "end",
    "leeway",
  ]);
  const text = textOf(value);
  const size = count(length);
  const ending = textOf(end) ?? raise("TypeError", "the end of the filter 'truncate' must be str");
  const slack = leeway === undefined || leeway === null ? truncateLeeway : count(leeway);
  const endSize = pointLength(ending);
  if (size < endSize) raise("AssertionError", `expected length >= ${endSize}, got ${size}`);
  if (slack < 0) raise("AssertionError", `expected leeway >= 0, got ${slack}`);
  if (text === undefined) {
    const length = sizeOf(value) ?? raise("TypeError", `object of type '${typeName(value)}' has no len()`);
    if (length <= size + slack) return value;
    throw new Unsupported(`the filter 'truncate' of a ${typeName(value)}`);
  }
  if (pointLength(text) <= size + slack) return value;
  const cut = pointSlice(text, 0, size - endSize);
  const kept = truthy(killWords) ? cut : rsplitText(cut, " ", 1)[0]!;
  return value instanceof Markup ? new Markup(kept + escapeHtml(ending)) : kept + ending;
}

function fileSize(value: Value, args: Arguments): Value {
  const [binary = false] = bindFilter("filesizeformat", args, ["binary"]);
  const bytes = toFloat(value);
  const base = truthy(binary) ? 1024 : 1000;
  if (bytes === 1) return "1 Byte";
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  const prefixes = [..."kMGTPEZY"].map((letter) =>
    truthy(binary) ? `${letter.toUpperCase()}iB` : `${letter}B`,
  );
  const at = prefixes.findIndex((_, i) => bytes < base ** (i + 2));
  const last = at < 0 ? prefixes.length - 1 : at;
  return `${floatBody((base * bytes) / base ** (last + 2), "f", 1, false)} ${prefixes[last]}`;
}

function format(value: Value, { positional, named }: Arguments): Value {
  if (positional.length > 0 && named.size > 0)
    raise("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
  if (value instanceof Markup) throw new Unsupported("the filter 'format' of a text marked as safe");
  return percent(str(value), named.size > 0 ? Dict.of(named) : new Tuple(positional));
}

function quoteUrl(value: Value, query: boolean): string {
  const text = textOf(value) ?? str(value);
  let result = "";
  for (const byte of new TextEncoder().encode(text)) {
    const unit = String.fromCharCode(byte);
    if (/[A-Za-z0-9_.~-]/.test(unit) || (!query && unit === "/")) result += unit;
    else if (query && unit === " ") result += "+";
    else result += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return result;
}

function urlEncode(value: Value, args: Arguments): Value {
  bindFilter("urlencode", args, []);
  if (
    !(Array.isArray(value) || value instanceof PyObject) ||
    value instanceof Markup ||
    value instanceof Float
  )
    return quoteUrl(value, false);
  const pairs =
    value instanceof Dict ? toList(value).map((key) => [key, value.get(key)!]) : toList(value).map(toList);
  for (const pair of pairs) if (pair.length !== 2) raise("ValueError", "urlencode takes pairs");
  return pairs.map(([key, item]) => `${quoteUrl(key!, true)}=${quoteUrl(item!, true)}`).join("&");
}

function xmlAttributes(value: Value, args: Arguments): Value {
  const [space = true] = bindFilter("xmlattr", args, ["autospace"]);
  if (value instanceof Undefined) value.raise();
  if (!(value instanceof Dict))
    raise("AttributeError", `'${typeName(value)}' object has no attribute 'items'`);
  const parts: string[] = [];
  for (const [key, item] of value.entries.values()) {
    if (item === null || item instanceof Undefined) continue;
    const name = textOf(key) ?? raise("TypeError", "names of attributes are strings");
    if (/[ \t-\r/>=]/.test(name)) raise("ValueError", `Invalid character in attribute name: ${repr(key)}`);
    parts.push(`${escaped(key).text}="${escaped(item).text}"`);
  }
  return (truthy(space) && parts.length > 0 ? " " : "") + parts.join(" ");
}

const entities: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\xa0",
};

/** What an entity of HTML stands for. Errors: Unsupported, for most of the 2,000 names and for codes with rules of their own. */
function entity(whole: string, name: string): string {
  if (whole.endsWith(";")) {
    if (entities[name]) return entities[name];
    const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    if (name.startsWith("#") && ((code >= 0x20 && code < 0x7f) || (code >= 0xa0 && code < 0xd800)))
      return String.fromCodePoint(code);
  }
  throw new Unsupported(`the entity ${whole} in the filter 'striptags'`);
}

function stripTags(value: Value, args: Arguments): Value {
  bindFilter("striptags", args, []);
  let text = onPlain(value);
  for (const [start, end] of [
    ["<!--", "-->"],
    ["<", ">"],
  ] as const) {
    for (let at = text.indexOf(start); at >= 0; at = text.indexOf(start)) {
      const close = text.indexOf(end, at);
      if (close < 0) break;
      text = text.slice(0, at) + text.slice(close + end.length);
    }
  }
  return splitSpace(text, -1)
    .join(" ")
    .replace(/&(#\d+|#[xX][\da-fA-F]+|[A-Za-z]\w*);?/g, entity);
}

function int(value: Value, args: Arguments): Value {
  const [otherwise = 0, base = 10] = bindFilter("int", args, ["default", "base"]);
  try {
    return toInteger(value, count(base));
  } catch (error) {
    if (!isKind(error, "TypeError", "ValueError")) throw error;
  }
  try {
    return toInteger(new Float(toFloat(value)));
  } catch (error) {
    if (!isKind(error, "TypeError", "ValueError", "OverflowError")) throw error;
    return otherwise;
  }
}

function float(value: Value, args: Arguments): Value {
  const [otherwise = new Float(0)] = bindFilter("float", args, ["default"]);
  try {
    return new Float(toFloat(value));
  } catch (error) {
    if (!isKind(error, "TypeError", "ValueError")) throw error;
    return otherwise;
  }
}

export function isKind(error: unknown, ...kinds: string[]): boolean {
  return kinds.includes((error as { kind?: string }).kind ?? "");
}

function roundFilter(value: Value, args: Arguments): Value {
  const [precision = 0, way = "common"] = bindFilter("round", args, ["precision", "method"]);
  if (way !== "common" && way !== "ceil" && way !== "floor")
    raise("FilterArgumentError", "method must be common, ceil or floor");
  if (way === "common") return round(value, precision);
  if (numeric(value) === undefined) {
    if (value instanceof Undefined) value.raise();
    raise("TypeError", `the filter 'round' takes a number, not ${typeName(value)}`);
  }
  const unit = 10 ** count(precision);
  return new Float(Math[way](toFloat(value) * unit) / unit);
}

function absolute(value: Value, args: Arguments): Value {
  bindFilter("abs", args, []);
  if (value instanceof Float) return new Float(Math.abs(value.value));
  if (!isInteger(value)) raise("TypeError", `bad operand type for abs(): '${typeName(value)}'`);
  const whole = typeof value === "boolean" ? Number(value) : value;
  return whole < 0 ? -whole : whole;
}

const notRandom =
  (name: string): Filter =>
  () => {
    throw new Unsupported(`the filter '${name}'`);
  };

/** Filters of single values: texts and numbers. Errors: TypeError, ValueError, UndefinedError, Unsupported. */
export const textFilters: Readonly<Record<string, Filter>> = {
  abs: absolute,
  capitalize: method("capitalize"),
  center: (value, args) => {
    const [width = 80] = bindFilter("center", args, ["width"]);
    return onText(value, (text) => stringMethods.center!(text, positional(width)) as string);
  },
  e: escaped,
  escape: (value, args) => {
    bindFilter("escape", args, []);
    return escaped(value);
  },
  filesizeformat: fileSize,
  float,
  forceescape: (value) => new Markup(escapeHtml(onPlain(value))),
  format,
  indent,
  int,
  lower: method("lower"),
  pprint: notRandom("pprint"),
  random: notRandom("random"),
  replace: (value, args) => {
    const [old, by, times] = bindFilter("replace", args, ["old", "new", "count"], 2);
    return replaceText(str(value), str(old!), str(by!), (times ?? null) === null ? -1 : count(times!));
  },
  round: roundFilter,
  safe: (value) => (value instanceof Markup ? value : new Markup(str(value))),
  string: (value) => (value instanceof Markup ? value : str(value)),
  striptags: stripTags,
  title,
  tojson: (value, args) => {
    const [ensureAscii, indent, separators, sortKeys] = bindFilter("tojson", args, [
      "ensure_ascii",
      "indent",
      "separators",
      "sort_keys",
    ]);
    return toJson(value, { ensureAscii, indent, separators, sortKeys });
  },
  trim: (value, args) => {
    const [chars = null] = bindFilter("trim", args, ["chars"]);
    return onText(value, (text) => stringMethods.strip!(text, positional(chars)) as string);
  },
  truncate,
  upper: method("upper"),
  urlencode: urlEncode,
  urlize: notRandom("urlize"),
  wordcount: (value) => (onPlain(value).match(/[\p{L}\p{N}_]+/gu) ?? []).length,
  wordwrap: notRandom("wordwrap"),
  xmlattr: xmlAttributes,
};
