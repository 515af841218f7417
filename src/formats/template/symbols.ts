import { children, type For, type Node } from "./nodes.ts";

/**
 * Which variable a name means, by Jinja's rules (jinja2/idtracking.py): a name that a block sets is the block's own and
 * begins with the value outside; what is set under an `if` is set for the block around it.
 */

/** What a variable is when its block is entered. */
export type Load =
  | { readonly kind: "param" }
  /** Of the context: a variable that the template is given. */
  | { readonly kind: "resolve"; readonly name: string }
  /** Of an outer block. */
  | { readonly kind: "alias"; readonly target: string }
  | { readonly kind: "undefined" };

export class Symbols {
  readonly level: number;
  readonly parent: Symbols | null;
  refs: Map<string, string> = new Map();
  loads: Map<string, Load> = new Map();
  stores: Set<string> = new Set();

  constructor(parent: Symbols | null, level: number = parent ? parent.level + 1 : 0) {
    this.parent = parent;
    this.level = level;
  }

  copy(): Symbols {
    const copy = new Symbols(this.parent, this.level);
    copy.refs = new Map(this.refs);
    copy.loads = new Map(this.loads);
    copy.stores = new Set(this.stores);
    return copy;
  }

  findRef(name: string): string | undefined {
    return this.refs.get(name) ?? this.parent?.findRef(name);
  }

  /** Errors: where the name is in no block. */
  ref(name: string): string {
    const found = this.findRef(name);
    if (found === undefined) throw new Error(`the variable '${name}' is known to no block here`);
    return found;
  }

  private define(name: string, load: Load): string {
    const target = `${this.level} ${name}`;
    this.refs.set(name, target);
    this.loads.set(target, load);
    return target;
  }

  store(name: string): void {
    this.stores.add(name);
    if (this.refs.has(name)) return;
    const outer = this.parent?.findRef(name);
    this.define(name, outer === undefined ? { kind: "undefined" } : { kind: "alias", target: outer });
  }

  declareParameter(name: string): string {
    this.stores.add(name);
    return this.define(name, { kind: "param" });
  }

  load(name: string): void {
    if (this.findRef(name) === undefined) this.define(name, { kind: "resolve", name });
  }

  /** Takes in what the branches of an `if` set. */
  branchUpdate(branches: readonly Symbols[]): void {
    const stores = new Set(branches.flatMap((branch) => [...branch.stores]));
    for (const name of this.stores) stores.delete(name);
    for (const branch of branches) {
      for (const [name, target] of branch.refs) this.refs.set(name, target);
      for (const [target, load] of branch.loads) this.loads.set(target, load);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of stores) {
      const outer = this.parent?.findRef(name);
      this.loads.set(
        this.ref(name),
        outer === undefined ? { kind: "resolve", name } : { kind: "alias", target: outer },
      );
    }
  }

  /** All variables that this block and those around it set, by name. */
  stored(): Map<string, string> {
    const all = new Map<string, string>();
    for (let at: Symbols | null = this; at; at = at.parent)
      for (const name of at.stores) if (!all.has(name)) all.set(name, this.ref(name));
    return all;
  }

  /** Takes in the names of a block: `nodes` are what stands in it. */
  analyze(nodes: readonly Node[]): void {
    const visitor = new Visitor(this);
    for (const node of nodes) visitor.visit(node);
  }

  /** Takes in the names of a loop's body, else branch or filter. */
  analyzeFor(node: For, branch: "body" | "else" | "test"): void {
    const visitor = new Visitor(this);
    if (branch !== "else") visitor.visit(node.target, true);
    if (branch === "test") visitor.visit(node.test!);
    else for (const child of branch === "body" ? node.body : node.otherwise) visitor.visit(child);
  }
}

class Visitor {
  private symbols: Symbols;
  constructor(symbols: Symbols) {
    this.symbols = symbols;
  }

  visit(node: Node, asParameter = false): void {
    switch (node.type) {
      case "Name":
        if (asParameter || node.context === "param") this.symbols.declareParameter(node.name);
        else if (node.context === "store") this.symbols.store(node.name);
        else this.symbols.load(node.name);
        return;
      case "NamespaceRef":
        this.symbols.load(node.name);
        return;
      case "If": {
        this.visit(node.test);
        const original = this.symbols;
        const branch = (nodes: readonly Node[]): Symbols => {
          const copy = original.copy();
          this.symbols = copy;
          for (const child of nodes) this.visit(child);
          this.symbols = original;
          return copy;
        };
        // An empty branch sets nothing.
        const bodies = [node.body, node.elif, node.otherwise].filter((body) => body.length > 0);
        original.branchUpdate(bodies.map(branch));
        return;
      }
      case "Macro":
        this.symbols.store(node.name);
        return;
      case "Load":
        this.visit(node.template);
        for (const name of node.names) this.symbols.store(name);
        return;
      case "Assign":
        this.visit(node.node);
        this.visit(node.target);
        return;
      case "For":
        this.visit(node.iter);
        return;
      case "CallBlock":
        this.visit(node.call);
        return;
      case "FilterBlock":
        this.visit(node.filter);
        return;
      case "With":
        for (const value of node.values) this.visit(value);
        return;
      case "AssignBlock":
        this.visit(node.target);
        return;
      case "Scope":
      case "Block":
        return;
      default:
        for (const child of children(node)) this.visit(child, asParameter);
    }
  }
}

/** Which of `names` the nodes read without setting them before, in the order of the text; blocks are not entered. */
export function findUndeclared(nodes: readonly Node[], names: readonly string[]): Set<string> {
  const wanted = new Set(names);
  const found = new Set<string>();
  const visit = (node: Node): void => {
    if (node.type === "Block") return;
    if (node.type !== "Name") for (const child of children(node)) visit(child);
    else if (node.context === "load" && wanted.has(node.name)) found.add(node.name);
    else wanted.delete(node.name);
  };
  for (const node of nodes) visit(node);
  return found;
}
