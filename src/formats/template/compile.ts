import { compileArguments, compileExpression, compileFilter, type Evaluate } from "./compile-expression.ts";
import { Tuple } from "./containers.ts";
import { TemplateSyntaxError, Unsupported } from "./errors.ts";
import {
  type Block,
  type CallBlock,
  type Expression,
  type For,
  type If,
  type Macro as MacroNode,
  type Statement,
  withDescendants,
} from "./nodes.ts";
import { call, Loop, Macro, Namespace, unpack } from "./runtime.ts";
import { Context, type Frame, Scope, Slots } from "./scope.ts";
import { findUndeclared, Symbols } from "./symbols.ts";
import { iterate, PyIterator, raise, str, truthy, Undefined, type Value } from "./values.ts";

/**
 * A template as functions, by the rules of jinja2/compiler.py: which of its statements are Python functions of their own
 * decides where `break` reaches and what variables a macro sees.
 */

/** What the statement after it is told: to go on, or that its loop is left or goes on. */
type Signal = typeof proceed | typeof leave | typeof again;
const proceed = 0;
const leave = 1;
const again = 2;

type Execute = (scope: Scope) => Signal;

/** Errors: TemplateSyntaxError, Unsupported. */
export function compile(body: readonly Statement[]): (context: Context) => string {
  return new Compiler(body).root;
}

class Compiler {
  readonly root: (context: Context) => string;
  private readonly blocks = new Map<string, (context: Context) => string>();

  constructor(body: readonly Statement[]) {
    const blocks = new Map<string, Block>();
    for (const node of body.flatMap(withDescendants)) {
      if (node.type !== "Block") continue;
      if (blocks.has(node.name))
        throw new TemplateSyntaxError(`block '${node.name}' defined twice`, node.line);
      blocks.set(node.name, node);
    }
    if (findUndeclared(body, ["self"]).size > 0) throw new Unsupported("the variable 'self'");
    this.root = this.standalone(body, true);
    for (const [name, block] of blocks) {
      if (findUndeclared(block.body, ["self", "super"]).size > 0)
        throw new Unsupported("'self' or 'super' in a block");
      this.blocks.set(name, this.standalone(block.body, false));
    }
  }

  /** The template, or a block of it: variables are those of the context. */
  private standalone(body: readonly Statement[], toplevel: boolean): (context: Context) => string {
    const frame: Frame = {
      symbols: new Symbols(null),
      slots: new Slots(null),
      toplevel,
      soft: false,
      inLoop: false,
    };
    frame.symbols.analyze(body);
    const enter = this.enter(frame);
    const run = this.statements(body, frame);
    return (context) => {
      const scope = new Scope(null, context);
      enter(scope);
      run(scope);
      return scope.out;
    };
  }

  /** A block of statements within a function. */
  private inner(frame: Frame, more: Partial<Frame> = {}): Frame {
    return { ...frame, symbols: new Symbols(frame.symbols), toplevel: false, soft: false, ...more };
  }

  /** Gives a block's variables the values that they begin with. */
  private enter({ symbols, slots }: Frame): (scope: Scope) => void {
    const actions = [...symbols.loads].map(([target, load]): ((scope: Scope) => void) | null => {
      // Names of outer functions are read before the block's own are declared: they have another level.
      const outer = load.kind === "alias" ? slots.reader(load.target) : null;
      const slot = slots.declare(target);
      if (outer) {
        return (scope) => {
          scope.vars[slot] = outer(scope);
        };
      }
      if (load.kind === "resolve") {
        const { name } = load;
        return (scope) => {
          scope.vars[slot] = scope.context.resolve(name);
        };
      }
      if (load.kind === "param") return null;
      return (scope) => {
        scope.vars[slot] = undefined;
      };
    });
    const list = actions.filter((action) => action !== null);
    return (scope) => {
      for (const action of list) action(scope);
    };
  }

  private statements(body: readonly Statement[], frame: Frame): Execute {
    const list = body.map((node) => this.statement(node, frame));
    return (scope) => {
      for (const execute of list) {
        const signal = execute(scope);
        if (signal !== proceed) return signal;
      }
      return proceed;
    };
  }

  private statement(node: Statement, frame: Frame): Execute {
    const { line } = node;
    switch (node.type) {
      case "Output": {
        const parts = node.nodes.map((part) =>
          typeof part === "string" ? part : compileExpression(part, frame),
        );
        return (scope) => {
          scope.context.line = line;
          for (const part of parts) scope.out += typeof part === "string" ? part : str(part(scope));
          return proceed;
        };
      }
      case "For":
        return this.for(node, frame);
      case "If":
        return this.if(node, frame);
      case "Break":
      case "Continue": {
        if (!frame.inLoop)
          throw new TemplateSyntaxError(`'${node.type.toLowerCase()}' outside of a loop`, line);
        const signal = node.type === "Break" ? leave : again;
        return () => signal;
      }
      case "Assign": {
        const assign = this.target(node.target, frame);
        const check = this.namespaceCheck(node.target, frame);
        const value = compileExpression(node.node, frame);
        return (scope) => {
          scope.context.line = line;
          check(scope);
          assign(scope, value(scope));
          return proceed;
        };
      }
      case "AssignBlock": {
        const block = this.inner(frame);
        block.symbols.analyze(node.body);
        const enter = this.enter(block);
        const capture = this.capture(node.body, block);
        const assign = this.target(node.target, frame);
        let text = "";
        const filtered = node.filter && this.filterChain(node.filter, () => text, block);
        return (scope) => {
          enter(scope);
          const captured = capture(scope);
          if (typeof captured === "number") return captured;
          scope.context.line = line;
          if (filtered) text = captured;
          assign(scope, filtered ? filtered(scope) : captured);
          return proceed;
        };
      }
      case "FilterBlock": {
        const block = this.inner(frame);
        block.symbols.analyze([...node.body, node.filter]);
        const enter = this.enter(block);
        const capture = this.capture(node.body, block);
        let text = "";
        const filtered = this.filterChain(node.filter, () => text, block);
        return (scope) => {
          enter(scope);
          const captured = capture(scope);
          if (typeof captured === "number") return captured;
          scope.context.line = line;
          text = captured;
          scope.out += str(filtered(scope));
          return proceed;
        };
      }
      case "With": {
        const block = this.inner(frame);
        block.symbols.analyze([...node.targets, ...node.body]);
        const enter = this.enter(block);
        const values = node.values.map((value) => compileExpression(value, frame));
        const targets = node.targets.map((target) => this.target(target, block));
        const run = this.statements(node.body, block);
        return (scope) => {
          enter(scope);
          targets.forEach((assign, i) => {
            assign(scope, values[i]!(scope));
          });
          return run(scope);
        };
      }
      case "Scope": {
        const block = this.inner(frame);
        block.symbols.analyze(node.body);
        const enter = this.enter(block);
        const run = this.statements(node.body, block);
        return (scope) => {
          enter(scope);
          return run(scope);
        };
      }
      case "Macro": {
        const make = this.macro(node, frame);
        const assign = this.target({ type: "Name", name: node.name, context: "store" }, frame);
        return (scope) => {
          assign(scope, make(scope));
          return proceed;
        };
      }
      case "CallBlock":
        return this.callBlock(node, frame);
      case "Block":
        return this.block(node, frame);
      case "Load": {
        const template = compileExpression(node.template, frame);
        return (scope) => {
          scope.context.line = line;
          template(scope);
          throw new Unsupported(`the tag '${node.tag}': there is no other template to load, and it`);
        };
      }
    }
  }

  /** Runs statements and gives their text; or the signal, where they leave a loop: their text is lost then, as in Jinja. */
  private capture(body: readonly Statement[], frame: Frame): (scope: Scope) => string | Signal {
    const run = this.statements(body, frame);
    return (scope) => {
      const before = scope.out;
      scope.out = "";
      const signal = run(scope);
      const text = scope.out;
      scope.out = before;
      return signal === proceed ? text : signal;
    };
  }

  /** Filters one after the other, of which the innermost takes the block's text. */
  private filterChain(node: Expression, text: Evaluate, frame: Frame): Evaluate {
    if (node.type !== "Filter") throw new Error("a block's filter is no filter");
    const value = node.node ? this.filterChain(node.node, text, frame) : text;
    return compileFilter(node, value, frame);
  }

  private if(node: If, frame: Frame): Execute {
    const soft = { ...frame, soft: true };
    const branches = [node, ...node.elif].map((branch) => ({
      test: compileExpression(branch.test, soft),
      run: this.statements(branch.body, soft),
      line: branch.line,
    }));
    const otherwise = this.statements(node.otherwise, soft);
    return (scope) => {
      for (const { test, run, line } of branches) {
        scope.context.line = line;
        if (truthy(test(scope))) return run(scope);
      }
      return otherwise(scope);
    };
  }

  private for(node: For, frame: Frame): Execute {
    const within = withDescendants(node);
    for (const child of within) {
      if (child.type === "Name" && child.context === "store" && child.name === "loop")
        throw new TemplateSyntaxError("Can't assign to special loop variable in for-loop target", node.line);
    }
    const slots = node.recursive ? new Slots(frame.slots) : frame.slots;
    const body = this.inner(frame, { slots, inLoop: true });
    const elseFrame = this.inner(frame, { slots, inLoop: frame.inLoop && !node.recursive });
    const extended =
      node.recursive ||
      findUndeclared(node.body, ["loop"]).size > 0 ||
      within.some((child) => child.type === "Block" && child.scoped);
    const loopSlot = extended ? slots.declare(body.symbols.declareParameter("loop")) : -1;
    body.symbols.analyzeFor(node, "body");
    elseFrame.symbols.analyzeFor(node, "else");

    const iterable = compileExpression(node.iter, frame);
    const filtered = node.test && this.loopFilter(node, frame);
    const enter = this.enter(body);
    const assign = this.target(node.target, body);
    const run = this.statements(node.body, body);
    const enterElse = this.enter(elseFrame);
    const runElse = this.statements(node.otherwise, elseFrame);
    const hasElse = node.otherwise.length > 0;

    const loop = (
      scope: Scope,
      given: Value,
      recurse: ((items: Value, depth: number) => Value) | null,
      depth: number,
    ): Signal => {
      // Jinja runs the else branch unless an iteration came to its end: one that `continue` cut short does not count.
      let completed = false;
      const step = (item: Value): boolean => {
        assign(scope, item);
        enter(scope);
        const signal = run(scope);
        if (signal === proceed) completed = true;
        return signal !== leave;
      };
      if (extended) {
        const context = new Loop(given, recurse, depth);
        scope.vars[loopSlot] = context;
        for (let item = context.next(); item !== undefined; item = context.next()) {
          scope.vars[loopSlot] = context;
          if (!step(item)) break;
        }
      } else {
        const items = iterate(given);
        for (let next = items.next(); !next.done; next = items.next()) if (!step(next.value)) break;
      }
      if (completed || !hasElse) return proceed;
      enterElse(scope);
      return runElse(scope);
    };

    if (!node.recursive) {
      return (scope) => {
        scope.context.line = node.line;
        const given = iterable(scope);
        return loop(scope, filtered ? filtered(scope, given) : given, null, 0);
      };
    }
    return (scope) => {
      scope.context.line = node.line;
      const render = (items: Value, depth: number): string => {
        const own = new Scope(scope, scope.context);
        loop(own, filtered ? filtered(scope, items) : items, render, depth);
        return own.out;
      };
      scope.out += render(iterable(scope), 0);
      return proceed;
    };
  }

  /** The items for which a loop's `if` holds. It is a function of its own, with variables of its own. */
  private loopFilter(node: For, frame: Frame): (scope: Scope, given: Value) => Value {
    const own = this.inner(frame, { slots: new Slots(frame.slots), inLoop: false });
    own.symbols.analyzeFor(node, "test");
    const enter = this.enter(own);
    const assign = this.target(node.target, own);
    const test = compileExpression(node.test!, own);
    const target = targetValue(node.target, own);
    return (outer, given) => {
      const scope = new Scope(outer, outer.context);
      return new PyIterator(
        (function* () {
          enter(scope);
          const items = iterate(given);
          for (let next = items.next(); !next.done; next = items.next()) {
            assign(scope, next.value);
            if (truthy(test(scope))) yield target(scope);
          }
        })(),
      );
    };
  }

  /** What puts a value into a name, the names of a tuple, or a namespace. */
  private target(node: Expression, frame: Frame): (scope: Scope, value: Value) => void {
    if (node.type === "Tuple") {
      const targets = node.items.map((item) => this.target(item, frame));
      return (scope, value) => {
        const items = unpack(value, targets.length);
        targets.forEach((assign, i) => {
          assign(scope, items[i]!);
        });
      };
    }
    if (node.type === "NamespaceRef") {
      const read = frame.slots.reader(frame.symbols.ref(node.name));
      return (scope, value) => {
        (read(scope) as Namespace).values.set(node.attribute, value);
      };
    }
    if (node.type !== "Name") throw new Error(`cannot assign to ${node.type}`);
    const slot = frame.slots.declare(frame.symbols.ref(node.name));
    if (!frame.toplevel) {
      return (scope, value) => {
        scope.vars[slot] = value;
      };
    }
    return (scope, value) => {
      scope.vars[slot] = value;
      scope.context.set.set(node.name, value);
    };
  }

  /** Refuses to set an attribute of what is no namespace, before the value is computed. */
  private namespaceCheck(target: Expression, frame: Frame): (scope: Scope) => void {
    const reads = withDescendants(target)
      .filter((node) => node.type === "NamespaceRef")
      .map((node) => frame.slots.reader(frame.symbols.ref(node.name)));
    return (scope) => {
      for (const read of reads)
        if (!(read(scope) instanceof Namespace))
          raise("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
    };
  }

  private macro(node: MacroNode | CallBlock, frame: Frame): (scope: Scope) => Macro {
    const own = this.inner(frame, { slots: new Slots(frame.slots), inLoop: false });
    const { symbols } = own;
    const parts = [...node.args, ...node.defaults, ...node.body];
    symbols.analyze(parts);
    const special = findUndeclared(node.body, ["caller", "kwargs", "varargs"]);
    const names = node.args.map(({ name }) => name);
    const callerAt = names.indexOf("caller");
    if (special.has("caller") && callerAt >= 0 && callerAt < names.length - node.defaults.length)
      throw new TemplateSyntaxError(
        'the special "caller" argument must be omitted or be given a default',
        node.line,
      );
    const targets = names.map((name) => symbols.ref(name));
    const usesCaller = special.has("caller");
    if (usesCaller && callerAt < 0) targets.push(symbols.declareParameter("caller"));
    const usesKwargs = special.has("kwargs") && !names.includes("kwargs");
    if (usesKwargs) targets.push(symbols.declareParameter("kwargs"));
    const usesVarargs = special.has("varargs") && !names.includes("varargs");
    if (usesVarargs) targets.push(symbols.declareParameter("varargs"));
    symbols.analyze(parts);

    const slots = targets.map((target) => own.slots.declare(target));
    const enter = this.enter(own);
    const firstDefault = names.length - node.defaults.length;
    const defaults = names.map((_, i) =>
      i < firstDefault ? null : compileExpression(node.defaults[i - firstDefault]!, own),
    );
    const run = this.statements(node.body, own);
    const name = node.type === "Macro" ? node.name : null;
    return (outer) =>
      new Macro({
        name,
        args: names,
        usesCaller,
        usesKwargs,
        usesVarargs,
        body: (values) => {
          const scope = new Scope(outer, outer.context);
          slots.forEach((slot, i) => {
            scope.vars[slot] = values[i];
          });
          enter(scope);
          defaults.forEach((value, i) => {
            if (values[i] !== undefined) return;
            scope.vars[slots[i]!] = value
              ? value(scope)
              : new Undefined(`parameter '${names[i]}' was not provided`);
          });
          run(scope);
          return scope.out;
        },
      });
  }

  private callBlock(node: CallBlock, frame: Frame): Execute {
    const make = this.macro(node, frame);
    // {% generation %} marks what the model wrote: it gives its own text.
    if (node.call.node.type === "Generation") {
      return (scope) => {
        scope.out += str(make(scope).call({ positional: [], named: new Map() }));
        return proceed;
      };
    }
    if (node.call.kwargs.some(({ key }) => key === "caller"))
      throw new TemplateSyntaxError("keyword argument repeated: caller", node.line);
    const callee = compileExpression(node.call.node, frame);
    const args = compileArguments(node.call, frame);
    return (scope) => {
      scope.context.line = node.line;
      const caller = make(scope);
      const function_ = callee(scope);
      const { positional, named } = args(scope);
      scope.out += str(call(function_, { positional, named: new Map([...named, ["caller", caller]]) }));
      return proceed;
    };
  }

  private block(node: Block, frame: Frame): Execute {
    if (node.required) {
      return () => raise("TemplateRuntimeError", `Required block '${node.name}' not found`);
    }
    const locals = node.scoped
      ? [...frame.symbols.stored()].map(([name, target]) => [name, frame.slots.reader(target)] as const)
      : [];
    return (scope) => {
      const { context } = scope;
      let seen = context;
      if (node.scoped) {
        const given = new Map([...context.given, ...context.set]);
        for (const [name, read] of locals) {
          const value = read(scope);
          if (value !== undefined) given.set(name, value);
        }
        seen = new Context(given);
      }
      scope.out += this.blocks.get(node.name)!(seen);
      context.line = node.line;
      return proceed;
    };
  }
}

/** The value of a loop's target, read back from its names. */
function targetValue(node: Expression, frame: Frame): Evaluate {
  if (node.type !== "Tuple") return compileExpression({ ...node, context: "load" } as Expression, frame);
  const items = node.items.map((item) => targetValue(item, frame));
  return (scope) => new Tuple(items.map((item) => item(scope)));
}
