import { DictView, Tuple } from "./containers.ts";
import { Unsupported } from "./errors.ts";
import { asInteger, exactly, type Integer } from "./numbers.ts";
import { percent } from "./percent.ts";
import { escapeHtml } from "./printing.ts";
import {
  Float,
  isInteger,
  Markup,
  numeric,
  raise,
  str,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Python's operators. Errors: TypeError, ZeroDivisionError, UndefinedError. */

function mismatch(operator: string, a: Value, b: Value): never {
  for (const side of [a, b]) if (side instanceof Undefined) side.raise();
  if (a instanceof DictView || b instanceof DictView)
    throw new Unsupported(`'${operator}' of a dict's views`);
  raise("TypeError", `unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);
}

/** Both numbers of an operation: ints as they are, else as floats. */
function numbers(
  a: Value,
  b: Value,
): { ints: [Integer, Integer] } | { floats: [number, number] } | undefined {
  if (isInteger(a) && isInteger(b)) return { ints: [asInteger(a), asInteger(b)] };
  const [m, n] = [numeric(a), numeric(b)];
  return m === undefined || n === undefined ? undefined : { floats: [Number(m), Number(n)] };
}

export function add(a: Value, b: Value): Value {
  if (typeof a === "string" && typeof b === "string") return a + b;
  const [s, t] = [textOf(a), textOf(b)];
  if (s !== undefined && t !== undefined) {
    const safe = (value: Value, text: string) => (value instanceof Markup ? text : escapeHtml(text));
    return new Markup(safe(a, s) + safe(b, t));
  }
  const both = numbers(a, b);
  if (both && "ints" in both)
    return exactly(
      ...both.ints,
      (m, n) => m + n,
      (m, n) => m + n,
    );
  if (both) return new Float(both.floats[0] + both.floats[1]);
  if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
  if (a instanceof Tuple && b instanceof Tuple) return new Tuple([...a.items, ...b.items]);
  if (s !== undefined && !(b instanceof Undefined))
    raise("TypeError", `can only concatenate str (not "${typeName(b)}") to str`);
  return mismatch("+", a, b);
}

export function subtract(a: Value, b: Value): Value {
  const both = numbers(a, b);
  if (!both) return mismatch("-", a, b);
  if ("ints" in both)
    return exactly(
      ...both.ints,
      (m, n) => m - n,
      (m, n) => m - n,
    );
  return new Float(both.floats[0] - both.floats[1]);
}

/** What a sequence may be repeated to; Python would run out of memory later. */
const longestRepeat = 1e8;

export function multiply(a: Value, b: Value): Value {
  const both = numbers(a, b);
  if (both && "ints" in both)
    return exactly(
      ...both.ints,
      (m, n) => m * n,
      (m, n) => m * n,
    );
  if (both) return new Float(both.floats[0] * both.floats[1]);
  const [sequence, times] = isInteger(a) ? [b, a] : [a, b];
  if (!isInteger(times)) return mismatch("*", a, b);
  const n = Math.max(0, Number(times));
  const text = textOf(sequence);
  const items = sequence instanceof Tuple ? sequence.items : Array.isArray(sequence) ? sequence : undefined;
  if ((text ?? items ?? []).length * n > longestRepeat)
    raise("MemoryError", `a sequence repeated ${n} times is too long`);
  if (text !== undefined) return sequence instanceof Markup ? new Markup(text.repeat(n)) : text.repeat(n);
  if (!items) return mismatch("*", a, b);
  const repeated = Array.from({ length: n }, () => items).flat(1) as Value[];
  return sequence instanceof Tuple ? new Tuple(repeated) : repeated;
}

export function divide(a: Value, b: Value): Value {
  const both = numbers(a, b);
  if (!both) return mismatch("/", a, b);
  const [m, n] = "ints" in both ? [Number(both.ints[0]), Number(both.ints[1])] : both.floats;
  if (n === 0) raise("ZeroDivisionError", "division by zero");
  return new Float(m / n);
}

export function floorDivide(a: Value, b: Value): Value {
  const both = numbers(a, b);
  if (!both) return mismatch("//", a, b);
  const divisor = "ints" in both ? both.ints[1] : both.floats[1];
  // biome-ignore lint/suspicious/noDoubleEquals: a bigint equals a number of the same value
  if (divisor == 0) raise("ZeroDivisionError", "integer division or modulo by zero");
  if (!("ints" in both)) return new Float(floatDivmod(...both.floats)[0]);
  return exactly(
    ...both.ints,
    (m, n) => Math.floor(m / n),
    (m, n) => (m - (((m % n) + n) % n)) / n,
  );
}

export function modulo(a: Value, b: Value): Value {
  const text = textOf(a);
  if (text !== undefined) {
    if (a instanceof Markup) throw new Unsupported("'%' of a text marked as safe");
    return percent(text, b);
  }
  const both = numbers(a, b);
  if (!both) return mismatch("%", a, b);
  const divisor = "ints" in both ? both.ints[1] : both.floats[1];
  // biome-ignore lint/suspicious/noDoubleEquals: a bigint equals a number of the same value
  if (divisor == 0) raise("ZeroDivisionError", "integer division or modulo by zero");
  if (!("ints" in both)) return new Float(floatDivmod(...both.floats)[1]);
  return exactly(
    ...both.ints,
    (m, n) => ((m % n) + n) % n,
    (m, n) => ((m % n) + n) % n,
  );
}

/** Quotient and rest of floats, by CPython's float_divmod. */
function floatDivmod(m: number, n: number): [quotient: number, rest: number] {
  let rest = m % n;
  let quotient = (m - rest) / n;
  if (rest !== 0) {
    if (n < 0 !== rest < 0) {
      rest += n;
      quotient -= 1;
    }
  } else rest = n < 0 ? -0 : 0;
  let floor = Math.floor(quotient);
  if (quotient - floor > 0.5) floor += 1;
  return [quotient === 0 ? 0 * Math.sign(m / n) : floor, rest];
}

/** Bits of the largest power; Python would compute for minutes beyond. */
const longestPower = 100_000;

export function power(a: Value, b: Value): Value {
  const both = numbers(a, b);
  if (!both) return mismatch("**", a, b);
  if ("ints" in both && both.ints[1] >= 0) {
    const [base, exponent] = both.ints;
    const bits = BigInt(base).toString(2).length * Number(exponent);
    if (bits > longestPower && base !== 1 && base !== -1 && base !== 0)
      throw new Unsupported(`a power of ${bits} bits`);
    return exactly(
      base,
      exponent,
      (m, n) => m ** n,
      (m, n) => m ** n,
    );
  }
  const [m, n] = "ints" in both ? [Number(both.ints[0]), Number(both.ints[1])] : both.floats;
  if (m === 0 && n < 0) raise("ZeroDivisionError", "0.0 cannot be raised to a negative power");
  if (m < 0 && !Number.isInteger(n) && Number.isFinite(n)) throw new Unsupported("a complex number");
  const result = m ** n;
  if (!Number.isFinite(result) && Number.isFinite(m) && Number.isFinite(n))
    raise("OverflowError", "(34, 'Numerical result out of range')");
  return new Float(m === 1 || (m === -1 && !Number.isFinite(n)) ? 1 : result);
}

export function negate(value: Value): Value {
  if (isInteger(value))
    return exactly(
      0,
      asInteger(value),
      (m, n) => m - n,
      (m, n) => m - n,
    );
  if (value instanceof Float) return new Float(-value.value);
  if (value instanceof Undefined) value.raise();
  raise("TypeError", `bad operand type for unary -: '${typeName(value)}'`);
}

export function plus(value: Value): Value {
  if (isInteger(value)) return asInteger(value);
  if (value instanceof Float) return value;
  if (value instanceof Undefined) value.raise();
  raise("TypeError", `bad operand type for unary +: '${typeName(value)}'`);
}

/** Jinja's ~. */
export function concatenate(values: readonly Value[]): string {
  let text = "";
  for (const value of values) text += str(value);
  return text;
}
