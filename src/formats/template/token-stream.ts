import { TemplateSyntaxError } from "./errors.ts";
import type { Token } from "./lexer.ts";

/** The tokens of a template, one of them current. An expression such as "name:endfor" names a type and a value. */
export class TokenStream {
  private readonly tokens: readonly Token[];
  private position = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }
  get current(): Token {
    return this.tokens[this.position]!;
  }
  get ahead(): Token {
    return this.tokens[Math.min(this.position + 1, this.tokens.length - 1)]!;
  }
  next(): Token {
    const token = this.current;
    if (this.position < this.tokens.length - 1) this.position++;
    return token;
  }
  is(...expressions: readonly string[]): boolean {
    return expressions.some((expression) => matches(this.current, expression));
  }
  skipIf(expression: string): boolean {
    if (!this.is(expression)) return false;
    this.next();
    return true;
  }
  /** Errors: {@link TemplateSyntaxError}. */
  expect(expression: string): Token {
    if (this.is(expression)) return this.next();
    const wanted = expression.replace(/^name:/, "");
    if (this.current.type === "eof") this.fail(`unexpected end of template, expected '${wanted}'`);
    this.fail(`expected '${wanted}', got '${describe(this.current)}'`);
  }
  fail(message: string, line: number = this.current.line): never {
    throw new TemplateSyntaxError(message, line);
  }
}

export function matches(token: Token, expression: string): boolean {
  if (token.type === expression) return true;
  return token.type === "name" && expression === `name:${token.value}`;
}

export function describe(token: Token): string {
  return token.type === "name"
    ? token.value
    : token.type.replace("_", " of ").replace(/^(\w+) of (begin|end)$/, "$2 of $1");
}
