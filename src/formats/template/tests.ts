import { compare, contains, sizeOf } from "./compare.ts";
import { Dict, Range, Tuple } from "./containers.ts";
import { modulo } from "./operators.ts";
import { bind, hasCase } from "./string-methods.ts";
import {
  type Arguments,
  equals,
  Float,
  isInteger,
  Markup,
  numeric,
  PyObject,
  raise,
  str,
  textOf,
  Undefined,
  type Value,
} from "./values.ts";

/** What stands after `is`: the value and the arguments of the test. */
type Test = (value: Value, args: Arguments) => boolean;

function unary(name: string, holds: (value: Value) => boolean): Test {
  return (value, args) => {
    bind(`the test '${name}'`, args, []);
    return holds(value);
  };
}

function binary(name: string, argument: string, holds: (value: Value, other: Value) => boolean): Test {
  return (value, args) => holds(value, bind(`the test '${name}'`, args, [argument], 1)[0]!);
}

/** Python's "is": the same object. Strings of one text count as one. */
function same(a: Value, b: Value): boolean {
  if (a === b) return true;
  return a instanceof Markup && b instanceof Markup && a.text === b.text;
}

function iterable(value: Value): boolean {
  if (typeof value === "string" || Array.isArray(value)) return true;
  if (!(value instanceof PyObject)) return false;
  if (value.typeName === "LoopContext" || value instanceof Markup) return true;
  return value.iterate() !== undefined;
}

const eq = binary("eq", "other", equals);
const ne = binary("ne", "other", (a, b) => !equals(a, b));
const lt = binary("lt", "other", (a, b) => compare(a, b, "<") < 0);
const le = binary("le", "other", (a, b) => compare(a, b, "<=") <= 0);
const gt = binary("gt", "other", (a, b) => compare(a, b, ">") > 0);
const ge = binary("ge", "other", (a, b) => compare(a, b, ">=") >= 0);

/** Jinja's tests. Errors: TypeError, UndefinedError. Names of filters and tests are for the tests of these names. */
export function makeTests(isFilter: (name: string) => boolean): ReadonlyMap<string, Test> {
  const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
    ["odd", unary("odd", (value) => equals(modulo(value, 2), 1))],
    ["even", unary("even", (value) => equals(modulo(value, 2), 0))],
    ["divisibleby", binary("divisibleby", "num", (value, by) => equals(modulo(value, by), 0))],
    ["defined", unary("defined", (value) => !(value instanceof Undefined))],
    ["undefined", unary("undefined", (value) => value instanceof Undefined)],
    ["filter", unary("filter", (value) => isFilter(nameOf(value)))],
    ["test", unary("test", (value) => tests.has(nameOf(value)))],
    ["none", unary("none", (value) => value === null)],
    ["boolean", unary("boolean", (value) => typeof value === "boolean")],
    ["false", unary("false", (value) => value === false)],
    ["true", unary("true", (value) => value === true)],
    ["integer", unary("integer", (value) => isInteger(value) && typeof value !== "boolean")],
    ["float", unary("float", (value) => value instanceof Float)],
    ["lower", unary("lower", (value) => hasCase(str(value), false))],
    ["upper", unary("upper", (value) => hasCase(str(value), true))],
    ["string", unary("string", (value) => textOf(value) !== undefined)],
    ["mapping", unary("mapping", (value) => value instanceof Dict)],
    ["number", unary("number", (value) => numeric(value) !== undefined)],
    ["sequence", unary("sequence", isSequence)],
    ["iterable", unary("iterable", iterable)],
    [
      "callable",
      unary(
        "callable",
        (value) => value instanceof PyObject && (value.callable || value instanceof Undefined),
      ),
    ],
    ["sameas", binary("sameas", "other", same)],
    ["escaped", unary("escaped", (value) => value instanceof Markup)],
    ["in", binary("in", "seq", (value, container) => contains(container, value))],
    ["==", eq],
    ["eq", eq],
    ["equalto", eq],
    ["!=", ne],
    ["ne", ne],
    [">", gt],
    ["gt", gt],
    ["greaterthan", gt],
    [">=", ge],
    ["ge", ge],
    ["<", lt],
    ["lt", lt],
    ["lessthan", lt],
    ["<=", le],
    ["le", le],
  ]);
  return tests;
}

function nameOf(value: Value): string {
  if (Array.isArray(value) || value instanceof Dict) raise("TypeError", "unhashable type");
  return textOf(value) ?? "";
}

function isSequence(value: Value): boolean {
  if (value instanceof PyObject && !(value instanceof Markup)) {
    return (
      value instanceof Tuple || value instanceof Dict || value instanceof Range || value instanceof Undefined
    );
  }
  return sizeOf(value) !== undefined;
}
