/**
 * Every error a user can meet has a stable code, and ends the process with this exit code: 1 failed, 2 wrong usage. docs/errors.md has an
 * example of each.
 */
const exits = {
  usage: 2,
  config: 2,
  spec: 2,
  shape: 1,
  dtype: 1,
  state: 1,
  "file-missing": 1,
  "file-exists": 1,
  "file-damaged": 1,
  disk: 1,
  data: 1,
  tokenizer: 1,
  template: 1,
  model: 1,
  diverged: 1,
  checkpoint: 1,
  hub: 1,
  kernels: 1,
  memory: 1,
} as const;

export type ErrorCode = keyof typeof exits;

/** Every code, for tests of the documentation. */
export const errorCodes: readonly ErrorCode[] = Object.keys(exits) as ErrorCode[];

/** An error meant for the user: one line that says what is wrong and where, and often one that says what to do about it. */
export class ConclaveError extends Error {
  readonly code: ErrorCode;
  /** What helps against this very error; undefined where the message says it all. */
  readonly remedy: string | undefined;
  /** Process exit code: 1 failed, 2 wrong usage. */
  readonly exit: 1 | 2;

  constructor(code: ErrorCode, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "ConclaveError";
    this.code = code;
    this.remedy = options.remedy;
    this.exit = exits[code];
  }
}

/** Throws the {@link ConclaveError} of `code`; `remedy` says what to do, unless the message does. */
export function fail(code: ErrorCode, message: string, remedy?: string): never {
  throw new ConclaveError(code, message, { remedy });
}
