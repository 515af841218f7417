/** An exception that Python would raise; `kind` is its class. */
export class PythonError extends Error {
  readonly kind: string;
  constructor(kind: string, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** A construct that Python's Jinja has and this interpreter has not. It is never replaced by other text. */
export class Unsupported extends Error {
  constructor(construct: string) {
    super(`${construct} is not supported`);
  }
}

/** A template's own words, from raise_exception. */
export class Refusal extends Error {}

/** A text that is no template. */
export class TemplateSyntaxError extends Error {
  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
  }
}
