import { Dict, DictView, Range, Tuple } from "./containers.ts";
import { sliceList, slicePositions } from "./slices.ts";
import { compareText, points } from "./text.ts";
import {
  equals,
  iterate,
  Markup,
  numeric,
  PyObject,
  raise,
  textOf,
  toList,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Below 0, 0 or above, as Python orders a and b; `operator` is for the message. Errors: TypeError. */
export function compare(a: Value, b: Value, operator: string): number {
  const [m, n] = [numeric(a), numeric(b)];
  if (m !== undefined && n !== undefined) return m < n ? -1 : m > n ? 1 : m >= n ? 0 : Number.NaN;
  const [s, t] = [textOf(a), textOf(b)];
  if (s !== undefined && t !== undefined) return compareText(s, t);
  const [p, q] =
    Array.isArray(a) && Array.isArray(b)
      ? [a, b]
      : a instanceof Tuple && b instanceof Tuple
        ? [a.items, b.items]
        : [];
  if (p && q) {
    for (let i = 0; i < Math.min(p.length, q.length); i++) {
      if (!equals(p[i]!, q[i]!)) return compare(p[i]!, q[i]!, operator);
    }
    return p.length - q.length;
  }
  for (const side of [a, b]) if (side instanceof Undefined) side.raise();
  raise(
    "TypeError",
    `'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  );
}

/** Python's `value in container`. Errors: TypeError. */
export function contains(container: Value, value: Value): boolean {
  const text = textOf(container);
  if (text !== undefined) {
    const part = textOf(value);
    if (part === undefined)
      raise("TypeError", `'in <string>' requires string as left operand, not ${typeName(value)}`);
    return text.includes(part);
  }
  if (Array.isArray(container)) return container.some((item) => equals(item, value));
  if (container instanceof Dict) return container.has(value);
  if (container instanceof DictView && container.what === "keys") return container.dict.has(value);
  if (container instanceof Range) return container.has(value);
  if (!(container instanceof PyObject))
    raise("TypeError", `argument of type '${typeName(container)}' is not iterable`);
  const items = iterate(container);
  for (let next = items.next(); !next.done; next = items.next()) if (equals(next.value, value)) return true;
  return false;
}

/** Python's len(); undefined where the value has none. */
export function sizeOf(value: Value): number | undefined {
  const text = textOf(value);
  if (text !== undefined) return points(text).length;
  if (Array.isArray(value)) return value.length;
  return value instanceof PyObject ? value.size() : undefined;
}

/** Python's reversed(). Errors: TypeError. */
export function reversed(value: Value): Iterator<Value> {
  const text = textOf(value);
  if (text !== undefined) return [...text].reverse().values();
  if (Array.isArray(value)) return [...value].reverse().values();
  if (
    value instanceof Tuple ||
    value instanceof Dict ||
    value instanceof DictView ||
    value instanceof Range ||
    value instanceof Undefined
  ) {
    return toList(value).reverse().values();
  }
  raise("TypeError", `'${typeName(value)}' object is not reversible`);
}

/** obj[start:stop:step]. Errors: TypeError, ValueError, UndefinedError. */
export function slice(value: Value, start: Value, stop: Value, step: Value): Value {
  const text = textOf(value);
  if (text !== undefined) {
    const all = points(text);
    let cut = "";
    for (const i of slicePositions(all.length, start, stop, step)) cut += all[i];
    return value instanceof Markup ? new Markup(cut) : cut;
  }
  if (Array.isArray(value)) return sliceList(value, start, stop, step);
  if (value instanceof Tuple) return new Tuple(sliceList(value.items, start, stop, step));
  if (value instanceof Range) return value.slice(start, stop, step);
  if (value instanceof Undefined) value.raise();
  raise("TypeError", `'${typeName(value)}' object is not subscriptable by a slice`);
}

/** Python's sorted(): stable, also in reverse; `key` is called once an item. Errors: TypeError. */
export function sorted(items: readonly Value[], key: (item: Value) => Value, reverse: boolean): Value[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const order = (a: Value, b: Value) => {
    const found = compare(a, b, "<");
    return Number.isNaN(found) ? 0 : found;
  };
  keyed.sort((a, b) => (reverse ? order(b.key, a.key) : order(a.key, b.key)));
  return keyed.map(({ item }) => item);
}
