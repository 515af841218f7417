import { Unsupported } from "./errors.ts";
import { strip } from "./text.ts";
import { Float, isInteger, raise, textOf, typeName, Undefined, type Value } from "./values.ts";

export type Integer = number | bigint;

/** An int as it is kept: a number up to 2^53, a bigint beyond. */
export function integer(value: Integer): Integer {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value + 0 : integer(BigInt(value));
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

export function asInteger(value: number | bigint | boolean): Integer {
  return typeof value === "boolean" ? Number(value) : value;
}

/** Integers of JavaScript where both and the result are exact, else of any size. */
export function exactly(
  a: Integer,
  b: Integer,
  small: (a: number, b: number) => number,
  big: (a: bigint, b: bigint) => bigint,
): Integer {
  if (typeof a === "number" && typeof b === "number") {
    const result = small(a, b);
    if (Number.isSafeInteger(result)) return result + 0;
  }
  return integer(big(BigInt(a), BigInt(b)));
}

/** Python's int(text, base). Errors: ValueError. */
export function parseInteger(given: string, base: number): Integer {
  const wrong = (): never => raise("ValueError", `invalid literal for int() with base ${base}: '${given}'`);
  if (base !== 0 && (base < 2 || base > 36)) raise("ValueError", "int() base must be >= 2 and <= 36, or 0");
  const found = /^([+-]?)(0[xob](?=_?[\da-z]))?([\da-z]+(?:_[\da-z]+)*|(?:_[\da-z]+)+)$/.exec(
    strip(given, null, true, true).toLowerCase(),
  );
  if (!found) return wrong();
  let [, sign, prefix = "", body] = found as unknown as [string, string, string | undefined, string];
  const prefixBase = { "": 0, "0x": 16, "0o": 8, "0b": 2 }[prefix]!;
  let radix = base;
  if (base === 0) {
    radix = prefixBase || 10;
    if (prefix === "" && /^0/.test(body) && /[^0_]/.test(body)) wrong();
  } else if (prefix !== "" && prefixBase !== base) {
    body = prefix + body;
  }
  if (prefix === "" && body.startsWith("_")) wrong();
  let result = 0n;
  for (const digit of body.replaceAll("_", "")) {
    const value = Number.parseInt(digit, 36);
    if (value >= radix) wrong();
    result = result * BigInt(radix) + BigInt(value);
  }
  return integer(sign === "-" ? -result : result);
}

/** Python's float(text). Errors: ValueError. */
export function parseFloatText(given: string): number {
  const text = strip(given, null, true, true).toLowerCase();
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(text);
  if (special) return special[2] === "nan" ? Number.NaN : special[1] === "-" ? -Infinity : Infinity;
  if (!/^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/.test(text))
    raise("ValueError", `could not convert string to float: '${given}'`);
  return Number(text.replaceAll("_", ""));
}

/** Python's int(). Errors: TypeError, ValueError, OverflowError, UndefinedError. */
export function toInteger(value: Value, base = 10): Integer {
  const text = textOf(value);
  if (text !== undefined) return parseInteger(text, base);
  if (isInteger(value)) return asInteger(value);
  if (value instanceof Float) {
    if (Number.isNaN(value.value)) raise("ValueError", "cannot convert float NaN to integer");
    if (!Number.isFinite(value.value)) raise("OverflowError", "cannot convert float infinity to integer");
    return integer(Math.trunc(value.value));
  }
  if (value instanceof Undefined) value.raise();
  raise("TypeError", `int() argument must be a string or a number, not '${typeName(value)}'`);
}

/** Python's float(). Errors: TypeError, ValueError, UndefinedError. */
export function toFloat(value: Value): number {
  const text = textOf(value);
  if (text !== undefined) return parseFloatText(text);
  if (isInteger(value)) return Number(value);
  if (value instanceof Float) return value.value;
  if (value instanceof Undefined) value.raise();
  raise("TypeError", `float() argument must be a string or a real number, not '${typeName(value)}'`);
}

/** A count that a function takes. Errors: TypeError, UndefinedError. */
export function count(value: Value): number {
  if (isInteger(value)) return Number(value);
  if (value instanceof Undefined)
    raise("TypeError", "'Undefined' object cannot be interpreted as an integer");
  raise("TypeError", `'${typeName(value)}' object cannot be interpreted as an integer`);
}

/** Digits after the point that a double has at most where it lies halfway between two results. */
const tieDigits = 30;

/** x with `digits` after the point; exact halves go to the even neighbour, as in Python. JavaScript rounds them up. */
export function fixed(x: number, digits: number): string {
  if (digits > 100 - tieDigits) throw new Unsupported(`a number with ${digits} digits after the point`);
  if (Math.abs(x) >= 1e21) return BigInt(x).toString() + (digits > 0 ? `.${"0".repeat(digits)}` : "");
  const text = Math.abs(x).toFixed(digits);
  const more = Math.abs(x).toFixed(digits + tieDigits);
  const tie = /^50*$/.test(more.slice(more.length - tieDigits));
  const sign = x < 0 || Object.is(x, -0) ? "-" : "";
  if (!tie) return sign + text;
  const below = more.slice(0, more.length - tieDigits).replace(/\.$/, "");
  return sign + (Number(below.at(-1)) % 2 === 0 ? below : text);
}

/** x as d.ddde+XX with `digits` after the point, halves to the even neighbour. */
export function exponential(x: number, digits: number): string {
  if (digits > 100 - tieDigits) throw new Unsupported(`a number with ${digits} digits after the point`);
  let [mantissa, power] = x.toExponential(digits).split("e") as [string, string];
  const more = x.toExponential(digits + tieDigits).split("e")[0]!;
  if (/^50*$/.test(more.slice(more.length - tieDigits))) {
    const below = more.slice(0, more.length - tieDigits).replace(/\.$/, "");
    if (Number(below.at(-1)) % 2 === 0) {
      mantissa = below;
      power = x.toExponential(digits + tieDigits).split("e")[1]!;
    }
  }
  if (Object.is(x, -0)) mantissa = `-${mantissa}`;
  const exponent = Number(power);
  return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Format g: `precision` significant digits, an exponent for the very small and large. */
export function general(x: number, precision: number, alternate: boolean): string {
  const digits = precision === 0 ? 1 : precision;
  const scientific = exponential(x, digits - 1);
  const power = x === 0 ? 0 : Number(scientific.split("e")[1]);
  const drop = (text: string) => (alternate || !text.includes(".") ? text : text.replace(/\.?0+$/, ""));
  if (power < -4 || power >= digits) {
    const [mantissa, exponent] = scientific.split("e") as [string, string];
    return `${drop(mantissa)}e${exponent}`;
  }
  return drop(fixed(x, digits - 1 - power));
}

/** Python's round(). */
export function round(value: Value, digits: Value): Value {
  const places = digits === null ? 0 : count(digits);
  if (isInteger(value)) {
    const whole = asInteger(value);
    if (places >= 0) return whole;
    const unit = 10n ** BigInt(-places);
    const big = BigInt(whole);
    const rest = ((big % unit) + unit) % unit;
    const down = big - rest;
    const up = rest * 2n > unit || (rest * 2n === unit && (down / unit) % 2n !== 0n);
    return integer(up ? down + unit : down);
  }
  if (!(value instanceof Float)) {
    if (value instanceof Undefined) raise("TypeError", "type Undefined doesn't define __round__ method");
    raise("TypeError", `type ${typeName(value)} doesn't define __round__ method`);
  }
  const x = value.value;
  if (!Number.isFinite(x) || places > 60) return value;
  if (places >= 0) return new Float(Number(fixed(x, places)));
  const unit = 10 ** -places;
  const down = Math.floor(Math.abs(x) / unit);
  const rest = Math.abs(x) - down * unit;
  const up = rest * 2 > unit || (rest * 2 === unit && down % 2 === 1);
  return new Float(Math.sign(x) * (up ? down + 1 : down) * unit);
}
