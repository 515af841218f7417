import type { Symbols } from "./symbols.ts";
import { or, Undefined, type Value } from "./values.ts";

/** Variables by name: what the template is given, and what it sets outside of blocks. */
export class Context {
  readonly given: ReadonlyMap<string, Value>;
  readonly set: Map<string, Value> = new Map();
  /** Line of the statement that runs, for errors. */
  line = 1;

  constructor(given: ReadonlyMap<string, Value>) {
    this.given = given;
  }
  resolve(name: string): Value | undefined {
    return this.set.has(name) ? this.set.get(name) : this.given.get(name);
  }
}

/**
 * Variables of a running function: the template itself, a macro, a recursive loop, a loop's filter. An inner function reads
 * those of its parents, as Python's closures do; undefined stands for what has no value yet.
 */
export class Scope {
  readonly vars: (Value | undefined)[] = [];
  readonly parent: Scope | null;
  readonly context: Context;
  out = "";

  constructor(parent: Scope | null, context: Context) {
    this.parent = parent;
    this.context = context;
  }
}

/** Where a function keeps its variables; known when it is compiled. */
export class Slots {
  private readonly slots = new Map<string, number>();
  private readonly parent: Slots | null;

  constructor(parent: Slots | null) {
    this.parent = parent;
  }
  declare(target: string): number {
    let slot = this.slots.get(target);
    if (slot === undefined) {
      slot = this.slots.size;
      this.slots.set(target, slot);
    }
    return slot;
  }
  private find(target: string): { hops: number; slot: number } {
    let hops = 0;
    for (let at: Slots | null = this; at; at = at.parent, hops++) {
      const slot = at.slots.get(target);
      if (slot !== undefined) return { hops, slot };
    }
    throw new Error(`the variable '${target}' has no place`);
  }
  reader(target: string): (scope: Scope) => Value | undefined {
    const { hops, slot } = this.find(target);
    if (hops === 0) return (scope) => scope.vars[slot];
    if (hops === 1) return (scope) => scope.parent!.vars[slot];
    return (scope) => {
      let at = scope;
      for (let i = 0; i < hops; i++) at = at.parent!;
      return at.vars[slot];
    };
  }
  /** Reads a variable by the name that the template gives it. */
  valueReader(target: string, name: string): (scope: Scope) => Value {
    const read = this.reader(target);
    return (scope) => or(read(scope), () => Undefined.named(name));
  }
}

/** What is known of a block of statements when it is compiled. */
export interface Frame {
  readonly symbols: Symbols;
  readonly slots: Slots;
  /** Outside of all blocks but `if`: what is set here is seen by the context. */
  readonly toplevel: boolean;
  /** Within `if`: filters and tests need to exist only when they are used. */
  readonly soft: boolean;
  /** Within a loop of the same function: break and continue have a meaning. */
  readonly inLoop: boolean;
}
