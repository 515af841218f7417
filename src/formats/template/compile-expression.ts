import { getAttribute, getItem } from "./attributes.ts";
import { compare, contains, slice } from "./compare.ts";
import { Dict, Tuple } from "./containers.ts";
import { TemplateSyntaxError, Unsupported } from "./errors.ts";
import { filterNamed, findFilter, findTest, testNamed } from "./filters.ts";
import type { Filter } from "./filters-text.ts";
import {
  type BinaryOperator,
  type CallArguments,
  type Comparison,
  children,
  type Expression,
  type FilterNode,
} from "./nodes.ts";
import {
  add,
  concatenate,
  divide,
  floorDivide,
  modulo,
  multiply,
  negate,
  plus,
  power,
  subtract,
} from "./operators.ts";
import { call } from "./runtime.ts";
import { Context, type Frame, Scope } from "./scope.ts";
import {
  type Arguments,
  equals,
  numeric,
  raise,
  textOf,
  toList,
  truthy,
  Undefined,
  type Value,
} from "./values.ts";

export type Evaluate = (scope: Scope) => Value;

const binary: Readonly<Record<Exclude<BinaryOperator, "and" | "or">, (a: Value, b: Value) => Value>> = {
  "+": add,
  "-": subtract,
  "*": multiply,
  "/": divide,
  "//": floorDivide,
  "%": modulo,
  "**": power,
};

const comparisons: Readonly<Record<Comparison, (a: Value, b: Value) => boolean>> = {
  "==": equals,
  "!=": (a, b) => !equals(a, b),
  "<": (a, b) => compare(a, b, "<") < 0,
  "<=": (a, b) => compare(a, b, "<=") <= 0,
  ">": (a, b) => compare(a, b, ">") > 0,
  ">=": (a, b) => compare(a, b, ">=") >= 0,
  in: (a, b) => contains(b, a),
  "not in": (a, b) => !contains(b, a),
};

/** An expression as a function of the variables. Errors: TemplateSyntaxError for filters and tests that are none. */
export function compileExpression(node: Expression, frame: Frame): Evaluate {
  const compile = (child: Expression) => compileExpression(child, frame);
  switch (node.type) {
    case "Const": {
      const { value } = node;
      return () => value;
    }
    case "Name":
      return frame.slots.valueReader(frame.symbols.ref(node.name), node.name);
    case "Tuple": {
      const items = node.items.map(compile);
      return (scope) => new Tuple(items.map((item) => item(scope)));
    }
    case "List": {
      const items = node.items.map(compile);
      return (scope) => items.map((item) => item(scope));
    }
    case "Dict": {
      const items = node.items.map(({ key, value }) => [compile(key), compile(value)] as const);
      return (scope) => Dict.of(items.map(([key, value]) => [key(scope), value(scope)]));
    }
    case "Binary": {
      const [left, right] = [compile(node.left), compile(node.right)];
      if (node.operator === "and") {
        return (scope) => {
          const value = left(scope);
          return truthy(value) ? right(scope) : value;
        };
      }
      if (node.operator === "or") {
        return (scope) => {
          const value = left(scope);
          return truthy(value) ? value : right(scope);
        };
      }
      // Jinja writes a constant -2 into Python's source, where -2 ** n is -(2 ** n).
      if (node.operator === "**" && isNegative(node.left, left) && !isConstant(node.right))
        return (scope) => negate(power(negate(left(scope)), right(scope)));
      const apply = binary[node.operator];
      return (scope) => apply(left(scope), right(scope));
    }
    case "Unary": {
      const value = compile(node.node);
      if (node.operator === "not") return (scope) => !truthy(value(scope));
      const apply = node.operator === "-" ? negate : plus;
      return (scope) => apply(value(scope));
    }
    case "Concat": {
      const nodes = node.nodes.map(compile);
      return (scope) => concatenate(nodes.map((child) => child(scope)));
    }
    case "Compare": {
      const first = compile(node.first);
      const ops = node.ops.map((op) => ({ holds: comparisons[op.operator], value: compile(op.node) }));
      return (scope) => {
        let left = first(scope);
        for (const { holds, value } of ops) {
          const right = value(scope);
          if (!holds(left, right)) return false;
          left = right;
        }
        return true;
      };
    }
    case "Condition": {
      const soft = { ...frame, soft: true };
      const [test, chosen] = [compileExpression(node.test, soft), compileExpression(node.chosen, soft)];
      const otherwise = node.otherwise ? compileExpression(node.otherwise, soft) : noElse;
      return (scope) => (truthy(test(scope)) ? chosen(scope) : otherwise(scope));
    }
    case "Getattr": {
      const value = compile(node.node);
      const { name } = node;
      return (scope) => getAttribute(value(scope), name);
    }
    case "Getitem": {
      const value = compile(node.node);
      if (node.key.type !== "Slice") {
        const key = compile(node.key);
        return (scope) => getItem(value(scope), key(scope));
      }
      const bound = (child: Expression | null) => (child ? compile(child) : none);
      const [start, stop, step] = [bound(node.key.start), bound(node.key.stop), bound(node.key.step)];
      return (scope) => slice(value(scope), start(scope), stop(scope), step(scope));
    }
    case "Filter":
      if (!node.node) throw new Error("a filter without a value");
      return compileFilter(node, compile(node.node), frame);
    case "Test": {
      const { name } = node;
      const found = findTest(name);
      if (!found && !frame.soft) throw new TemplateSyntaxError(`No test named '${name}'`, node.line);
      const [value, args] = [compile(node.node), compileArguments(node, frame)];
      return (scope) => (found ?? testNamed(name))(value(scope), args(scope));
    }
    case "Call": {
      const [callee, args] = [compile(node.node), compileArguments(node, frame)];
      return (scope) => call(callee(scope), args(scope));
    }
    case "Slice":
      throw new Unsupported("a slice within a tuple");
    case "NamespaceRef":
    case "Generation":
      throw new Error(`${node.type} is no expression`);
  }
}

/** Whether Jinja computes the expression when it compiles it. Filters and tests are left out: they change nothing here. */
function isConstant(node: Expression): boolean {
  switch (node.type) {
    case "Const":
    case "Tuple":
    case "List":
    case "Dict":
    case "Binary":
    case "Unary":
    case "Concat":
    case "Compare":
    case "Getitem":
    case "Slice":
      return children(node).every((child) => isConstant(child as Expression));
    default:
      return false;
  }
}

/** Whether it is a constant below 0. */
function isNegative(node: Expression, value: Evaluate): boolean {
  if (!isConstant(node)) return false;
  try {
    const number = numeric(value(new Scope(null, new Context(new Map()))));
    return number !== undefined && number < 0;
  } catch {
    return false;
  }
}

const none: Evaluate = () => null;
const noElse: Evaluate = () =>
  new Undefined("the inline if-expression evaluated to false and no else section was defined.");

/** A filter of a value that is already compiled. */
export function compileFilter(node: FilterNode, value: Evaluate, frame: Frame): Evaluate {
  const { name } = node;
  const found: Filter | undefined = findFilter(name);
  if (!found && !frame.soft) throw new TemplateSyntaxError(`No filter named '${name}'`, node.line);
  const args = compileArguments(node, frame);
  return (scope) => (found ?? filterNamed(name))(value(scope), args(scope));
}

const noNames: ReadonlyMap<string, Value> = new Map();
const noArguments: Arguments = { positional: [], named: noNames };

export function compileArguments(node: CallArguments, frame: Frame): (scope: Scope) => Arguments {
  const args = node.args.map((arg) => compileExpression(arg, frame));
  const kwargs = node.kwargs.map(({ key, value }) => [key, compileExpression(value, frame)] as const);
  const dynArgs = node.dynArgs && compileExpression(node.dynArgs, frame);
  const dynKwargs = node.dynKwargs && compileExpression(node.dynKwargs, frame);
  if (kwargs.length === 0 && !dynArgs && !dynKwargs) {
    if (args.length === 0) return () => noArguments;
    return (scope) => ({ positional: args.map((arg) => arg(scope)), named: noNames });
  }
  return (scope) => {
    const positional = args.map((arg) => arg(scope));
    if (dynArgs) positional.push(...toList(dynArgs(scope)));
    const named = new Map(kwargs.map(([key, value]) => [key, value(scope)]));
    if (dynKwargs) addNames(named, dynKwargs(scope));
    return { positional, named };
  };
}

function addNames(named: Map<string, Value>, given: Value): void {
  if (given instanceof Undefined) given.raise();
  if (!(given instanceof Dict)) raise("TypeError", "the argument after ** must be a mapping");
  for (const [key, value] of given.entries.values()) {
    const name = textOf(key) ?? raise("TypeError", "keywords must be strings");
    if (named.has(name)) raise("TypeError", `got multiple values for keyword argument '${name}'`);
    named.set(name, value);
  }
}
