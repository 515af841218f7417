import { Unsupported } from "./errors.ts";
import { at, bounded, sliceList } from "./slices.ts";
import {
  type Arguments,
  equals,
  hash,
  isInteger,
  iterate,
  numeric,
  or,
  PyFunction,
  PyObject,
  raise,
  repr,
  toList,
  Undefined,
  type Value,
} from "./values.ts";

export class Tuple extends PyObject {
  readonly typeName: string = "tuple";
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    super();
    this.items = items;
  }
  override repr(): string {
    return this.items.length === 1 ? `(${repr(this.items[0]!)},)` : `(${this.items.map(repr).join(", ")})`;
  }
  override equals(other: Value): boolean {
    return other instanceof Tuple && equals(this.items as Value[], other.items as Value[]);
  }
  override hash(): unknown {
    return `\0tuple ${this.items.map((item) => `${typeof hash(item)} ${String(hash(item))}`).join("\0")}`;
  }
  override size(): number {
    return this.items.length;
  }
  override iterate(): Iterator<Value> {
    return this.items.values();
  }
  override item(key: Value): Value | undefined {
    return at(this.items, key);
  }
  override attribute(name: string): Value | undefined {
    return sequenceMethods(this.items, name, "tuple");
  }
}

/** What groupby gives: a pair whose members have names. */
export class Group extends Tuple {
  override attribute(name: string): Value | undefined {
    if (name === "grouper") return this.items[0];
    return name === "list" ? this.items[1] : super.attribute(name);
  }
}

/** Methods that lists and tuples share. */
export function sequenceMethods(items: readonly Value[], name: string, type: string): Value | undefined {
  switch (name) {
    case "count":
      return new PyFunction((args) => {
        const value = takes(`${type}.count`, args, 1, 1)[0]!;
        return items.filter((item) => equals(item, value)).length;
      });
    case "index":
      return new PyFunction((args) => {
        const [value, start = 0, end = items.length] = takes(`${type}.index`, args, 1, 3);
        const [from, to] = [start, end].map((bound) => bounded(bound, items.length)) as [number, number];
        for (let i = from; i < to; i++) if (equals(items[i]!, value!)) return i;
        raise("ValueError", `${repr(value!)} is not in ${type}`);
      });
    default:
      return undefined;
  }
}

/** A dict: entries in the order of insertion; 1, 1.0 and True are one key. */
export class Dict extends PyObject {
  readonly typeName = "dict";
  readonly entries: Map<unknown, [key: Value, value: Value]> = new Map();

  static of(pairs: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of pairs) dict.set(key, value);
    return dict;
  }
  set(key: Value, value: Value): void {
    const hashed = hash(key);
    const entry = this.entries.get(hashed);
    if (entry) entry[1] = value;
    else this.entries.set(hashed, [key, value]);
  }
  get(key: Value): Value | undefined {
    return this.entries.get(hash(key))?.[1];
  }
  has(key: Value): boolean {
    return this.entries.has(hash(key));
  }
  *keys(): Generator<Value> {
    for (const [key] of this.entries.values()) yield key;
  }
  *values(): Generator<Value> {
    for (const [, value] of this.entries.values()) yield value;
  }
  *pairs(): Generator<Value> {
    for (const pair of this.entries.values()) yield new Tuple(pair);
  }
  override repr(): string {
    return `{${[...this.entries.values()].map(([key, value]) => `${repr(key)}: ${repr(value)}`).join(", ")}}`;
  }
  override equals(other: Value): boolean {
    if (!(other instanceof Dict) || other.entries.size !== this.entries.size) return false;
    for (const [hashed, [, value]] of this.entries) {
      const theirs = other.entries.get(hashed);
      if (!theirs || !equals(value, theirs[1])) return false;
    }
    return true;
  }
  override hash(): unknown {
    raise("TypeError", "unhashable type: 'dict'");
  }
  override size(): number {
    return this.entries.size;
  }
  override iterate(): Iterator<Value> {
    return this.keys();
  }
  override item(key: Value): Value | undefined {
    return typeof key === "string" || hashable(key) ? this.get(key) : undefined;
  }
  override attribute(name: string): Value | undefined {
    switch (name) {
      case "get":
        return new PyFunction((args) => {
          const [key, otherwise = null] = takes("get", args, 1, 2);
          return or(this.get(key!), () => otherwise);
        });
      case "items":
      case "keys":
      case "values":
        return new PyFunction((args) => {
          takes(name, args, 0, 0);
          return new DictView(this, name);
        });
      case "copy":
        return new PyFunction((args) => {
          takes(name, args, 0, 0);
          return Dict.of(this.entries.values());
        });
      case "fromkeys":
        return new PyFunction((args) => {
          const [keys, value = null] = takes(name, args, 1, 2);
          return Dict.of(toList(keys!).map((key) => [key, value]));
        });
      default:
        return undefined;
    }
  }
}

/** What dict.items(), keys() and values() give. */
export class DictView extends PyObject {
  readonly typeName: string;
  readonly dict: Dict;
  readonly what: "items" | "keys" | "values";
  constructor(dict: Dict, what: "items" | "keys" | "values") {
    super();
    this.dict = dict;
    this.what = what;
    this.typeName = `dict_${what}`;
  }
  override repr(): string {
    return `${this.typeName}(${repr(toList(this))})`;
  }
  override equals(other: Value): boolean {
    if (this === other) return true;
    if (other instanceof DictView && this.what !== "values")
      throw new Unsupported("comparing views of a dict");
    return false;
  }
  override hash(): unknown {
    return this.what === "values" ? this : raise("TypeError", `unhashable type: '${this.typeName}'`);
  }
  override size(): number {
    return this.dict.entries.size;
  }
  override iterate(): Iterator<Value> {
    return this.what === "items" ? this.dict.pairs() : this.dict[this.what]();
  }
  override attribute(name: string): Value | undefined {
    if (name === "mapping" || (this.what !== "values" && name === "isdisjoint"))
      throw new Unsupported(`${this.typeName}.${name}`);
    return undefined;
  }
}

export class Range extends PyObject {
  readonly typeName = "range";
  readonly start: number;
  readonly stop: number;
  readonly step: number;
  readonly length: number;
  constructor(start: number, stop: number, step: number) {
    super();
    this.start = start;
    this.stop = stop;
    this.step = step;
    this.length = Math.max(0, Math.ceil((stop - start) / step));
  }
  list(): number[] {
    return Array.from({ length: this.length }, (_, i) => this.start + i * this.step);
  }
  override repr(): string {
    const { start, stop, step } = this;
    return step === 1 ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
  }
  override equals(other: Value): boolean {
    return other instanceof Range && equals(this.list(), other.list());
  }
  override hash(): unknown {
    return `\0range ${this.list().join()}`;
  }
  override size(): number {
    return this.length;
  }
  override *iterate(): Iterator<Value> {
    for (let i = 0; i < this.length; i++) yield this.start + i * this.step;
  }
  override item(key: Value): Value | undefined {
    if (!isInteger(key)) return undefined;
    const index = Number(key) < 0 ? Number(key) + this.length : Number(key);
    return index >= 0 && index < this.length ? this.start + index * this.step : undefined;
  }
  has(value: Value): boolean {
    const number = numeric(value);
    if (number === undefined) return false;
    const index = (Number(number) - this.start) / this.step;
    return Number.isInteger(index) && index >= 0 && index < this.length;
  }
  slice(start: Value, stop: Value, step: Value): Range {
    const cut = sliceList(this.list(), start, stop, step) as number[];
    const by = this.step * (step === null ? 1 : Number(step));
    const first = cut[0];
    if (first !== undefined) return new Range(first, first + cut.length * by, by);
    throw new Unsupported("an empty slice of a range");
  }
  override attribute(name: string): Value | undefined {
    if (name === "start" || name === "stop" || name === "step") return this[name];
    return sequenceMethods(this.list(), name, "range");
  }
}

/** Positional arguments of a method that takes no others. Errors: TypeError. */
export function takes(name: string, args: Arguments, least: number, most: number): readonly Value[] {
  const { positional, named } = args;
  if (named.size > 0) raise("TypeError", `${name}() takes no keyword arguments`);
  if (positional.length < least || positional.length > most) {
    const wants = least === most ? `${least}` : `${least} to ${most}`;
    raise("TypeError", `${name}() takes ${wants} arguments, ${positional.length} given`);
  }
  return positional;
}

export function hashable(value: Value): boolean {
  if (Array.isArray(value) || value instanceof Dict) return false;
  if (value instanceof DictView) return value.what === "values";
  return !(value instanceof Tuple) || value.items.every(hashable);
}

/** dict(...). Errors: TypeError, ValueError. */
export function makeDict({ positional, named }: Arguments): Dict {
  if (positional.length > 1) raise("TypeError", `dict expected at most 1 argument, got ${positional.length}`);
  const [source] = positional;
  const dict = new Dict();
  if (source instanceof Undefined) source.raise();
  if (source instanceof Dict) for (const [key, value] of source.entries.values()) dict.set(key, value);
  else if (source !== undefined) {
    const items = iterate(source);
    for (let next = items.next(); !next.done; next = items.next()) {
      const pair = toList(next.value);
      if (pair.length !== 2)
        raise("ValueError", `dictionary update sequence element has length ${pair.length}; 2 is required`);
      dict.set(pair[0]!, pair[1]!);
    }
  }
  for (const [key, value] of named) dict.set(key, value);
  return dict;
}
