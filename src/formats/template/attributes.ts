import { Dict, sequenceMethods, takes } from "./containers.ts";
import { Unsupported } from "./errors.ts";
import { formatMethod, type Lookup } from "./format.ts";
import { asInteger } from "./numbers.ts";
import { at } from "./slices.ts";
import { markupMethod, missingStringMethods, stringMethods } from "./string-methods.ts";
import { points } from "./text.ts";
import {
  Float,
  isInteger,
  Markup,
  or,
  PyFunction,
  PyObject,
  raise,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Methods that would change a value: Jinja's sandbox gives something undefined in their place. */
const changing = {
  list: new Set(["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]),
  dict: new Set(["clear", "pop", "popitem", "setdefault", "update"]),
};

/** Attributes of numbers in Python; few templates can want them. */
const numberAttributes = new Set([
  "as_integer_ratio",
  "bit_count",
  "bit_length",
  "conjugate",
  "denominator",
  "from_bytes",
  "fromhex",
  "hex",
  "imag",
  "is_integer",
  "numerator",
  "real",
  "to_bytes",
]);

/** What Python's getattr(value, name) gives; undefined where it raises AttributeError. */
function ownAttribute(value: Value, name: string): Value | undefined {
  if (typeof value === "string") {
    const method = stringMethods[name];
    if (method) return new PyFunction((args) => method(value, args));
    if (name === "format" || name === "format_map") {
      return new PyFunction(formatMethod(value, name === "format_map", lookup, namesOf));
    }
    if (missingStringMethods.has(name)) throw new Unsupported(`the method str.${name}`);
    return undefined;
  }
  if (value instanceof PyObject) {
    if (value instanceof Dict && changing.dict.has(name)) return Undefined.unsafe("dict", name);
    if (value instanceof Markup) {
      const method = markupMethod(name);
      if (method) return new PyFunction((args) => method(value, args));
      if (/^(format|format_map|striptags|unescape|encode|translate|maketrans|escape)$/.test(name))
        throw new Unsupported(`the method ${name} of a text marked as safe`);
    }
    if (value instanceof Float && numberAttributes.has(name)) return floatAttribute(value.value, name);
    return value.attribute(name);
  }
  if (Array.isArray(value)) {
    if (changing.list.has(name)) return Undefined.unsafe("list", name);
    if (name === "copy") {
      return new PyFunction((args) => {
        takes(name, args, 0, 0);
        return [...value];
      });
    }
    return sequenceMethods(value, name, "list");
  }
  if (isInteger(value) && numberAttributes.has(name)) {
    if (name === "real" || name === "numerator") return asInteger(value);
    if (name === "imag") return 0;
    if (name === "denominator") return 1;
    throw new Unsupported(`the attribute ${name} of a number`);
  }
  return undefined;
}

function floatAttribute(value: number, name: string): Value {
  if (name === "real") return new Float(value);
  if (name === "imag") return new Float(0);
  if (name === "is_integer") {
    return new PyFunction((args) => {
      takes(name, args, 0, 0);
      return Number.isInteger(value);
    });
  }
  throw new Unsupported(`the attribute ${name} of a number`);
}

function namesOf(value: Value): ReadonlyMap<string, Value> {
  if (!(value instanceof Dict)) raise("TypeError", "format_map() takes a mapping");
  const names = new Map<string, Value>();
  for (const [key, item] of value.entries.values()) if (typeof key === "string") names.set(key, item);
  return names;
}

/** What value[key] gives in Python; undefined where it raises TypeError or LookupError. */
function ownItem(value: Value, key: Value): Value | undefined {
  if (value instanceof PyObject && !(value instanceof Markup)) {
    if (value instanceof Undefined) value.raise();
    return value.item(key);
  }
  if (Array.isArray(value)) return at(value, key);
  const text = textOf(value);
  if (text === undefined || !isInteger(key)) return undefined;
  const all = points(text);
  const index = Number(key);
  const point = all[index < 0 ? index + all.length : index];
  return point !== undefined && value instanceof Markup ? new Markup(point) : point;
}

function missing(value: Value, key: Value): Undefined {
  const shown = typeof key === "string" || isInteger(key) ? String(key) : typeName(key);
  return new Undefined(
    `${value === null ? "None" : `'${typeName(value)} object'`} has no attribute '${shown}'`,
  );
}

/** Jinja's value.name: the attribute, else the item, else something undefined. Errors: UndefinedError. */
export function getAttribute(value: Value, name: string): Value {
  if (value instanceof Undefined) value.raise();
  const own = ownAttribute(value, name);
  if (own !== undefined)
    return own instanceof Undefined || !name.startsWith("_") ? own : Undefined.unsafe(typeName(value), name);
  return or(ownItem(value, name), () => missing(value, name));
}

/** Jinja's value[key]: the item, else the attribute of that name, else something undefined. Errors: UndefinedError. */
export function getItem(value: Value, key: Value): Value {
  const item = ownItem(value, key);
  if (item !== undefined) return item;
  const name = textOf(key);
  const own = name === undefined ? undefined : ownAttribute(value, name);
  if (own === undefined) return missing(value, key);
  return own instanceof Undefined || !name!.startsWith("_") ? own : Undefined.unsafe(typeName(value), name!);
}

/** The filter `attr`: an attribute, never an item. */
export function attributeOnly(value: Value, name: string): Value {
  if (value instanceof Undefined) value.raise();
  const own = ownAttribute(value, name);
  if (own === undefined) return missing(value, name);
  return own instanceof Undefined || !name.startsWith("_") ? own : Undefined.unsafe(typeName(value), name);
}

const lookup: Lookup = { attribute: getAttribute, item: getItem };
