import { Unsupported } from "./errors.ts";
import { tokenize } from "./lexer.ts";
import type { Expression, FilterNode, If, Name, Statement } from "./nodes.ts";
import { parseExpression, parseFilter, parseTuple } from "./parse-expression.ts";
import { matches, TokenStream } from "./token-stream.ts";

/** Parses a template. Errors: TemplateSyntaxError, Unsupported. */
export function parse(text: string): Statement[] {
  return parseBody(new TokenStream(tokenize(text)), []);
}

/** Statements up to one of the tags in `ends`, which becomes the current token; up to the end where there are none. */
function parseBody(stream: TokenStream, ends: readonly string[]): Statement[] {
  const body: Statement[] = [];
  let output: (string | Expression)[] = [];
  const flush = (line: number) => {
    if (output.length > 0) body.push({ type: "Output", nodes: output, line });
    output = [];
  };
  for (;;) {
    const { type, value, line } = stream.current;
    if (type === "data") {
      output.push(value);
      stream.next();
    } else if (type === "variable_begin") {
      stream.next();
      output.push(parseTuple(stream));
      stream.expect("variable_end");
    } else if (type === "block_begin") {
      flush(line);
      stream.next();
      if (ends.some((end) => matches(stream.current, end))) return body;
      body.push(parseStatement(stream, ends));
      stream.expect("block_end");
    } else {
      flush(line);
      if (ends.length > 0) stream.fail(`Unexpected end of template, looking for ${names(ends)}`);
      return body;
    }
  }
}

const names = (ends: readonly string[]) => ends.map((end) => `'${end.replace("name:", "")}'`).join(" or ");

/** The body of a tag; `drop` takes the tag that ends it too. */
function inside(stream: TokenStream, ends: readonly string[], drop: boolean): Statement[] {
  stream.skipIf(":");
  stream.expect("block_end");
  const body = parseBody(stream, ends);
  if (drop) stream.next();
  return body;
}

function parseStatement(stream: TokenStream, ends: readonly string[]): Statement {
  const { type, value: tag, line } = stream.current;
  if (type !== "name") stream.fail("tag name expected");
  switch (tag) {
    case "for":
      return parseFor(stream, line);
    case "if":
      return parseIf(stream, line);
    case "set":
      return parseSet(stream, line);
    case "break":
    case "continue":
      stream.next();
      return { type: tag === "break" ? "Break" : "Continue", line };
    case "macro": {
      stream.next();
      const { name } = assignTarget(stream, { nameOnly: true }) as Name;
      const signature = parseSignature(stream);
      return { type: "Macro", name, ...signature, body: inside(stream, ["name:endmacro"], true), line };
    }
    case "call": {
      stream.next();
      const signature = stream.is("(") ? parseSignature(stream) : { args: [], defaults: [] };
      const call = parseExpression(stream);
      if (call.type !== "Call") stream.fail("expected call", line);
      return { type: "CallBlock", call, ...signature, body: inside(stream, ["name:endcall"], true), line };
    }
    case "generation": {
      stream.next();
      const call = {
        type: "Call",
        node: { type: "Generation" },
        args: [],
        kwargs: [],
        dynArgs: null,
        dynKwargs: null,
      } as const;
      const body = inside(stream, ["name:endgeneration"], true);
      return { type: "CallBlock", call, args: [], defaults: [], body, line };
    }
    case "filter": {
      stream.next();
      const filter = parseFilter(stream, null, true) as FilterNode;
      return { type: "FilterBlock", filter, body: inside(stream, ["name:endfilter"], true), line };
    }
    case "with":
      return parseWith(stream, line);
    case "print": {
      stream.next();
      const nodes: Expression[] = [];
      while (!stream.is("block_end")) {
        if (nodes.length > 0) stream.expect(",");
        nodes.push(parseExpression(stream));
      }
      return { type: "Output", nodes, line };
    }
    case "block":
      return parseBlock(stream, line);
    case "autoescape": {
      stream.next();
      const escapes = parseExpression(stream);
      if (escapes.type !== "Const" || escapes.value !== false) throw new Unsupported("the tag 'autoescape'");
      return { type: "Scope", body: inside(stream, ["name:endautoescape"], true), line };
    }
    case "extends":
    case "include":
    case "import":
    case "from":
      return parseLoad(stream, tag, line);
    default:
      stream.fail(`Encountered unknown tag '${tag}'${ends.length > 0 ? `, looking for ${names(ends)}` : ""}`);
  }
}

function parseFor(stream: TokenStream, line: number): Statement {
  stream.next();
  const target = assignTarget(stream, {});
  stream.expect("name:in");
  const iter = parseTuple(stream, { withCondition: false });
  const test = stream.skipIf("name:if") ? parseExpression(stream) : null;
  const recursive = stream.skipIf("name:recursive");
  const body = inside(stream, ["name:endfor", "name:else"], false);
  const otherwise = stream.next().value === "endfor" ? [] : inside(stream, ["name:endfor"], true);
  return { type: "For", target, iter, body, otherwise, test, recursive, line };
}

function parseIf(stream: TokenStream, start: number): If {
  let line = start;
  const branches: { test: Expression; body: Statement[]; line: number }[] = [];
  let otherwise: Statement[] = [];
  stream.next();
  for (;;) {
    const test = parseTuple(stream, { withCondition: false });
    branches.push({ test, body: inside(stream, ["name:elif", "name:else", "name:endif"], false), line });
    const token = stream.next();
    line = token.line;
    if (token.value === "elif") continue;
    if (token.value === "else") otherwise = inside(stream, ["name:endif"], true);
    break;
  }
  const [first, ...rest] = branches;
  const elif = rest.map((branch): If => ({ type: "If", ...branch, elif: [], otherwise: [] }));
  return { type: "If", ...first!, elif, otherwise };
}

function parseSet(stream: TokenStream, line: number): Statement {
  stream.next();
  const target = assignTarget(stream, { withNamespace: true });
  if (stream.skipIf("=")) return { type: "Assign", target, node: parseTuple(stream), line };
  const filter = parseFilter(stream, null) as FilterNode | null;
  return { type: "AssignBlock", target, filter, body: inside(stream, ["name:endset"], true), line };
}

function parseWith(stream: TokenStream, line: number): Statement {
  stream.next();
  const [targets, values]: [Expression[], Expression[]] = [[], []];
  while (!stream.is("block_end")) {
    if (targets.length > 0) stream.expect(",");
    const target = assignTarget(stream, {});
    setContext(target, "param");
    targets.push(target);
    stream.expect("=");
    values.push(parseExpression(stream));
  }
  return { type: "With", targets, values, body: inside(stream, ["name:endwith"], true), line };
}

function parseBlock(stream: TokenStream, line: number): Statement {
  stream.next();
  const name = stream.expect("name").value;
  const scoped = stream.skipIf("name:scoped");
  const required = stream.skipIf("name:required");
  if (stream.is("-")) stream.fail("Block names may not contain hyphens, use an underscore instead");
  const body = inside(stream, ["name:endblock"], true);
  const blank = (node: string | Expression) => typeof node === "string" && node.trim() === "";
  if (required && !body.every((node) => node.type === "Output" && node.nodes.every(blank)))
    stream.fail("Required blocks can only contain comments or whitespace");
  stream.skipIf(`name:${name}`);
  return { type: "Block", name, body, scoped, required, line };
}

/** extends, include, import and from. Templates have none to load, which is said where one is. */
function parseLoad(stream: TokenStream, tag: string, line: number): Statement {
  stream.next();
  const template = parseExpression(stream);
  const found: string[] = [];
  if (tag === "import") {
    stream.expect("name:as");
    found.push(stream.expect("name").value);
  } else if (tag === "from") {
    stream.expect("name:import");
    do {
      if (stream.is("name:with", "name:without") && matches(stream.ahead, "name:context")) break;
      const name = stream.expect("name").value;
      found.push(stream.skipIf("name:as") ? stream.expect("name").value : name);
    } while (stream.skipIf(","));
  } else if (tag === "include" && stream.is("name:ignore") && matches(stream.ahead, "name:missing")) {
    stream.next();
    stream.next();
  }
  if (tag !== "extends" && stream.is("name:with", "name:without") && matches(stream.ahead, "name:context")) {
    stream.next();
    stream.next();
  }
  return { type: "Load", tag, template, names: found, line };
}

function parseSignature(stream: TokenStream): { args: Name[]; defaults: Expression[] } {
  const args: Name[] = [];
  const defaults: Expression[] = [];
  stream.expect("(");
  while (!stream.is(")")) {
    if (args.length > 0) stream.expect(",");
    const arg = assignTarget(stream, { nameOnly: true }) as Name;
    arg.context = "param";
    if (args.some(({ name }) => name === arg.name)) stream.fail(`duplicate argument '${arg.name}'`);
    if (stream.skipIf("=")) defaults.push(parseExpression(stream));
    else if (defaults.length > 0) stream.fail("non-default argument follows default argument");
    args.push(arg);
  }
  stream.expect(")");
  return { args, defaults };
}

interface TargetOptions {
  readonly nameOnly?: boolean;
  readonly withNamespace?: boolean;
}

function assignTarget(stream: TokenStream, { nameOnly, withNamespace }: TargetOptions): Expression {
  const { line } = stream.current;
  const target: Expression = nameOnly
    ? { type: "Name", name: stream.expect("name").value, context: "store" }
    : parseTuple(stream, { simplified: true, withNamespace });
  setContext(target, "store");
  if (!assignable(target)) stream.fail(`can't assign to '${target.type.toLowerCase()}'`, line);
  return target;
}

function setContext(target: Expression, context: "store" | "param"): void {
  if (target.type === "Name") target.context = context;
  else if (target.type === "Tuple") for (const item of target.items) setContext(item, context);
}

/** Names of constants cannot be assigned to: `true` and the like. */
const constants = new Set(["true", "false", "none", "True", "False", "None"]);

function assignable(target: Expression): boolean {
  if (target.type === "Name") return !constants.has(target.name);
  return target.type === "NamespaceRef" || (target.type === "Tuple" && target.items.every(assignable));
}
