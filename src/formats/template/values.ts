import { PythonError, Unsupported } from "./errors.ts";
import { codeEscape, floatText, quoted } from "./printing.ts";

/**
 * Python's values, as templates see them. None is null; str is string (or {@link Markup}); a list is an array; an int is a
 * number, or a bigint beyond 2^53; a float is {@link Float}, because Python prints 1.0 and 1 differently.
 */
export type Value = null | boolean | number | bigint | string | Value[] | PyObject;

/** What a call is given. */
export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

const noNames: ReadonlyMap<string, Value> = new Map();

export function positional(...values: Value[]): Arguments {
  return { positional: values, named: noNames };
}

/** A value that is no literal of JavaScript. Methods say what Python's type of that name does. */
export abstract class PyObject {
  /** As Python's type() names it. */
  abstract readonly typeName: string;

  repr(): string {
    throw new Unsupported(`printing a ${this.typeName}, whose text in Python is a memory address`);
  }
  str(): string {
    return this.repr();
  }
  truthy(): boolean {
    const size = this.size();
    return size === undefined || size > 0;
  }
  equals(other: Value): boolean {
    return this === other;
  }
  /** What distinguishes it as a key of a dictionary. Errors: TypeError where it cannot be one. */
  hash(): unknown {
    return this;
  }
  /** obj.name; undefined where Python raises AttributeError. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }
  /** obj[key]; undefined where Python raises TypeError or LookupError. */
  item(_key: Value): Value | undefined {
    return undefined;
  }
  /** len(obj); undefined where it has none. */
  size(): number | undefined {
    return undefined;
  }
  /** iter(obj); undefined where it cannot be iterated. */
  iterate(): Iterator<Value> | undefined {
    return undefined;
  }
  /** obj(...); undefined where it cannot be called. */
  call(_args: Arguments): Value | undefined {
    return undefined;
  }
  get callable(): boolean {
    return false;
  }
}

export class Float extends PyObject {
  readonly typeName = "float";
  readonly value: number;
  constructor(value: number) {
    super();
    this.value = value;
  }
  override repr(): string {
    return floatText(this.value);
  }
  override truthy(): boolean {
    return this.value !== 0;
  }
  override equals(other: Value): boolean {
    const number = numeric(other);
    // biome-ignore lint/suspicious/noDoubleEquals: a bigint equals a number of the same value
    return number !== undefined && this.value == number;
  }
  override hash(): unknown {
    return this.value + 0;
  }
}

/** The number in an int, a float or a bool. */
export function numeric(value: Value): number | bigint | undefined {
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return value instanceof Float ? value.value : undefined;
}

/** A string that is marked as HTML: what is joined to it is escaped. */
export class Markup extends PyObject {
  readonly typeName = "Markup";
  readonly text: string;
  constructor(text: string) {
    super();
    this.text = text;
  }
  override repr(): string {
    return `Markup(${quoted(this.text)})`;
  }
  override str(): string {
    return this.text;
  }
  override truthy(): boolean {
    return this.text !== "";
  }
  override equals(other: Value): boolean {
    return textOf(other) === this.text;
  }
  override hash(): unknown {
    return this.text;
  }
}

/** The text of a str, Markup included; undefined for other values. */
export function textOf(value: Value): string | undefined {
  if (typeof value === "string") return value;
  return value instanceof Markup ? value.text : undefined;
}

/** What a template has no value for. It prints as nothing, is empty and false; all else raises. */
export class Undefined extends PyObject {
  readonly typeName = "Undefined";
  readonly message: string;
  readonly kind: string;
  constructor(message: string, kind = "UndefinedError") {
    super();
    this.message = message;
    this.kind = kind;
  }
  static named(name: string): Undefined {
    return new Undefined(`'${name}' is undefined`);
  }
  /** Jinja's sandbox gives this for methods that change a value, and for private names. */
  static unsafe(typeName: string, name: string): Undefined {
    return new Undefined(`access to attribute '${name}' of '${typeName}' object is unsafe`, "SecurityError");
  }
  raise(): never {
    throw new PythonError(this.kind, this.message);
  }
  override repr(): string {
    return "Undefined";
  }
  override str(): string {
    return "";
  }
  override equals(other: Value): boolean {
    return other instanceof Undefined;
  }
  override hash(): unknown {
    return Undefined;
  }
  override size(): number {
    return 0;
  }
  override iterate(): Iterator<Value> {
    return ([] as Value[]).values();
  }
}

/** A generator or another iterator: it gives its items once. */
export class PyIterator extends PyObject {
  readonly typeName: string;
  private readonly items: Iterator<Value>;
  constructor(items: Iterator<Value>, typeName = "generator") {
    super();
    this.items = items;
    this.typeName = typeName;
  }
  override iterate(): Iterator<Value> {
    return this.items;
  }
}

/** A function or a method. */
export class PyFunction extends PyObject {
  readonly typeName = "builtin_function_or_method";
  private readonly body: (args: Arguments) => Value;
  constructor(body: (args: Arguments) => Value) {
    super();
    this.body = body;
  }
  override get callable(): boolean {
    return true;
  }
  override call(args: Arguments): Value {
    return this.body(args);
  }
}

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (Array.isArray(value)) return "list";
  switch (typeof value) {
    case "boolean":
      return "bool";
    case "number":
    case "bigint":
      return "int";
    case "string":
      return "str";
    default:
      return (value as PyObject).typeName;
  }
}

/** The value, or another where there is none. None is a value, which ?? would replace. */
export function or(value: Value | undefined, otherwise: () => Value): Value {
  return value === undefined ? otherwise() : value;
}

/** Python's bool(). */
export function truthy(value: Value): boolean {
  if (value instanceof PyObject) return value.truthy();
  if (Array.isArray(value)) return value.length > 0;
  return Boolean(value);
}

/** Python's iter(). Errors: TypeError. */
export function iterate(value: Value): Iterator<Value> {
  // A string gives code points, as Python does.
  if (typeof value === "string") return value[Symbol.iterator]();
  if (Array.isArray(value)) return value.values();
  if (value instanceof Markup) return value.text[Symbol.iterator]();
  const items = value instanceof PyObject ? value.iterate() : undefined;
  return items ?? raise("TypeError", `'${typeName(value)}' object is not iterable`);
}

/** Python's list(). Errors: TypeError. */
export function toList(value: Value): Value[] {
  if (Array.isArray(value)) return [...value];
  const list: Value[] = [];
  const items = iterate(value);
  for (let next = items.next(); !next.done; next = items.next()) list.push(next.value);
  return list;
}

export function raise(kind: string, message: string): never {
  throw new PythonError(kind, message);
}

/** Python's str(). */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  return value instanceof PyObject ? value.str() : repr(value);
}

/** Python's repr(). Errors: Unsupported, for values whose text is a memory address. */
export function repr(value: Value): string {
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "boolean":
      return value ? "True" : "False";
    case "object":
      return value.repr();
    default:
      return String(value);
  }
}

/** Python's ascii(): repr with escapes for all that is not ASCII. */
export function ascii(value: Value): string {
  let text = "";
  for (const point of repr(value)) text += point > "\x7f" ? codeEscape(point.codePointAt(0)!) : point;
  return text;
}

/** Whether Python's isinstance(value, int) holds: bool is an int too. */
export function isInteger(value: Value): value is number | bigint | boolean {
  const type = typeof value;
  return type === "number" || type === "bigint" || type === "boolean";
}

/** Python's ==. */
export function equals(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a instanceof PyObject) return a.equals(b);
  if (b instanceof PyObject) return b.equals(a);
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => equals(item, b[i]!));
  }
  const [m, n] = [numeric(a), numeric(b)];
  // biome-ignore lint/suspicious/noDoubleEquals: a bigint equals a number of the same value
  return m !== undefined && n !== undefined && m == n;
}

/** What distinguishes a key of a dict. Errors: TypeError for lists and dicts. */
export function hash(key: Value): unknown {
  if (typeof key === "string") return key;
  if (typeof key === "boolean") return key ? 1 : 0;
  if (Array.isArray(key)) raise("TypeError", "unhashable type: 'list'");
  return key instanceof PyObject ? key.hash() : key;
}
