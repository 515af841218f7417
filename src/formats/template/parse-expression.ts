import type { CallArguments, Comparison, Expression, FilterNode, Slice } from "./nodes.ts";
import { describe, matches, type TokenStream } from "./token-stream.ts";
import { Float } from "./values.ts";

/** Jinja's expressions, by descent (jinja2/parser.py). Errors: TemplateSyntaxError. */

export interface TupleOptions {
  /** Only names and literals: targets of assignments. */
  readonly simplified?: boolean;
  readonly withCondition?: boolean;
  readonly parentheses?: boolean;
  readonly withNamespace?: boolean;
}

export function parseExpression(stream: TokenStream, withCondition = true): Expression {
  let expression = parseOr(stream);
  while (withCondition && stream.skipIf("name:if")) {
    const test = parseOr(stream);
    const otherwise = stream.skipIf("name:else") ? parseExpression(stream) : null;
    expression = { type: "Condition", test, chosen: expression, otherwise };
  }
  return expression;
}

function parseOr(stream: TokenStream): Expression {
  let left = parseAnd(stream);
  while (stream.skipIf("name:or")) left = { type: "Binary", operator: "or", left, right: parseAnd(stream) };
  return left;
}

function parseAnd(stream: TokenStream): Expression {
  let left = parseNot(stream);
  while (stream.skipIf("name:and")) left = { type: "Binary", operator: "and", left, right: parseNot(stream) };
  return left;
}

function parseNot(stream: TokenStream): Expression {
  if (stream.skipIf("name:not")) return { type: "Unary", operator: "not", node: parseNot(stream) };
  return parseCompare(stream);
}

function parseCompare(stream: TokenStream): Expression {
  const first = parseSum(stream);
  const ops: { operator: Comparison; node: Expression }[] = [];
  for (;;) {
    if (stream.is("==", "!=", "<", "<=", ">", ">=")) {
      const operator = stream.next().type as Comparison;
      ops.push({ operator, node: parseSum(stream) });
    } else if (stream.skipIf("name:in")) ops.push({ operator: "in", node: parseSum(stream) });
    else if (stream.is("name:not") && matches(stream.ahead, "name:in")) {
      stream.next();
      stream.next();
      ops.push({ operator: "not in", node: parseSum(stream) });
    } else break;
  }
  return ops.length === 0 ? first : { type: "Compare", first, ops };
}

function parseSum(stream: TokenStream): Expression {
  let left = parseConcat(stream);
  while (stream.is("+", "-")) {
    const operator = stream.next().type as "+" | "-";
    left = { type: "Binary", operator, left, right: parseConcat(stream) };
  }
  return left;
}

function parseConcat(stream: TokenStream): Expression {
  const nodes = [parseProduct(stream)];
  while (stream.skipIf("~")) nodes.push(parseProduct(stream));
  return nodes.length === 1 ? nodes[0]! : { type: "Concat", nodes };
}

function parseProduct(stream: TokenStream): Expression {
  let left = parsePower(stream);
  while (stream.is("*", "/", "//", "%")) {
    const operator = stream.next().type as "*";
    left = { type: "Binary", operator, left, right: parsePower(stream) };
  }
  return left;
}

function parsePower(stream: TokenStream): Expression {
  let left = parseUnary(stream);
  while (stream.skipIf("**")) left = { type: "Binary", operator: "**", left, right: parseUnary(stream) };
  return left;
}

function parseUnary(stream: TokenStream, withFilter = true): Expression {
  let node: Expression;
  if (stream.is("+", "-")) {
    const operator = stream.next().type as "+" | "-";
    node = { type: "Unary", operator, node: parseUnary(stream, false) };
  } else node = parsePrimary(stream);
  node = parsePostfix(stream, node);
  return withFilter ? parseFilters(stream, node) : node;
}

export function parsePrimary(stream: TokenStream, withNamespace = false): Expression {
  const token = stream.current;
  switch (token.type) {
    case "name":
      stream.next();
      switch (token.value) {
        case "true":
        case "True":
          return { type: "Const", value: true };
        case "false":
        case "False":
          return { type: "Const", value: false };
        case "none":
        case "None":
          return { type: "Const", value: null };
      }
      if (withNamespace && stream.skipIf(".")) {
        return { type: "NamespaceRef", name: token.value, attribute: stream.expect("name").value };
      }
      return { type: "Name", name: token.value, context: "load" };
    case "string": {
      let value = "";
      while (stream.current.type === "string") value += stream.next().value;
      return { type: "Const", value };
    }
    case "integer":
      stream.next();
      return { type: "Const", value: token.number! };
    case "float":
      stream.next();
      return { type: "Const", value: new Float(Number(token.number)) };
    case "(": {
      stream.next();
      const inner = parseTuple(stream, { parentheses: true });
      stream.expect(")");
      return inner;
    }
    case "[":
      stream.next();
      return { type: "List", items: list(stream, "]", () => parseExpression(stream)) };
    case "{":
      stream.next();
      return {
        type: "Dict",
        items: list(stream, "}", () => {
          const key = parseExpression(stream);
          stream.expect(":");
          return { key, value: parseExpression(stream) };
        }),
      };
    default:
      stream.fail(`unexpected '${describe(token)}'`);
  }
}

/** Items between commas; the last may be followed by one. */
function list<T>(stream: TokenStream, end: string, item: () => T): T[] {
  const items: T[] = [];
  while (!stream.is(end)) {
    if (items.length > 0) stream.expect(",");
    if (stream.is(end)) break;
    items.push(item());
  }
  stream.expect(end);
  return items;
}

/** One expression, or a tuple where commas follow. */
export function parseTuple(stream: TokenStream, options: TupleOptions = {}): Expression {
  const { simplified = false, withCondition = true, parentheses = false, withNamespace = false } = options;
  const items: Expression[] = [];
  let isTuple = false;
  for (;;) {
    if (items.length > 0) stream.expect(",");
    if (stream.is("variable_end", "block_end", ")")) break;
    items.push(simplified ? parsePrimary(stream, withNamespace) : parseExpression(stream, withCondition));
    if (!stream.is(",")) break;
    isTuple = true;
  }
  if (!isTuple) {
    if (items.length > 0) return items[0]!;
    if (!parentheses) stream.fail(`Expected an expression, got '${describe(stream.current)}'`);
  }
  return { type: "Tuple", items };
}

export function parsePostfix(stream: TokenStream, given: Expression): Expression {
  let node = given;
  for (;;) {
    if (stream.is(".", "[")) node = parseSubscript(stream, node);
    else if (stream.is("(")) node = { type: "Call", node, ...parseArguments(stream) };
    else return node;
  }
}

function parseFilters(stream: TokenStream, given: Expression): Expression {
  let node = given;
  for (;;) {
    if (stream.is("|")) node = parseFilter(stream, node)!;
    else if (stream.is("name:is")) node = parseTest(stream, node);
    else if (stream.is("(")) node = { type: "Call", node, ...parseArguments(stream) };
    else return node;
  }
}

function parseSubscript(stream: TokenStream, node: Expression): Expression {
  if (stream.next().type === ".") {
    const token = stream.next();
    if (token.type === "name") return { type: "Getattr", node, name: token.value };
    if (token.type !== "integer") stream.fail("expected name or number", token.line);
    return { type: "Getitem", node, key: { type: "Const", value: token.number! } };
  }
  const keys: (Expression | Slice)[] = [];
  while (!stream.is("]")) {
    if (keys.length > 0) stream.expect(",");
    keys.push(parseSubscripted(stream));
  }
  stream.expect("]");
  return { type: "Getitem", node, key: keys.length === 1 ? keys[0]! : { type: "Tuple", items: keys } };
}

function parseSubscripted(stream: TokenStream): Expression {
  let start: Expression | null = null;
  if (!stream.is(":")) {
    start = parseExpression(stream);
    if (!stream.is(":")) return start;
  }
  stream.next();
  const stop = stream.is(":", "]", ",") ? null : parseExpression(stream);
  const step = stream.skipIf(":") && !stream.is("]", ",") ? parseExpression(stream) : null;
  return { type: "Slice", start, stop, step };
}

function parseArguments(stream: TokenStream): CallArguments {
  const { line } = stream.expect("(");
  const args: Expression[] = [];
  const kwargs: { key: string; value: Expression }[] = [];
  let dynArgs: Expression | null = null;
  let dynKwargs: Expression | null = null;
  const ensure = (holds: boolean) => {
    if (!holds) stream.fail("invalid syntax for function call expression", line);
  };
  for (let first = true; !stream.is(")"); first = false) {
    if (!first) {
      stream.expect(",");
      if (stream.is(")")) break;
    }
    if (stream.skipIf("*")) {
      ensure(dynArgs === null && dynKwargs === null);
      dynArgs = parseExpression(stream);
    } else if (stream.skipIf("**")) {
      ensure(dynKwargs === null);
      dynKwargs = parseExpression(stream);
    } else if (stream.is("name") && stream.ahead.type === "=") {
      ensure(dynKwargs === null);
      const key = stream.next().value;
      stream.next();
      if (kwargs.some((other) => other.key === key)) stream.fail(`keyword argument repeated: ${key}`);
      kwargs.push({ key, value: parseExpression(stream) });
    } else {
      ensure(dynArgs === null && dynKwargs === null && kwargs.length === 0);
      args.push(parseExpression(stream));
    }
  }
  stream.expect(")");
  return { args, kwargs, dynArgs, dynKwargs };
}

const noArguments: CallArguments = { args: [], kwargs: [], dynArgs: null, dynKwargs: null };

function dottedName(stream: TokenStream): { name: string; line: number } {
  const { value, line } = stream.expect("name");
  let name = value;
  while (stream.skipIf(".")) name += `.${stream.expect("name").value}`;
  return { name, line };
}

/** Filters after |; where `inline`, the first stands without it. null where there is none. */
export function parseFilter(
  stream: TokenStream,
  given: Expression | null,
  inline = false,
): Expression | null {
  let node = given;
  for (let bare = inline; bare || stream.is("|"); bare = false) {
    if (!bare) stream.next();
    const { name, line } = dottedName(stream);
    const args = stream.is("(") ? parseArguments(stream) : noArguments;
    node = { type: "Filter", node, name, line, ...args } satisfies FilterNode;
  }
  return node;
}

function parseTest(stream: TokenStream, node: Expression): Expression {
  stream.next();
  const negated = stream.skipIf("name:not");
  const { name, line } = dottedName(stream);
  let args = noArguments;
  if (stream.is("(")) args = parseArguments(stream);
  else if (
    stream.is("name", "string", "integer", "float", "[", "{") &&
    !stream.is("name:else", "name:or", "name:and")
  ) {
    if (stream.is("name:is")) stream.fail("You cannot chain multiple tests with is");
    args = { ...noArguments, args: [parsePostfix(stream, parsePrimary(stream))] };
  }
  const test: Expression = { type: "Test", node, name, line, ...args };
  return negated ? { type: "Unary", operator: "not", node: test } : test;
}
