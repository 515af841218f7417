import { attributeOnly, getItem } from "./attributes.ts";
import { compare, reversed, sizeOf, sorted } from "./compare.ts";
import { Dict, Group, type Tuple } from "./containers.ts";
import { bindFilter, type Filter, textFilters } from "./filters-text.ts";
import { count, toInteger } from "./numbers.ts";
import { add } from "./operators.ts";
import { makeTests } from "./tests.ts";
import {
  type Arguments,
  equals,
  hash,
  iterate,
  PyIterator,
  raise,
  str,
  textOf,
  toList,
  truthy,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Filters of sequences, as in jinja2/filters.py. Those that are generators there give their items once here too. */

/** The items of an iterable, one by one. */
function* items(value: Value): Generator<Value> {
  const given = iterate(value);
  for (let next = given.next(); !next.done; next = given.next()) yield next.value;
}

/** Looks an attribute such as "a.b.0" up; `otherwise` stands for what is undefined on the way. */
function getter(attribute: Value, lower: boolean, otherwise: Value = null): (item: Value) => Value {
  const path = parts(attribute);
  return (item) => {
    let value = item;
    for (const part of path) {
      value = getItem(value, part);
      if (otherwise !== null && value instanceof Undefined) value = otherwise;
    }
    return lower ? lowered(value) : value;
  };
}

function parts(attribute: Value): Value[] {
  if (attribute === null) return [];
  const text = textOf(attribute);
  return text === undefined
    ? [attribute]
    : text.split(".").map((part) => (/^\d+$/.test(part) ? toInteger(part) : part));
}

/** Where case does not count, strings are compared in lower case. */
function lowered(value: Value): Value {
  return textOf(value)?.toLowerCase() ?? value;
}

const flag = (value: Value | undefined) => truthy(value ?? false);

function sort(value: Value, args: Arguments): Value {
  const [reverse, caseSensitive, attribute = null] = bindFilter("sort", args, [
    "reverse",
    "case_sensitive",
    "attribute",
  ]);
  const names = textOf(attribute)?.split(",") ?? [attribute];
  const getters = names.map((name) => getter(name, !flag(caseSensitive)));
  return sorted(toList(value), (item) => getters.map((get) => get(item)), flag(reverse));
}

function dictSort(value: Value, args: Arguments): Value {
  const [caseSensitive, by = "key", reverse] = bindFilter("dictsort", args, [
    "case_sensitive",
    "by",
    "reverse",
  ]);
  if (by !== "key" && by !== "value")
    raise("FilterArgumentError", 'You can only sort by either "key" or "value"');
  if (value instanceof Undefined) value.raise();
  if (!(value instanceof Dict))
    raise("AttributeError", `'${typeName(value)}' object has no attribute 'items'`);
  const at = by === "key" ? 0 : 1;
  const key = (pair: Value) => {
    const part = (pair as Tuple).items[at]!;
    return flag(caseSensitive) ? part : lowered(part);
  };
  return sorted([...value.pairs()], key, flag(reverse));
}

function* unique(value: Value, args: Arguments): Generator<Value> {
  const [caseSensitive, attribute = null] = bindFilter("unique", args, ["case_sensitive", "attribute"]);
  const get = getter(attribute, !flag(caseSensitive));
  const seen = new Set<unknown>();
  for (const item of items(value)) {
    const key = hash(get(item));
    if (seen.has(key)) continue;
    seen.add(key);
    yield item;
  }
}

function extreme(name: "min" | "max"): Filter {
  return (value, args) => {
    const [caseSensitive, attribute = null] = bindFilter(name, args, ["case_sensitive", "attribute"]);
    const get = getter(attribute, !flag(caseSensitive));
    let best: { item: Value; key: Value } | undefined;
    for (const item of items(value)) {
      const key = get(item);
      if (!best || (name === "min" ? compare(key, best.key, "<") < 0 : compare(key, best.key, ">") > 0))
        best = { item, key };
    }
    return best ? best.item : new Undefined("No aggregated item, sequence was empty.");
  };
}

function groupBy(value: Value, args: Arguments): Value {
  const [attribute, otherwise = null, caseSensitive] = bindFilter(
    "groupby",
    args,
    ["attribute", "default", "case_sensitive"],
    1,
  );
  const get = getter(attribute!, !flag(caseSensitive), otherwise);
  const groups: { key: Value; members: Value[] }[] = [];
  for (const item of sorted(toList(value), get, false)) {
    const key = get(item);
    const last = groups.at(-1);
    if (last && equals(last.key, key)) last.members.push(item);
    else groups.push({ key, members: [item] });
  }
  // A group is called as its first member's attribute is written.
  const shown = getter(attribute!, false, otherwise);
  return groups.map(
    ({ key, members }) => new Group([flag(caseSensitive) ? key : shown(members[0]!), members]),
  );
}

function sum(value: Value, args: Arguments): Value {
  const [attribute = null, start = 0] = bindFilter("sum", args, ["attribute", "start"]);
  if (textOf(start) !== undefined) raise("TypeError", "sum() can't sum strings [use ''.join(seq) instead]");
  const get = getter(attribute, false);
  let total = start;
  for (const item of items(value)) total = add(total, attribute === null ? item : get(item));
  return total;
}

function join(value: Value, args: Arguments): Value {
  const [separator = "", attribute = null] = bindFilter("join", args, ["d", "attribute"]);
  const get = getter(attribute, false);
  return toList(value)
    .map((item) => str(attribute === null ? item : get(item)))
    .join(str(separator));
}

function* batch(value: Value, args: Arguments): Generator<Value> {
  const [size, fill = null] = bindFilter("batch", args, ["linecount", "fill_with"], 1);
  let row: Value[] = [];
  for (const item of items(value)) {
    if (equals(row.length, size!)) {
      yield row;
      row = [];
    }
    row.push(item);
  }
  if (row.length === 0) return;
  if (fill !== null && compare(row.length, size!, "<") < 0) while (row.length < count(size!)) row.push(fill);
  yield row;
}

function* slices(value: Value, args: Arguments): Generator<Value> {
  const [number, fill = null] = bindFilter("slice", args, ["slices", "fill_with"], 1);
  const all = toList(value);
  const parts = count(number!);
  if (parts === 0) raise("ZeroDivisionError", "integer division or modulo by zero");
  const [size, extra] = [Math.floor(all.length / parts), all.length - Math.floor(all.length / parts) * parts];
  for (let i = 0, start = 0; i < parts; i++) {
    const end = start + size + (i < extra ? 1 : 0);
    const column = all.slice(start, end);
    if (fill !== null && i >= extra) column.push(fill);
    yield column;
    start = end;
  }
}

function* map(value: Value, { positional, named }: Arguments): Generator<Value> {
  if (!truthy(value)) return;
  let apply: (item: Value) => Value;
  if (positional.length === 0 && named.has("attribute")) {
    for (const name of named.keys())
      if (name !== "attribute" && name !== "default")
        raise("FilterArgumentError", `Unexpected keyword argument '${name}'`);
    apply = getter(named.get("attribute")!, false, named.get("default") ?? null);
  } else {
    if (positional.length === 0) raise("FilterArgumentError", "map requires a filter argument");
    const [name, ...rest] = positional;
    const args = { positional: rest, named };
    apply = (item) => filterNamed(str(name!))(item, args);
  }
  for (const item of items(value)) yield apply(item);
}

/** select, reject, selectattr and rejectattr. */
function chooser(keep: boolean, byAttribute: boolean): (value: Value, args: Arguments) => Generator<Value> {
  return function* (value, { positional, named }) {
    if (!truthy(value)) return;
    const rest = [...positional];
    let get = (item: Value) => item;
    if (byAttribute) {
      if (rest.length === 0) raise("FilterArgumentError", "Missing parameter for attribute name");
      get = getter(rest.shift()!, false);
    }
    const name = rest.shift();
    const args = { positional: rest, named };
    const holds = name === undefined ? truthy : (item: Value) => testNamed(str(name))(item, args);
    for (const item of items(value)) if (holds(get(item)) === keep) yield item;
  };
}

const generator =
  (make: (value: Value, args: Arguments) => Generator<Value>): Filter =>
  (value, args) =>
    new PyIterator(make(value, args));

function length(value: Value, args: Arguments): Value {
  bindFilter("length", args, []);
  return sizeOf(value) ?? raise("TypeError", `object of type '${typeName(value)}' has no len()`);
}

function otherwise(value: Value, args: Arguments): Value {
  const [given = "", boolean] = bindFilter("default", args, ["default_value", "boolean"]);
  return value instanceof Undefined || (flag(boolean) && !truthy(value)) ? given : value;
}

/** The first of an iterator's items. */
function firstOf(given: Iterator<Value>, what: string): Value {
  const next = given.next();
  return next.done ? new Undefined(`No ${what} item, sequence was empty.`) : next.value;
}

const filters: Readonly<Record<string, Filter>> = {
  __proto__: null as never,
  ...textFilters,
  attr: (value, args) => {
    const name = bindFilter("attr", args, ["name"], 1)[0]!;
    return attributeOnly(value, textOf(name) ?? raise("TypeError", "attribute name must be string"));
  },
  batch: generator(batch),
  count: length,
  d: otherwise,
  default: otherwise,
  dictsort: dictSort,
  first: (value) => firstOf(iterate(value), "first"),
  groupby: groupBy,
  items: (value) => {
    if (value instanceof Undefined) return new PyIterator(([] as Value[]).values());
    if (value instanceof Dict) return new PyIterator(value.pairs());
    return new PyIterator({ next: () => raise("TypeError", "Can only get item pairs from a mapping.") });
  },
  join,
  last: (value) => firstOf(reversed(value), "last"),
  length,
  list: toList,
  map: generator(map),
  max: extreme("max"),
  min: extreme("min"),
  reject: generator(chooser(false, false)),
  rejectattr: generator(chooser(false, true)),
  reverse: (value) => {
    const text = textOf(value);
    if (text !== undefined) return [...text].reverse().join("");
    if (value instanceof PyIterator) return toList(value).reverse();
    return new PyIterator(reversed(value), "list_reverseiterator");
  },
  select: generator(chooser(true, false)),
  selectattr: generator(chooser(true, true)),
  slice: generator(slices),
  sort,
  sum,
  unique: generator(unique),
};

const tests = makeTests((name) => filters[name] !== undefined);

/** undefined where there is none of that name. */
export function findFilter(name: string): Filter | undefined {
  return filters[name];
}

export function findTest(name: string): ((value: Value, args: Arguments) => boolean) | undefined {
  return tests.get(name);
}

/** Errors: TemplateRuntimeError. */
export function filterNamed(name: string): Filter {
  return filters[name] ?? raise("TemplateRuntimeError", `No filter named '${name}' found.`);
}

export function testNamed(name: string): (value: Value, args: Arguments) => boolean {
  return tests.get(name) ?? raise("TemplateRuntimeError", `No test named '${name}' found.`);
}
