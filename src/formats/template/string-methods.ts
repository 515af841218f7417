import { Tuple, takes } from "./containers.ts";
import { count } from "./numbers.ts";
import { escapeHtml } from "./printing.ts";
import {
  capitalize,
  countText,
  pointIndex,
  pointLength,
  pointSlice,
  replaceText,
  rsplitSpace,
  rsplitText,
  spaceClass,
  splitLines,
  splitSpace,
  splitText,
  strip,
  swapCase,
  titleText,
} from "./text.ts";
import {
  type Arguments,
  Markup,
  raise,
  repr,
  textOf,
  toList,
  truthy,
  typeName,
  type Value,
} from "./values.ts";

type Method = (text: string, args: Arguments) => Value;

/** A str argument. Errors: TypeError. */
function text(value: Value | undefined, what: string): string {
  const given = value === undefined ? undefined : textOf(value);
  return (
    given ??
    raise("TypeError", `${what} must be str, not ${value === undefined ? "nothing" : typeName(value)}`)
  );
}

/** Arguments that may be given by name too. Errors: TypeError. */
export function bind(
  name: string,
  { positional, named }: Arguments,
  names: readonly string[],
  least = 0,
): (Value | undefined)[] {
  if (positional.length > names.length)
    raise("TypeError", `${name} takes at most ${names.length} arguments (${positional.length} given)`);
  const bound: (Value | undefined)[] = names.map((_, i) => positional[i]);
  for (const [key, value] of named) {
    const at = names.indexOf(key);
    if (at < 0) raise("TypeError", `${name} got an unexpected keyword argument '${key}'`);
    if (bound[at] !== undefined) raise("TypeError", `${name} got multiple values for argument '${key}'`);
    bound[at] = value;
  }
  for (let i = 0; i < least; i++)
    if (bound[i] === undefined) raise("TypeError", `${name} misses the argument '${names[i]}'`);
  return bound;
}

/** Where [start:end] lies in a text, in code points; the piece, and whether there is one. */
function piece(
  whole: string,
  start: Value | undefined,
  end: Value | undefined,
): { part: string; from: number; empty: boolean } {
  const bound = (value: Value | undefined, otherwise: number, length: number) => {
    if (value === undefined || value === null) return otherwise;
    const at = count(value);
    return at < 0 ? Math.max(0, at + length) : at;
  };
  if ((start ?? null) === null && (end ?? null) === null) return { part: whole, from: 0, empty: false };
  const length = pointLength(whole);
  const from = bound(start, 0, length);
  const to = Math.min(length, bound(end, length, length));
  return { part: pointSlice(whole, from, Math.max(from, to)), from, empty: from > to || from > length };
}

function finder(last: boolean, name: string, strict: boolean): Method {
  return (whole, args) => {
    const [sub, start, end] = takes(name, args, 1, 3);
    const wanted = text(sub, `${name}() argument`);
    const { part, from, empty } = piece(whole, start, end);
    const unit = empty ? -1 : last ? part.lastIndexOf(wanted) : part.indexOf(wanted);
    if (unit < 0 && strict) raise("ValueError", "substring not found");
    return unit < 0 ? -1 : from + pointIndex(part, unit);
  };
}

function edge(name: string, holds: (whole: string, affix: string) => boolean): Method {
  return (whole, args) => {
    const [affix, start, end] = takes(name, args, 1, 3);
    const { part, empty } = piece(whole, start, end);
    if (affix instanceof Tuple)
      return affix.items.some((item) => holds(part, text(item, `${name}() element`))) && !empty;
    const given = affix === undefined ? undefined : textOf(affix);
    if (given === undefined)
      raise("TypeError", `${name} first arg must be str or a tuple of str, not ${typeName(affix!)}`);
    return !empty && holds(part, given);
  };
}

function stripper(name: string, left: boolean, right: boolean): Method {
  return (whole, args) => {
    const [chars = null] = takes(name, args, 0, 1);
    return strip(whole, chars === null ? null : text(chars, `${name} argument`), left, right);
  };
}

function splitter(name: string, bySpace: typeof splitSpace, byText: typeof splitText): Method {
  return (whole, args) => {
    const [separator = null, max = -1] = bind(name, args, ["sep", "maxsplit"]);
    if (separator === null) return bySpace(whole, count(max));
    const by = text(separator, "separator");
    if (by === "") raise("ValueError", "empty separator");
    return byText(whole, by, count(max));
  };
}

function padder(
  name: string,
  pad: (missing: number, length: number, width: number) => [left: number, right: number],
): Method {
  return (whole, args) => {
    const [width, fill = " "] = takes(name, args, 1, 2);
    const filler = text(fill, "the fill character");
    if (pointLength(filler) !== 1)
      raise("TypeError", "The fill character must be exactly one character long");
    const wanted = count(width!);
    const length = pointLength(whole);
    if (wanted <= length) return whole;
    const [left, right] = pad(wanted - length, length, wanted);
    return filler.repeat(left) + whole + filler.repeat(right);
  };
}

function partitioner(name: string, last: boolean): Method {
  return (whole, args) => {
    const separator = text(takes(name, args, 1, 1)[0], `${name}() argument`);
    if (separator === "") raise("ValueError", "empty separator");
    const at = last ? whole.lastIndexOf(separator) : whole.indexOf(separator);
    if (at < 0) return new Tuple(last ? ["", "", whole] : [whole, "", ""]);
    return new Tuple([whole.slice(0, at), separator, whole.slice(at + separator.length)]);
  };
}

function simple(name: string, change: (whole: string) => Value): Method {
  return (whole, args) => {
    takes(name, args, 0, 0);
    return change(whole);
  };
}

const digit =
  "\\p{Nd}\\u{b2}\\u{b3}\\u{b9}\\u{1369}-\\u{1371}\\u{19da}\\u{2070}\\u{2074}-\\u{2079}\\u{2080}-\\u{2089}\\u{2460}-\\u{2468}\\u{2474}-\\u{247c}\\u{2488}-\\u{2490}\\u{24ea}\\u{24f5}-\\u{24fd}\\u{24ff}\\u{2776}-\\u{277e}\\u{2780}-\\u{2788}\\u{278a}-\\u{2792}\\u{10a40}-\\u{10a43}\\u{10e60}-\\u{10e68}\\u{11052}-\\u{1105a}\\u{1f100}-\\u{1f10a}";
/** Numbers that Unicode counts as letters: those of Chinese. */
const numeral =
  "\\u{3405}\\u{3483}\\u{382a}\\u{3b4d}\\u{4e00}\\u{4e03}\\u{4e07}\\u{4e09}\\u{4e5d}\\u{4e8c}\\u{4e94}\\u{4e96}\\u{4ebf}-\\u{4ec0}\\u{4edf}\\u{4ee8}\\u{4f0d}\\u{4f70}\\u{5104}\\u{5146}\\u{5169}\\u{516b}\\u{516d}\\u{5341}\\u{5343}-\\u{5345}\\u{534c}\\u{53c1}-\\u{53c4}\\u{56db}\\u{58f1}\\u{58f9}\\u{5e7a}\\u{5efe}-\\u{5eff}\\u{5f0c}-\\u{5f0e}\\u{5f10}\\u{62fe}\\u{634c}\\u{67d2}\\u{6f06}\\u{7396}\\u{767e}\\u{8086}\\u{842c}\\u{8cae}\\u{8cb3}\\u{8d30}\\u{9621}\\u{9646}\\u{964c}\\u{9678}\\u{96f6}\\u{f96b}\\u{f973}\\u{f978}\\u{f9b2}\\u{f9d1}\\u{f9d3}\\u{f9fd}\\u{20001}\\u{20064}\\u{200e2}\\u{20121}\\u{2092a}\\u{20983}\\u{2098c}\\u{2099c}\\u{20aea}\\u{20afd}\\u{20b19}\\u{22390}\\u{22998}\\u{23b1b}\\u{2626d}\\u{2f890}";

/** Methods that hold where every character is of a class, and there is one. */
function every(name: string, inside: string): Method {
  // Built when it is first used: a pattern of Unicode takes milliseconds.
  let pattern: RegExp | undefined;
  return simple(name, (whole) => {
    pattern ??= new RegExp(`^[${inside}]+$`, "u");
    return pattern.test(whole);
  });
}

/** Whether all letters with case have the case asked for, and there is one. */
export function hasCase(whole: string, upper: boolean): boolean {
  return (
    (upper ? /[\p{Uppercase}]/u : /[\p{Lowercase}]/u).test(whole) &&
    !(upper ? /[\p{Lowercase}\p{Lt}]/u : /[\p{Uppercase}\p{Lt}]/u).test(whole)
  );
}

function isTitle(whole: string): boolean {
  let [after, any] = [false, false];
  for (const point of whole) {
    if (/[\p{Uppercase}\p{Lt}]/u.test(point)) {
      if (after) return false;
      [after, any] = [true, true];
    } else if (/\p{Lowercase}/u.test(point)) {
      if (!after) return false;
    } else after = false;
  }
  return any;
}

/** Python's str methods; each takes the text and the arguments of the call. Errors: TypeError, ValueError. */
export const stringMethods: Readonly<Record<string, Method>> = {
  __proto__: null as never,
  capitalize: simple("capitalize", capitalize),
  casefold: simple("casefold", (whole) => whole.replaceAll("ß", "ss").toLowerCase().replaceAll("ς", "σ")),
  center: padder("center", (missing, _, width) => {
    const left = Math.floor(missing / 2) + (missing & width & 1);
    return [left, missing - left];
  }),
  count: (whole, args) => {
    const [sub, start, end] = takes("count", args, 1, 3);
    const { part, empty } = piece(whole, start, end);
    return empty ? 0 : countText(part, text(sub, "count() argument"));
  },
  endswith: edge("endswith", (whole, affix) => whole.endsWith(affix)),
  expandtabs: (whole, args) => {
    const size = count(bind("expandtabs", args, ["tabsize"])[0] ?? 8);
    let [result, column] = ["", 0];
    for (const point of whole) {
      if (point === "\t") {
        const spaces = size > 0 ? size - (column % size) : 0;
        result += " ".repeat(spaces);
        column += spaces;
      } else {
        result += point;
        column = point === "\n" || point === "\r" ? 0 : column + 1;
      }
    }
    return result;
  },
  find: finder(false, "find", false),
  index: finder(false, "index", true),
  isalnum: every("isalnum", `\\p{L}\\p{N}${numeral}`),
  isalpha: every("isalpha", "\\p{L}"),
  isascii: simple("isascii", (whole) => !/[^\0-\x7f]/.test(whole)),
  isdecimal: every("isdecimal", "\\p{Nd}"),
  isdigit: every("isdigit", digit),
  isidentifier: simple("isidentifier", (whole) => /^[\p{ID_Start}_][\p{ID_Continue}]*$/u.test(whole)),
  islower: simple("islower", (whole) => hasCase(whole, false)),
  isnumeric: every("isnumeric", `\\p{N}${numeral}`),
  isprintable: simple("isprintable", (whole) => !/[\p{C}\p{Z}]/u.test(whole.replaceAll(" ", ""))),
  isspace: every("isspace", spaceClass),
  istitle: simple("istitle", isTitle),
  isupper: simple("isupper", (whole) => hasCase(whole, true)),
  join: (whole, args) => {
    const items = toList(takes("join", args, 1, 1)[0]!);
    return items
      .map(
        (item, i) =>
          textOf(item) ??
          raise("TypeError", `sequence item ${i}: expected str instance, ${typeName(item)} found`),
      )
      .join(whole);
  },
  ljust: padder("ljust", (missing) => [0, missing]),
  lower: simple("lower", (whole) => whole.toLowerCase()),
  lstrip: stripper("lstrip", true, false),
  partition: partitioner("partition", false),
  removeprefix: (whole, args) => {
    const affix = text(takes("removeprefix", args, 1, 1)[0], "removeprefix() argument");
    return whole.startsWith(affix) ? whole.slice(affix.length) : whole;
  },
  removesuffix: (whole, args) => {
    const affix = text(takes("removesuffix", args, 1, 1)[0], "removesuffix() argument");
    return affix !== "" && whole.endsWith(affix) ? whole.slice(0, -affix.length) : whole;
  },
  replace: (whole, args) => {
    // Python 3.13 takes the count by name too.
    const [old, by, times = -1] = bind("replace", args, ["old", "new", "count"], 2);
    return replaceText(
      whole,
      text(old, "replace() argument 1"),
      text(by, "replace() argument 2"),
      count(times),
    );
  },
  rfind: finder(true, "rfind", false),
  rindex: finder(true, "rindex", true),
  rjust: padder("rjust", (missing) => [missing, 0]),
  rpartition: partitioner("rpartition", true),
  rsplit: splitter("rsplit", rsplitSpace, rsplitText),
  rstrip: stripper("rstrip", false, true),
  split: splitter("split", splitSpace, splitText),
  splitlines: (whole, args) => splitLines(whole, truthy(bind("splitlines", args, ["keepends"])[0] ?? false)),
  startswith: edge("startswith", (whole, affix) => whole.startsWith(affix)),
  strip: stripper("strip", true, true),
  swapcase: simple("swapcase", swapCase),
  title: simple("title", titleText),
  upper: simple("upper", (whole) => whole.toUpperCase()),
  zfill: (whole, args) => {
    const width = count(takes("zfill", args, 1, 1)[0]!);
    const missing = width - pointLength(whole);
    if (missing <= 0) return whole;
    const sign = /^[+-]/.test(whole) ? whole[0]! : "";
    return sign + "0".repeat(missing) + whole.slice(sign.length);
  },
};

/** Methods of str that a template may name, and that are not here. */
export const missingStringMethods: ReadonlySet<string> = new Set(["encode", "maketrans", "translate"]);

/** A method of a text marked as HTML: what is put into it is escaped, what comes of it is marked. */
export function markupMethod(name: string): ((whole: Markup, args: Arguments) => Value) | undefined {
  const method = stringMethods[name];
  if (!method) return undefined;
  return (whole, { positional, named }) => {
    const safe = (value: Value) =>
      value instanceof Markup ? value.text : escapeHtml(textOf(value) ?? repr(value));
    const escaped = positional.map((value, i) => {
      if (name === "join") return toList(value).map(safe);
      return i === 1 && ["replace", "ljust", "rjust", "center"].includes(name) ? safe(value) : value;
    });
    const mark = (value: Value): Value => {
      if (typeof value === "string") return new Markup(value);
      if (Array.isArray(value)) return value.map(mark);
      return value instanceof Tuple ? new Tuple(value.items.map(mark)) : value;
    };
    return mark(method(whole.text, { positional: escaped, named }));
  };
}
