import pc from "picocolors";
import { ConclaveError, fail } from "../errors.ts";
import { isRevision, type PullProgress, parseHubArgument, pullModel } from "../formats/files.ts";
import { bytes, commandLine, duration, print, printJson, remark } from "./output.ts";

interface PullFlags {
  readonly revision?: string;
  readonly file: string[];
  readonly include: string[];
  readonly json?: boolean;
}

/** Does what `conclave pull` was asked. */
export async function runPull(argument: string, flags: PullFlags): Promise<void> {
  const { revision } = flags;
  if (revision !== undefined && !isRevision(revision))
    fail("usage", `--revision ${JSON.stringify(revision)}: no branch, tag or commit has such a name`);
  if (revision !== undefined && argument.includes("@"))
    fail("usage", `${argument} names a revision already`, "leave --revision out");
  const named = parseHubArgument(revision === undefined ? argument : `${argument}@${revision}`);
  if (!named)
    fail(
      "usage",
      `${JSON.stringify(argument)} is no model on the hub`,
      "give it as ORG/NAME, such as allenai/OLMoE-1B-7B-0924-Instruct",
    );
  const { model, quant, path } = named;
  const files = path !== undefined && /\.\w+$/.test(path) ? [...flags.file, path] : flags.file;
  const include =
    path !== undefined && files === flags.file ? [...flags.include, `${path}/*`] : flags.include;
  if (quant !== undefined && files.length + include.length > 0)
    fail("usage", `${argument} names a quantisation already`, "leave --file and --include out");
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const view = new PullView(process.stderr);
  try {
    const {
      snapshot,
      commit,
      files: pulled,
      unasked,
    } = await pullModel(model, {
      files,
      include,
      quant,
      signal: stop.signal,
      warn: (line) => remark(line),
      progress: (progress) => view.update(progress),
    });
    view.close();
    if (unasked) remark(`${unasked}; this is what was pulled before`);
    const listed = pulled.map(({ path, size }) => ({ path, size }));
    if (flags.json) printJson({ folder: snapshot, commit, files: listed });
    else print(snapshot);
  } catch (error) {
    view.close();
    if (!stop.signal.aborted || error instanceof ConclaveError) throw error;
    remark(`stopped; to go on: ${commandLine(...process.argv.slice(2))}`);
    process.exitCode = 130;
  }
}

const redrawMilliseconds = 100;
const plainMilliseconds = 5000;

/** A line that redraws itself where a person watches, a line now and then where not. */
class PullView {
  private readonly stream: NodeJS.WriteStream;
  private readonly live: boolean;
  private readonly began = performance.now();
  private last = 0;
  private drawn = false;
  /** The last line has been shown. */
  private whole = false;
  /** Bytes that were there at the start. */
  private had: number | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
    this.live = stream.isTTY === true && process.env.TERM !== "dumb";
  }

  update({ file, allBytes, allSize }: PullProgress): void {
    this.had ??= allBytes;
    const now = performance.now();
    const every = this.live ? redrawMilliseconds : plainMilliseconds;
    const whole = allBytes >= allSize;
    if (whole ? this.whole : now - this.last < every) return;
    [this.last, this.whole] = [now, whole];
    const rate = (1000 * (allBytes - this.had)) / (now - this.began);
    const left = rate > 0 ? `, ${duration((allSize - allBytes) / rate)} left` : "";
    const line = `${bytes(allBytes)} of ${bytes(allSize)}, ${bytes(Math.round(rate))}/s${left}  ${file}`;
    if (!this.live) this.stream.write(`${line}\n`);
    else
      this.stream.write(
        `\r\u001b[2K${this.bar(allSize > 0 ? allBytes / allSize : 1)} ${line.slice(0, (this.stream.columns || 80) - 23)}`,
      );
    this.drawn = this.live;
  }

  private bar(share: number): string {
    const filled = Math.round(20 * share);
    return pc.cyan("━".repeat(filled)) + pc.dim("━".repeat(20 - filled));
  }

  close(): void {
    if (this.drawn) this.stream.write("\n");
    this.drawn = false;
  }
}
