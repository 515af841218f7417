import { compile } from "./compile.ts";
import { Refusal } from "./errors.ts";
import { fromHost } from "./host.ts";
import { parse } from "./parse.ts";
import { globals } from "./runtime.ts";
import { Context } from "./scope.ts";
import { strftime } from "./strftime.ts";
import { bind } from "./string-methods.ts";
import { PyFunction, raise, str, textOf, type Value } from "./values.ts";

/**
 * A chat template: Python's Jinja 3.1 as transformers 5 sets it up (transformers/utils/chat_template_utils.py), with its
 * sandbox, `tojson`, `raise_exception`, `strftime_now`, loop controls and {% generation %}.
 */
export class JinjaTemplate {
  private readonly run: (context: Context) => string;

  /** Errors: TemplateSyntaxError; Unsupported, for what only Python can do. */
  constructor(text: string) {
    this.run = compile(parse(text));
  }

  /**
   * Renders it with variables that are JSON, Maps or undefined. Errors: Refusal, with the template's words; TemplateFailure.
   *
   * @param now what strftime_now tells
   */
  render(variables: Readonly<Record<string, unknown>>, now: Date): string {
    const given = new Map<string, Value>(globals);
    given.set("raise_exception", raiseException);
    given.set(
      "strftime_now",
      new PyFunction((args) => {
        const format = textOf(bind("strftime_now()", args, ["format"], 1)[0]!);
        return strftime(now, format ?? raise("TypeError", "strftime_now() takes a str"));
      }),
    );
    for (const [key, value] of Object.entries(variables))
      if (value !== undefined) given.set(key, fromHost(value, key));
    const context = new Context(given);
    try {
      return this.run(context);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new TemplateFailure(context.line, error);
    }
  }
}

/** A template that could not be rendered. */
export class TemplateFailure extends Error {
  constructor(line: number, cause: unknown) {
    const what = cause instanceof RangeError ? "it calls itself without end" : (cause as Error).message;
    super(`at line ${line}: ${what}`, { cause });
  }
}

const raiseException = new PyFunction((args) => {
  throw new Refusal(str(bind("raise_exception()", args, ["message"], 1)[0]!));
});

export { Refusal };
