import type { Value } from "./values.ts";

/** The tree of a template, with Jinja's names (jinja2/nodes.py). Fields stand in Jinja's order: visitors depend on it. */

export interface Name {
  readonly type: "Name";
  readonly name: string;
  context: "load" | "store" | "param";
}

/** namespace.attribute, as the target of a set. */
export interface NamespaceRef {
  readonly type: "NamespaceRef";
  readonly name: string;
  readonly attribute: string;
}

export interface CallArguments {
  readonly args: readonly Expression[];
  readonly kwargs: readonly { readonly key: string; readonly value: Expression }[];
  readonly dynArgs: Expression | null;
  readonly dynKwargs: Expression | null;
}

export interface TupleNode {
  readonly type: "Tuple";
  readonly items: readonly Expression[];
}

export interface Slice {
  readonly type: "Slice";
  readonly start: Expression | null;
  readonly stop: Expression | null;
  readonly step: Expression | null;
}

export interface FilterNode extends CallArguments {
  readonly type: "Filter";
  /** null: the text of the block that the filter is given. */
  readonly node: Expression | null;
  readonly name: string;
  readonly line: number;
}

export interface TestNode extends CallArguments {
  readonly type: "Test";
  readonly node: Expression;
  readonly name: string;
  readonly line: number;
}

export interface Call extends CallArguments {
  readonly type: "Call";
  readonly node: Expression;
}

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**" | "and" | "or";
export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

export type Expression =
  | Name
  | NamespaceRef
  | { readonly type: "Const"; readonly value: Value }
  | TupleNode
  | { readonly type: "List"; readonly items: readonly Expression[] }
  | {
      readonly type: "Dict";
      readonly items: readonly { readonly key: Expression; readonly value: Expression }[];
    }
  | {
      readonly type: "Binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly type: "Unary"; readonly operator: "+" | "-" | "not"; readonly node: Expression }
  | { readonly type: "Concat"; readonly nodes: readonly Expression[] }
  | {
      readonly type: "Compare";
      readonly first: Expression;
      readonly ops: readonly { readonly operator: Comparison; readonly node: Expression }[];
    }
  | {
      readonly type: "Condition";
      readonly test: Expression;
      readonly chosen: Expression;
      readonly otherwise: Expression | null;
    }
  | { readonly type: "Getattr"; readonly node: Expression; readonly name: string }
  | { readonly type: "Getitem"; readonly node: Expression; readonly key: Expression | Slice }
  | Slice
  | FilterNode
  | TestNode
  | Call
  /** What a {% generation %} block calls: it gives the block's text. */
  | { readonly type: "Generation" };

export interface Macro {
  readonly type: "Macro";
  readonly name: string;
  readonly args: readonly Name[];
  readonly defaults: readonly Expression[];
  readonly body: readonly Statement[];
  readonly line: number;
}

export interface CallBlock {
  readonly type: "CallBlock";
  readonly call: Call;
  readonly args: readonly Name[];
  readonly defaults: readonly Expression[];
  readonly body: readonly Statement[];
  readonly line: number;
}

export interface For {
  readonly type: "For";
  readonly target: Expression;
  readonly iter: Expression;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
  readonly test: Expression | null;
  readonly recursive: boolean;
  readonly line: number;
}

export interface If {
  readonly type: "If";
  readonly test: Expression;
  readonly body: readonly Statement[];
  readonly elif: readonly If[];
  readonly otherwise: readonly Statement[];
  readonly line: number;
}

export interface Block {
  readonly type: "Block";
  readonly name: string;
  readonly body: readonly Statement[];
  readonly scoped: boolean;
  readonly required: boolean;
  readonly line: number;
}

export type Statement = { readonly line: number } & (
  | { readonly type: "Output"; readonly nodes: readonly (string | Expression)[] }
  | For
  | If
  | Macro
  | CallBlock
  | { readonly type: "FilterBlock"; readonly body: readonly Statement[]; readonly filter: FilterNode }
  | {
      readonly type: "With";
      readonly targets: readonly Expression[];
      readonly values: readonly Expression[];
      readonly body: readonly Statement[];
    }
  | Block
  | { readonly type: "Assign"; readonly target: Expression; readonly node: Expression }
  | {
      readonly type: "AssignBlock";
      readonly target: Expression;
      readonly filter: FilterNode | null;
      readonly body: readonly Statement[];
    }
  | { readonly type: "Scope"; readonly body: readonly Statement[] }
  | { readonly type: "Break" }
  | { readonly type: "Continue" }
  /** extends, include and import: there are no other templates to load. */
  | {
      readonly type: "Load";
      readonly tag: string;
      readonly template: Expression;
      readonly names: readonly string[];
    }
);

export type Node = Statement | Expression;

const argumentsOf = (call: CallArguments): (Node | null)[] => [
  ...call.args,
  ...call.kwargs.map(({ value }) => value),
  call.dynArgs,
  call.dynKwargs,
];

/** A node's children, in Jinja's order of fields. */
export function children(node: Node): readonly Node[] {
  return fields(node).filter((child) => child !== null);
}

function fields(node: Node): readonly (Node | null)[] {
  switch (node.type) {
    case "Output":
      return node.nodes.filter((child) => typeof child !== "string");
    case "For":
      return [node.target, node.iter, ...node.body, ...node.otherwise, node.test];
    case "If":
      return [node.test, ...node.body, ...node.elif, ...node.otherwise];
    case "Macro":
      return [...node.args, ...node.defaults, ...node.body];
    case "CallBlock":
      return [node.call, ...node.args, ...node.defaults, ...node.body];
    case "FilterBlock":
      return [...node.body, node.filter];
    case "With":
      return [...node.targets, ...node.values, ...node.body];
    case "Block":
    case "Scope":
      return [...node.body];
    case "Assign":
      return [node.target, node.node];
    case "AssignBlock":
      return [node.target, node.filter, ...node.body];
    case "Load":
      return [node.template];
    case "Tuple":
    case "List":
      return [...node.items];
    case "Dict":
      return node.items.flatMap(({ key, value }) => [key, value]);
    case "Binary":
      return [node.left, node.right];
    case "Unary":
    case "Getattr":
      return [node.node];
    case "Concat":
      return [...node.nodes];
    case "Compare":
      return [node.first, ...node.ops.map((op) => op.node)];
    case "Condition":
      return [node.test, node.chosen, node.otherwise];
    case "Getitem":
      return [node.node, node.key];
    case "Slice":
      return [node.start, node.stop, node.step];
    case "Filter":
    case "Test":
    case "Call":
      return [node.node, ...argumentsOf(node)];
    default:
      return [];
  }
}

/** The node and all under it. */
export function withDescendants(node: Node): Node[] {
  const all: Node[] = [];
  const visit = (at: Node): void => {
    all.push(at);
    for (const child of children(at)) visit(child);
  };
  visit(node);
  return all;
}
