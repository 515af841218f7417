import { fail } from "../../../errors.ts";

/** One object of a tokenizer.json with the path to it, so that an error can name the key. */
export class Part {
  /** What errors call the object: the file's name and the keys that lead to it. */
  readonly path: string;
  private readonly fields: Readonly<Record<string, unknown>>;

  /** Errors: tokenizer, if `value` is no object. */
  constructor(value: unknown, path: string) {
    this.path = path;
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isObject) fail("tokenizer", `${path} is no object`, "fetch the model's tokenizer.json again");
    this.fields = value as Record<string, unknown>;
  }

  has(key: string): boolean {
    return this.fields[key] !== undefined && this.fields[key] !== null;
  }

  raw(key: string): unknown {
    return this.fields[key];
  }

  get type(): string {
    return this.string("type");
  }

  /** A text; `absent` holds if the key is missing or null. */
  string(key: string, absent?: string): string {
    return this.checked(key, "a text", (value) => typeof value === "string", absent);
  }

  boolean(key: string, absent?: boolean): boolean {
    return this.checked(key, "true or false", (value) => typeof value === "boolean", absent);
  }

  /** A whole number from 0 on. */
  count(key: string, absent?: number): number {
    return this.checked(
      key,
      "a whole number",
      (value) => Number.isInteger(value) && Number(value) >= 0,
      absent,
    );
  }

  one<T extends string>(key: string, of: readonly T[], absent?: T): T {
    return this.checked(key, `one of ${of.join(", ")}`, (value) => of.includes(value as T), absent);
  }

  list(key: string): readonly unknown[] {
    return this.checked(key, "a list", Array.isArray);
  }

  part(key: string): Part {
    return new Part(this.fields[key], `${this.path}.${key}`);
  }

  parts(key: string): Part[] {
    return this.list(key).map((value, i) => new Part(value, `${this.path}.${key}[${i}]`));
  }

  /** Fails for a value that is well-formed, but asks for something that is not done here. */
  unsupported(key: string): never {
    return fail(
      "tokenizer",
      `${this.path}.${key} is ${JSON.stringify(this.fields[key])}, which is not supported`,
      "use a model with another tokenizer, or give token ids with --ids",
    );
  }

  fail(what: string): never {
    return fail("tokenizer", `${this.path} ${what}`, "fetch the model's tokenizer.json again");
  }

  private checked<T>(key: string, what: string, is: (value: unknown) => boolean, absent?: T): T {
    const value = this.fields[key] ?? absent;
    if (!is(value)) this.fail(`has ${JSON.stringify(value) ?? "no value"} for "${key}"; it takes ${what}`);
    return value as T;
  }
}
