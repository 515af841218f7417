import { sizeOf } from "./compare.ts";
import { Dict, makeDict, Range, Tuple, takes } from "./containers.ts";
import { Unsupported } from "./errors.ts";
import { count } from "./numbers.ts";
import { bind } from "./string-methods.ts";
import {
  type Arguments,
  equals,
  iterate,
  or,
  PyFunction,
  PyObject,
  raise,
  repr,
  toList,
  Undefined,
  type Value,
} from "./values.ts";

/** Jinja's namespace(): the one value that a template can change. */
export class Namespace extends PyObject {
  readonly typeName = "Namespace";
  readonly values: Dict;
  constructor(args: Arguments) {
    super();
    this.values = makeDict(args);
  }
  override repr(): string {
    return `<Namespace ${repr(this.values)}>`;
  }
  override attribute(name: string): Value | undefined {
    return this.values.get(name);
  }
}

/** The variable `loop`. Items are read one ahead, and only where the template asks for what follows. */
export class Loop extends PyObject {
  readonly typeName = "LoopContext";
  index0 = -1;
  private readonly iterable: Value;
  private items: Iterator<Value>;
  private readonly recurse: ((items: Value, depth: number) => Value) | null;
  private readonly depth0: number;
  private known: number | undefined;
  private after: Value | undefined;
  private current: Value | undefined;
  private before: Value | undefined;
  private lastChanged: Tuple | undefined;

  constructor(iterable: Value, recurse: ((items: Value, depth: number) => Value) | null, depth0: number) {
    super();
    this.iterable = iterable;
    this.items = iterate(iterable);
    this.recurse = recurse;
    this.depth0 = depth0;
  }

  /** The next item; undefined at the end. */
  next(): Value | undefined {
    const item = this.peek();
    this.after = undefined;
    if (item === undefined) return undefined;
    this.index0++;
    this.before = this.current;
    this.current = item;
    return item;
  }

  private peek(): Value | undefined {
    if (this.after === undefined) {
      const next = this.items.next();
      if (!next.done) this.after = next.value;
    }
    return this.after;
  }

  private get length(): number {
    if (this.known === undefined) {
      this.known = sizeOf(this.iterable);
      if (this.known === undefined) {
        const rest: Value[] = [];
        for (let next = this.items.next(); !next.done; next = this.items.next()) rest.push(next.value);
        this.items = rest.values();
        this.known = rest.length + this.index0 + 1 + (this.after === undefined ? 0 : 1);
      }
    }
    return this.known;
  }

  override repr(): string {
    return `<LoopContext ${this.index0 + 1}/${this.length}>`;
  }
  override size(): number {
    return this.length;
  }
  override iterate(): never {
    throw new Unsupported("iterating over 'loop'");
  }
  override get callable(): boolean {
    return true;
  }
  override call(args: Arguments): Value {
    const [items] = bind("loop()", args, ["iterable"], 1);
    if (!this.recurse)
      raise("TypeError", "The loop must have the 'recursive' marker to be called recursively.");
    return this.recurse(items!, this.depth0 + 1);
  }
  override attribute(name: string): Value | undefined {
    switch (name) {
      case "index0":
        return this.index0;
      case "index":
        return this.index0 + 1;
      case "length":
        return this.length;
      case "revindex0":
        return this.length - this.index0 - 1;
      case "revindex":
        return this.length - this.index0;
      case "first":
        return this.index0 === 0;
      case "last":
        return this.peek() === undefined;
      case "depth":
        return this.depth0 + 1;
      case "depth0":
        return this.depth0;
      case "previtem":
        return this.index0 === 0 ? new Undefined("there is no previous item") : this.before;
      case "nextitem":
        return or(this.peek(), () => new Undefined("there is no next item"));
      case "cycle":
        return new PyFunction((args) => {
          const positional = takes(name, args, 0, Number.POSITIVE_INFINITY);
          if (positional.length === 0) raise("TypeError", "no items for cycling given");
          return positional[this.index0 % positional.length]!;
        });
      case "changed":
        return new PyFunction((args) => {
          const value = new Tuple(takes(name, args, 0, Number.POSITIVE_INFINITY));
          if (this.lastChanged && equals(this.lastChanged, value)) return false;
          this.lastChanged = value;
          return true;
        });
      default:
        return undefined;
    }
  }
}

export interface MacroParts {
  /** null for the body of a call block. */
  readonly name: string | null;
  readonly args: readonly string[];
  readonly usesCaller: boolean;
  readonly usesKwargs: boolean;
  readonly usesVarargs: boolean;
  /** Renders the body; undefined for arguments that were not given. */
  readonly body: (values: readonly (Value | undefined)[]) => string;
}

/** A macro. Its arguments are dealt out as in jinja2.runtime.Macro. */
export class Macro extends PyObject {
  readonly typeName = "Macro";
  private readonly parts: MacroParts;
  constructor(parts: MacroParts) {
    super();
    this.parts = parts;
  }
  override repr(): string {
    return `<Macro ${this.parts.name === null ? "anonymous" : repr(this.parts.name)}>`;
  }
  override get callable(): boolean {
    return true;
  }
  override call({ positional, named }: Arguments): Value {
    const { name, args, usesCaller, usesKwargs, usesVarargs, body } = this.parts;
    const rest = new Map(named);
    const values: (Value | undefined)[] = positional.slice(0, args.length);
    let foundCaller = values.length === args.length && args.includes("caller");
    for (const arg of args.slice(values.length)) {
      if (arg === "caller") foundCaller = true;
      values.push(rest.get(arg));
      rest.delete(arg);
    }
    if (usesCaller && !foundCaller) {
      values.push(rest.get("caller") ?? new Undefined("No caller defined"));
      rest.delete("caller");
    }
    const shown = name === null ? "None" : `'${name}'`;
    if (usesKwargs) values.push(Dict.of(rest));
    else if (rest.has("caller"))
      raise("TypeError", `macro ${shown} was invoked with two values for the special caller argument`);
    else if (rest.size > 0)
      raise("TypeError", `macro ${shown} takes no keyword argument '${[...rest.keys()][0]}'`);
    if (usesVarargs) values.push(new Tuple(positional.slice(args.length)));
    else if (positional.length > args.length)
      raise("TypeError", `macro ${shown} takes not more than ${args.length} argument(s)`);
    return body(values);
  }
  override attribute(attribute: string): Value | undefined {
    switch (attribute) {
      case "name":
        return this.parts.name;
      case "arguments":
        return new Tuple(this.parts.args);
      case "catch_kwargs":
        return this.parts.usesKwargs;
      case "catch_varargs":
        return this.parts.usesVarargs;
      case "caller":
        return this.parts.usesCaller;
      case "explicit_caller":
        return this.parts.args.includes("caller");
      default:
        return undefined;
    }
  }
}

class Cycler extends PyObject {
  readonly typeName = "Cycler";
  private readonly items: readonly Value[];
  private at = 0;
  constructor({ positional, named }: Arguments) {
    super();
    if (named.size > 0) raise("TypeError", "Cycler() takes no keyword arguments");
    if (positional.length === 0) raise("RuntimeError", "at least one item has to be provided");
    this.items = positional;
  }
  override attribute(name: string): Value | undefined {
    switch (name) {
      case "current":
        return this.items[this.at];
      case "pos":
        return this.at;
      case "items":
        return new Tuple(this.items);
      case "next":
        return new PyFunction((args) => {
          takes(name, args, 0, 0);
          const item = this.items[this.at]!;
          this.at = (this.at + 1) % this.items.length;
          return item;
        });
      case "reset":
        return new PyFunction((args) => {
          takes(name, args, 0, 0);
          this.at = 0;
          return null;
        });
      default:
        return undefined;
    }
  }
}

class Joiner extends PyObject {
  readonly typeName = "Joiner";
  private readonly separator: Value;
  private used = false;
  constructor(args: Arguments) {
    super();
    this.separator = bind("Joiner()", args, ["sep"])[0] ?? ", ";
  }
  override get callable(): boolean {
    return true;
  }
  override call(args: Arguments): Value {
    bind("Joiner()", args, []);
    if (this.used) return this.separator;
    this.used = true;
    return "";
  }
  override attribute(name: string): Value | undefined {
    if (name === "sep") return this.separator;
    return name === "used" ? this.used : undefined;
  }
}

/** A class that templates may call. */
class PyClass extends PyFunction {
  private readonly shown: string;
  constructor(shown: string, make: (args: Arguments) => Value) {
    super(make);
    this.shown = shown;
  }
  override repr(): string {
    return `<class '${this.shown}'>`;
  }
  override attribute(name: string): Value | undefined {
    throw new Unsupported(`the attribute ${name} of the class ${this.shown}`);
  }
}

/** Jinja's sandbox makes no longer range. */
const longestRange = 100_000;

function makeRange({ positional, named }: Arguments): Value {
  if (named.size > 0) raise("TypeError", "range() takes no keyword arguments");
  if (positional.length < 1 || positional.length > 3)
    raise("TypeError", `range expected 1 to 3 arguments, got ${positional.length}`);
  const [start, stop, step = 1] = positional.map(count) as [number, number | undefined, number | undefined];
  if (step === 0) raise("ValueError", "range() arg 3 must not be zero");
  const range = stop === undefined ? new Range(0, start, 1) : new Range(start, stop, step);
  if (range.length > longestRange)
    raise("OverflowError", `range() of ${range.length} is too long: the sandbox allows ${longestRange}`);
  return range;
}

/** Names that every template knows. */
export const globals: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["range", new PyFunction(makeRange)],
  ["dict", new PyClass("dict", makeDict)],
  ["namespace", new PyClass("jinja2.utils.Namespace", (args) => new Namespace(args))],
  ["cycler", new PyClass("jinja2.utils.Cycler", (args) => new Cycler(args))],
  ["joiner", new PyClass("jinja2.utils.Joiner", (args) => new Joiner(args))],
  [
    "lipsum",
    new PyFunction(() => {
      throw new Unsupported("lipsum(), which is random,");
    }),
  ],
]);

/** Calls a value. Errors: TypeError, UndefinedError, what the function raises. */
export function call(callee: Value, args: Arguments): Value {
  if (callee instanceof Undefined) callee.raise();
  const result = callee instanceof PyObject && callee.callable ? callee.call(args) : undefined;
  if (result === undefined)
    raise(
      "TypeError",
      `'${callee instanceof PyObject ? callee.typeName : typeof callee}' object is not callable`,
    );
  return result;
}

/** Items for an assignment to a tuple of names. Errors: TypeError, ValueError. */
export function unpack(value: Value, size: number): readonly Value[] {
  const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : toList(value);
  if (items.length < size)
    raise("ValueError", `not enough values to unpack (expected ${size}, got ${items.length})`);
  if (items.length > size) raise("ValueError", `too many values to unpack (expected ${size})`);
  return items;
}
