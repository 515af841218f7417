import { takes } from "./containers.ts";
import { Unsupported } from "./errors.ts";
import { general, toFloat } from "./numbers.ts";
import { floatBody } from "./percent.ts";
import { pointLength, pointSlice } from "./text.ts";
import {
  type Arguments,
  ascii,
  Float,
  isInteger,
  raise,
  repr,
  str,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** How a field's attributes and items are looked up: as the template's own expressions are. */
export interface Lookup {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

/** Fields within the format of a field, and once more; then Python raises. */
const deepestSpec = 3;

/** Python's str.format. Errors: ValueError, IndexError, KeyError, TypeError. */
export function formatText(format: string, args: Arguments, lookup: Lookup): string {
  let automatic = 0;
  const expand = (source: string, depth: number): string => {
    if (depth > deepestSpec) raise("ValueError", "Max string recursion exceeded");
    let [result, at] = ["", 0];
    while (at < source.length) {
      const char = source[at]!;
      if ((char === "{" || char === "}") && source[at + 1] === char) {
        result += char;
        at += 2;
      } else if (char === "}") {
        raise("ValueError", "Single '}' encountered in format string");
      } else if (char !== "{") {
        result += char;
        at++;
      } else {
        const end = fieldEnd(source, at);
        result += field(source.slice(at + 1, end), depth);
        at = end + 1;
      }
    }
    return result;
  };
  const field = (source: string, depth: number): string => {
    const found = /^((?:\[[^\]]*\]|[^[!:])*)(?:!(.))?(?::(.*))?$/su.exec(source);
    if (!found) raise("ValueError", `expected ':' after conversion specifier in '${source}'`);
    const [, name = "", conversion, spec = ""] = found;
    let value = resolve(name);
    if (conversion === "s") value = str(value);
    else if (conversion === "r") value = repr(value);
    else if (conversion === "a") value = ascii(value);
    else if (conversion !== undefined) raise("ValueError", `Unknown conversion specifier ${conversion}`);
    return formatValue(value, expand(spec, depth + 1));
  };
  const resolve = (path: string): Value => {
    const [, first = "", rest = ""] = /^([^.[]*)(.*)$/s.exec(path)!;
    let value: Value | undefined;
    if (first === "" || /^\d+$/.test(first)) {
      if ((first === "") !== automatic >= 0 && automatic !== 0)
        raise("ValueError", "cannot switch between manual and automatic field numbering");
      const index = first === "" ? automatic++ : Number(first);
      if (first !== "") automatic = -1;
      value = args.positional[index];
      if (value === undefined)
        raise("IndexError", "Replacement index out of range for positional args tuple");
    } else {
      value = args.named.get(first);
      if (value === undefined) raise("KeyError", repr(first));
    }
    for (const [, name, key] of rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      value =
        name !== undefined
          ? lookup.attribute(value, name)
          : lookup.item(value, /^\d+$/.test(key!) ? Number(key) : key!);
    }
    return value;
  };
  return expand(format, 1);
}

function fieldEnd(source: string, start: number): number {
  let depth = 0;
  for (let at = start; at < source.length; at++) {
    if (source[at] === "{") depth++;
    else if (source[at] === "}" && --depth === 0) return at;
  }
  raise("ValueError", "expected '}' before end of string");
}

/** Python's format(value, spec). Errors: ValueError, TypeError. */
export function formatValue(value: Value, spec: string): string {
  if (spec === "") return str(value);
  const found = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/su.exec(
    spec,
  );
  const text = textOf(value);
  if (text === undefined && !isInteger(value) && !(value instanceof Float)) {
    if (value instanceof Undefined)
      raise("TypeError", "unsupported format string passed to Undefined.__format__");
    raise("TypeError", `unsupported format string passed to ${typeName(value)}.__format__`);
  }
  if (!found) raise("ValueError", `Invalid format specifier '${spec}'`);
  const [, fill, align, sign, z, alternate, zero, width = "0", group, precision, given] = found;
  // Numbers of a locale: those of the C locale.
  const type = given === "n" && text === undefined ? (value instanceof Float ? "g" : "d") : given;
  if (z) throw new Unsupported(`the format '${spec}'`);
  const pad = (prefix: string, body: string, standard: string): string => {
    const side = align ?? (zero ? "=" : standard);
    const filler = fill ?? (zero ? "0" : " ");
    const missing = Math.max(0, Number(width) - pointLength(prefix + body));
    if (side === "<") return prefix + body + filler.repeat(missing);
    if (side === ">") return filler.repeat(missing) + prefix + body;
    if (side === "=") return prefix + filler.repeat(missing) + body;
    const left = Math.floor(missing / 2);
    return filler.repeat(left) + prefix + body + filler.repeat(missing - left);
  };
  if (text !== undefined) {
    if (type !== undefined && type !== "s")
      raise("ValueError", `Unknown format code '${type}' for object of type 'str'`);
    if (sign || group || align === "=" || alternate)
      raise("ValueError", `Invalid format specifier '${spec}' for a str`);
    const body = precision === undefined ? text : pointSlice(text, 0, Number(precision));
    const side = align ?? "<";
    const missing = Math.max(0, Number(width) - pointLength(body));
    const filler = fill ?? (zero ? "0" : " ");
    const left = side === "<" ? 0 : side === ">" ? missing : Math.floor(missing / 2);
    return filler.repeat(left) + body + filler.repeat(missing - left);
  }
  if (type === "s") raise("ValueError", `Unknown format code 's' for object of type '${typeName(value)}'`);
  const asFloat = value instanceof Float || (type !== undefined && "eEfFgG%".includes(type));
  if (asFloat && type !== undefined && "bcdoxX".includes(type))
    raise("ValueError", `Unknown format code '${type}' for object of type 'float'`);
  const [negative, body, prefix] = asFloat
    ? [...floatField(toFloat(value), type, precision, alternate !== undefined), ""]
    : integerField(BigInt(value as number | bigint | boolean), type, precision, alternate !== undefined);
  const signText = negative ? "-" : sign === "+" || sign === " " ? sign : "";
  const grouped = group ? grouping(body as string, group, type) : (body as string);
  if (group && zero) throw new Unsupported(`the format '${spec}'`);
  return pad(signText + prefix, grouped, ">");
}

function floatField(
  x: number,
  type: string | undefined,
  precision: string | undefined,
  alternate: boolean,
): [boolean, string] {
  const negative = x < 0 || Object.is(x, -0);
  const size = Math.abs(x);
  const digits = precision === undefined ? 6 : Number(precision);
  if (type === "%") return [negative, `${floatBody(size * 100, "f", digits, alternate)}%`];
  if (type !== undefined) return [negative, floatBody(size, type, digits, alternate)];
  if (precision === undefined) return [negative, new Float(size).repr()];
  // Without a type: as g, but a point is always there.
  const text = Number.isFinite(size) ? general(size, digits, false) : new Float(size).repr();
  const power = size === 0 ? 0 : Math.floor(Math.log10(size));
  if (!text.includes("e") && power >= digits - 1 && Number.isFinite(size) && power >= digits)
    throw new Unsupported("a float in a format with a precision and no type");
  return [negative, /[.en]/.test(text) ? text : `${text}.0`];
}

function integerField(
  value: bigint,
  type: string | undefined,
  precision: string | undefined,
  alternate: boolean,
): [boolean, string, string] {
  if (precision !== undefined) raise("ValueError", "Precision not allowed in integer format specifier");
  if (type === "c") return [false, String.fromCodePoint(Number(value)), ""];
  const base = { b: 2, o: 8, x: 16, X: 16 }[type ?? ""] ?? 10;
  const digits = (value < 0n ? -value : value).toString(base);
  return [
    value < 0n,
    type === "X" ? digits.toUpperCase() : digits,
    alternate && base !== 10 ? `0${type}` : "",
  ];
}

/** Thousands, or groups of four for binary, octal and hexadecimal digits. */
function grouping(body: string, mark: string, type: string | undefined): string {
  const size = type !== undefined && "boxX".includes(type) ? 4 : 3;
  const [, digits = "", rest = ""] = /^([\da-fA-F]*)(.*)$/s.exec(
    type === undefined || !"xX".includes(type) ? body.replace(/e/, "\0") : body,
  )!;
  return digits.replace(new RegExp(`(?<=.)(?=(?:.{${size}})+$)`, "g"), mark) + rest.replace("\0", "e");
}

/** str.format and format_map of a text, as functions. */
export function formatMethod(
  format: string,
  map: boolean,
  lookup: Lookup,
  asNames: (value: Value) => ReadonlyMap<string, Value>,
): (args: Arguments) => Value {
  if (!map) return (args) => formatText(format, args, lookup);
  return (args) =>
    formatText(format, { positional: [], named: asNames(takes("format_map", args, 1, 1)[0]!) }, lookup);
}
