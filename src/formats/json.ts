import { fail } from "../errors.ts";

/**
 * Parses JSON strictly. Errors (file-damaged) name the text, the line and the column, on every engine alike; a key
 * given twice, which JSON.parse would pass over in silence, is an error too.
 *
 * @param name what errors call the text, such as its path
 */
export function parseJson(text: string, name: string): unknown {
  const fault = findFault(text);
  if (!fault) return JSON.parse(text);
  const before = text.slice(0, fault.at);
  const line = before.split("\n").length;
  const column = fault.at - before.lastIndexOf("\n");
  return fail(
    "file-damaged",
    `${name}: line ${line}, column ${column}: ${fault.what}`,
    "correct it there, or fetch the file again",
  );
}

const deepest = 500;

interface Fault {
  at: number;
  what: string;
}

/** The first place where `text` departs from RFC 8259 or repeats a key; undefined where it is well-formed. */
function findFault(text: string): Fault | undefined {
  const scanner = new Scanner(text);
  try {
    scanner.value(0);
    scanner.space();
    if (scanner.at < text.length) scanner.stop("the text goes on after the value");
  } catch (error) {
    if (error instanceof FaultFound) return { at: error.at, what: error.message };
    throw error;
  }
  return undefined;
}

class FaultFound extends Error {
  readonly at: number;
  constructor(at: number, what: string) {
    super(what);
    this.at = at;
  }
}

class Scanner {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  stop(what: string, at: number = this.at): never {
    throw new FaultFound(at, this.at >= this.text.length ? `the text ends too early (${what})` : what);
  }

  space(): void {
    for (; this.at < this.text.length; this.at++) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    }
  }

  /** Steps over `character` if it stands here. */
  take(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  value(depth: number): void {
    if (depth > deepest) this.stop(`nested deeper than ${deepest} levels`);
    this.space();
    const first = this.text[this.at];
    if (first === "{") this.object(depth);
    else if (first === "[") this.array(depth);
    else if (first === '"') this.string();
    else this.plain();
  }

  private object(depth: number): void {
    const keys = new Set<string>();
    this.at++;
    this.space();
    if (this.take("}")) return;
    while (true) {
      this.space();
      const start = this.at;
      if (this.text[start] !== '"') this.stop("a key in double quotes is expected");
      this.string();
      const written = this.text.slice(start + 1, this.at - 1);
      const key: string = written.includes("\\") ? JSON.parse(`"${written}"`) : written;
      if (keys.has(key)) this.stop(`the key ${JSON.stringify(key)} is given twice`, start);
      keys.add(key);
      this.space();
      if (!this.take(":")) this.stop(`":" is expected after the key ${JSON.stringify(key)}`);
      this.value(depth + 1);
      this.space();
      if (this.take("}")) return;
      if (!this.take(",")) this.stop('"," or "}" is expected');
    }
  }

  private array(depth: number): void {
    this.at++;
    this.space();
    if (this.take("]")) return;
    while (true) {
      this.value(depth + 1);
      this.space();
      if (this.take("]")) return;
      if (!this.take(",")) this.stop('"," or "]" is expected');
    }
  }

  private string(): void {
    const start = this.at++;
    for (; this.at < this.text.length; this.at++) {
      const code = this.text.charCodeAt(this.at);
      if (code === 0x22) {
        this.at++;
        return;
      }
      if (code < 0x20) this.stop("a control character stands in a string; write it as an escape");
      if (code === 0x5c) this.escape();
    }
    this.stop("a string is not closed", start);
  }

  /** Leaves `at` on the last character of the escape. */
  private escape(): void {
    escapes.lastIndex = this.at;
    const match = escapes.exec(this.text);
    if (!match) this.stop("no such escape in a string");
    this.at += match![0].length - 1;
  }

  private plain(): void {
    plainValue.lastIndex = this.at;
    const match = plainValue.exec(this.text);
    if (!match) this.stop("a value is expected");
    this.at += match![0].length;
  }
}

const escapes = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const plainValue = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
