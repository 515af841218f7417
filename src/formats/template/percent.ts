import { Dict, Range, Tuple } from "./containers.ts";
import { count, exponential, fixed, general, type Integer, toFloat } from "./numbers.ts";
import { pointLength, pointSlice } from "./text.ts";
import {
  ascii,
  Float,
  isInteger,
  or,
  raise,
  repr,
  str,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Python's `text % values`. Errors: TypeError, ValueError, KeyError. */
export function percent(format: string, values: Value): string {
  const given = values instanceof Tuple ? values.items : [values];
  let [used, byName] = [0, false];
  const next = (): Value =>
    used < given.length ? given[used++]! : raise("TypeError", "not enough arguments for format string");
  const pattern = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.|$)/gsu;
  const text = format.replace(pattern, (_all, name, flags, width, precision, type) => {
    if (type === "%") return "%";
    if (type === "") raise("ValueError", "incomplete format");
    let wide = width === "*" ? count(next()) : Number(width || 0);
    const exact =
      precision === undefined ? undefined : precision === "*" ? count(next()) : Number(precision || 0);
    let left = flags.includes("-");
    if (wide < 0) [wide, left] = [-wide, true];
    let value: Value;
    if (name !== undefined) {
      byName = true;
      if (!(values instanceof Dict)) raise("TypeError", "format requires a mapping");
      value = or(values.get(name), () => raise("KeyError", repr(name)));
    } else value = next();
    const { sign, body, number } = convert(type, value, exact, flags);
    const missing = wide - pointLength(sign + body);
    if (missing <= 0) return sign + body;
    if (left) return sign + body + " ".repeat(missing);
    return flags.includes("0") && number
      ? sign + "0".repeat(missing) + body
      : " ".repeat(missing) + sign + body;
  });
  // A mapping, or a sequence that is no tuple, may be left unused.
  const mapping =
    byName ||
    Array.isArray(values) ||
    values instanceof Dict ||
    values instanceof Range ||
    values instanceof Undefined;
  if (used < given.length && !mapping)
    raise("TypeError", "not all arguments converted during string formatting");
  return text;
}

interface Converted {
  readonly sign: string;
  readonly body: string;
  readonly number: boolean;
}

function convert(type: string, value: Value, precision: number | undefined, flags: string): Converted {
  const plain = (text: string): Converted => ({
    sign: "",
    body: precision === undefined ? text : pointSlice(text, 0, precision),
    number: false,
  });
  switch (type) {
    case "s":
      return plain(str(value));
    case "r":
      return plain(repr(value));
    case "a":
      return plain(ascii(value));
    case "c":
      return { ...plain(character(value)), body: character(value) };
    case "d":
    case "i":
    case "u":
      return signed(...whole(value, type), precision, flags, "");
    case "x":
    case "X":
    case "o": {
      if (!isInteger(value))
        raise("TypeError", `%${type} format: an integer is required, not ${typeName(value)}`);
      const big = BigInt(value);
      const digits = (big < 0n ? -big : big).toString(type === "o" ? 8 : 16);
      const prefix = flags.includes("#") ? `0${type}` : "";
      return signed(big < 0n, type === "X" ? digits.toUpperCase() : digits, precision, flags, prefix);
    }
    case "e":
    case "E":
    case "f":
    case "F":
    case "g":
    case "G": {
      if (!isInteger(value) && !(value instanceof Float)) {
        if (value instanceof Undefined) value.raise();
        raise("TypeError", `must be real number, not ${typeName(value)}`);
      }
      const x = toFloat(value);
      const text = floatBody(Math.abs(x), type, precision ?? 6, flags.includes("#"));
      return signed(x < 0 || Object.is(x, -0), text, undefined, flags, "", Number.isFinite(x));
    }
    default:
      raise("ValueError", `unsupported format character '${type}'`);
  }
}

function whole(value: Value, type: string): [negative: boolean, digits: string] {
  let number: Integer;
  if (value instanceof Float)
    number = BigInt(
      Number.isFinite(value.value)
        ? Math.trunc(value.value)
        : raise("ValueError", "cannot convert float to integer"),
    );
  else if (isInteger(value)) number = BigInt(value);
  else {
    if (value instanceof Undefined) value.raise();
    raise("TypeError", `%${type} format: a real number is required, not ${typeName(value)}`);
  }
  return [number < 0n, String(number).replace("-", "")];
}

function signed(
  negative: boolean,
  digits: string,
  precision: number | undefined,
  flags: string,
  prefix: string,
  number = true,
): Converted {
  const sign = negative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  return { sign: sign + prefix, body: digits.padStart(precision ?? 0, "0"), number };
}

/** A float without its sign, in format e, f or g; capitals for E, F and G. */
export function floatBody(x: number, type: string, precision: number, alternate: boolean): string {
  const kind = type.toLowerCase();
  let text: string;
  if (!Number.isFinite(x)) text = Number.isNaN(x) ? "nan" : "inf";
  else if (kind === "f") text = fixed(x, precision);
  else if (kind === "e") text = exponential(x, precision);
  else text = general(x, precision, alternate);
  if (alternate && Number.isFinite(x) && !text.includes(".")) text = text.replace(/^\d+/, "$&.");
  return type === kind ? text : text.toUpperCase();
}

function character(value: Value): string {
  const text = textOf(value);
  if (text !== undefined)
    return pointLength(text) === 1 ? text : raise("TypeError", "%c requires int or char");
  if (!isInteger(value)) raise("TypeError", "%c requires int or char");
  return String.fromCodePoint(Number(value));
}
