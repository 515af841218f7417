/**
 * Every error a user can meet. Each has a stable code; the catalogue says how the process ends (1 failed,
 * 2 wrong usage) and what to do about it. docs/errors.md is this table with an example each.
 */
const catalogue = {
  usage: { exit: 2, remedy: "run the command with --help to see what it takes" },
  config: { exit: 2, remedy: "mend the named key; `conclave train --help` lists the keys" },
  spec: { exit: 2, remedy: "mend the named field of the routing spec; docs/routing.md lists the fields" },
  shape: { exit: 1, remedy: "give tensors whose sizes fit the operation" },
  dtype: { exit: 1, remedy: "cast to a dtype the operation takes" },
  state: { exit: 1, remedy: "call the operations in the order their documentation gives" },
  "file-missing": { exit: 1, remedy: "check the path" },
  "file-exists": { exit: 1, remedy: "choose another path" },
  "file-damaged": {
    exit: 1,
    remedy: "the file is truncated or not of the format it claims; fetch or write it again",
  },
  disk: { exit: 1, remedy: "free space or choose another folder; what was written before is intact" },
  data: { exit: 1, remedy: "give --data files or folders with more UTF-8 text" },
  tokenizer: { exit: 1, remedy: "use the tokenizer.json the model was trained with" },
  template: {
    exit: 1,
    remedy: "give another template with --template FILE",
  },
  model: { exit: 1, remedy: "use a model folder of a supported family; `conclave params --help` lists them" },
  diverged: { exit: 1, remedy: "start a new run with a lower optimizer.lr (--lr)" },
  checkpoint: {
    exit: 1,
    remedy: "start the run anew, or point --resume at a run folder with a state/ folder",
  },
  hub: { exit: 1, remedy: "run the same command again: it goes on where it stopped" },
  kernels: { exit: 1, remedy: "run `conclave doctor` to see which kernels load and why not the others" },
  memory: { exit: 1, remedy: "use a smaller model, batch or sequence" },
} as const;

export type ErrorCode = keyof typeof catalogue;

/** An error meant for the user: one line that says what is wrong and where, and one that says what to do. */
export class ConclaveError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;
  /** Process exit code: 1 failed, 2 wrong usage. */
  readonly exit: 1 | 2;

  constructor(code: ErrorCode, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "ConclaveError";
    this.code = code;
    this.remedy = options.remedy ?? catalogue[code].remedy;
    this.exit = catalogue[code].exit;
  }
}

/** Throws the {@link ConclaveError} of `code`; `remedy` replaces the catalogue's when a better one is known. */
export function fail(code: ErrorCode, message: string, remedy?: string): never {
  throw new ConclaveError(code, message, { remedy });
}

/** Every code with its exit status and remedy, for documentation and tests. */
export const errorCatalogue: Readonly<Record<ErrorCode, { exit: 1 | 2; remedy: string }>> = catalogue;
