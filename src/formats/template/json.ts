import { sorted } from "./compare.ts";
import { Dict, Tuple } from "./containers.ts";
import { count } from "./numbers.ts";
import { Float, isInteger, raise, str, textOf, toList, truthy, typeName, type Value } from "./values.ts";

/** Arguments of transformers' filter `tojson`, which are those of Python's json.dumps. */
export interface JsonOptions {
  readonly ensureAscii?: Value;
  readonly indent?: Value;
  readonly separators?: Value;
  readonly sortKeys?: Value;
}

const names: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON escapes
const special = /["\\\x00-\x1f]/g;
const notAscii = /["\\]|[^ -~]/g;

function jsonText(text: string, ascii: boolean): string {
  const body = text.replace(
    ascii ? notAscii : special,
    (unit) => names[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${body}"`;
}

/** Python's json.dumps. Errors: TypeError for values that JSON has not. */
export function toJson(value: Value, options: JsonOptions): string {
  const ascii = truthy(options.ensureAscii ?? false);
  const indent = options.indent ?? null;
  const step = indent === null ? null : (textOf(indent) ?? " ".repeat(Math.max(0, count(indent))));
  let [itemSeparator, keySeparator] = [step === null ? ", " : ",", ": "];
  if ((options.separators ?? null) !== null) {
    const given = toList(options.separators!).map(str);
    if (given.length !== 2) raise("ValueError", "separators must be a pair of texts");
    [itemSeparator, keySeparator] = given as [string, string];
  }
  const sortKeys = truthy(options.sortKeys ?? false);

  const key = (given: Value): string => {
    const text = textOf(given);
    if (text !== undefined) return text;
    if (given === null || isInteger(given) || given instanceof Float) return scalar(given)!;
    raise("TypeError", `keys must be str, int, float, bool or None, not ${typeName(given)}`);
  };
  const write = (given: Value, margin: string): string => {
    const text = textOf(given);
    if (text !== undefined) return jsonText(text, ascii);
    const plain = scalar(given);
    if (plain !== undefined) return plain;
    const inner = step === null ? "" : margin + step;
    const wrap = (open: string, parts: string[], close: string): string => {
      if (parts.length === 0) return open + close;
      return step === null
        ? open + parts.join(itemSeparator) + close
        : `${open}\n${inner}${parts.join(`${itemSeparator}\n${inner}`)}\n${margin}${close}`;
    };
    if (Array.isArray(given))
      return wrap(
        "[",
        given.map((item) => write(item, inner)),
        "]",
      );
    if (given instanceof Tuple)
      return wrap(
        "[",
        given.items.map((item) => write(item, inner)),
        "]",
      );
    if (given instanceof Dict) {
      const keys = sortKeys ? sorted(toList(given), (item) => item, false) : toList(given);
      const parts = keys.map(
        (name) => jsonText(key(name), ascii) + keySeparator + write(given.get(name)!, inner),
      );
      return wrap("{", parts, "}");
    }
    raise("TypeError", `Object of type ${typeName(given)} is not JSON serializable`);
  };
  return write(value, "");
}

/** None, bool and numbers; undefined for other values. */
function scalar(value: Value): string | undefined {
  if (value === null) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (isInteger(value)) return String(value);
  if (!(value instanceof Float)) return undefined;
  if (Number.isNaN(value.value)) return "NaN";
  if (!Number.isFinite(value.value)) return value.value > 0 ? "Infinity" : "-Infinity";
  return value.repr();
}
