import { Dict } from "./containers.ts";
import { Unsupported } from "./errors.ts";
import { integer } from "./numbers.ts";
import { Float, PyObject, type Value } from "./values.ts";

/**
 * A value of JavaScript as Python has it. A number without a fraction is an int: JSON.parse keeps no difference between 1
 * and 1.0. Members that are undefined are left out. Errors: Unsupported.
 */
export function fromHost(value: unknown, path: string): Value {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isInteger(value) && !Object.is(value, -0) ? integer(value) : new Float(value);
    case "bigint":
      return integer(value);
    case "object": {
      if (value === null || value instanceof PyObject) return value;
      if (Array.isArray(value)) return value.map((item, i) => fromHost(item ?? null, `${path}[${i}]`));
      const dict = new Dict();
      const entries = value instanceof Map ? value.entries() : isPlain(value) ? Object.entries(value) : null;
      if (!entries) break;
      for (const [key, item] of entries) {
        if (item !== undefined) dict.set(fromHost(key, path), fromHost(item, `${path}.${String(key)}`));
      }
      return dict;
    }
  }
  throw new Unsupported(`the value of ${path}, neither JSON nor a Map,`);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
