import { type FileHandle, open } from "node:fs/promises";
import { fail } from "../errors.ts";
import { fileError } from "./files.read.ts";

/**
 * A file of JSON lines that only grows, such as `metrics.jsonl`. Its byte length is written into every checkpoint; opening it at that
 * length again cuts off what a killed run wrote after, so that a resumed run leaves the same bytes as an unbroken one.
 */
export class Journal {
  private readonly path: string;
  private readonly file: FileHandle;
  private end: number;

  private constructor(path: string, file: FileHandle, end: number) {
    this.path = path;
    this.file = file;
    this.end = end;
  }

  /** Opens `path`, made if missing, cut to its first `bytes` bytes. Errors: "checkpoint" when it is shorter than that; "file-missing"; "disk". */
  static async open(path: string, bytes = 0): Promise<Journal> {
    const file = await onDisk(path, () => open(path, bytes === 0 ? "w+" : "r+"));
    const { size } = await file.stat();
    if (size < bytes) {
      await file.close();
      fail(
        "checkpoint",
        `${path} is ${size} bytes long; the checkpoint was taken at ${bytes}`,
        "put back the file as it was, or start a new run",
      );
    }
    await onDisk(path, () => file.truncate(bytes));
    return new Journal(path, file, bytes);
  }

  /** Length so far. */
  get bytes(): number {
    return this.end;
  }

  /** Adds one line. Calls must be awaited in turn. */
  async append(record: object): Promise<void> {
    const line = new TextEncoder().encode(`${JSON.stringify(record)}\n`);
    for (let done = 0; done < line.length; ) {
      const { bytesWritten } = await onDisk(this.path, () =>
        this.file.write(line, done, line.length - done, this.end + done),
      );
      done += bytesWritten;
    }
    this.end += line.length;
  }

  /** The lines so far, each as it was given. Error "checkpoint" where one is no JSON object. */
  async *records(): AsyncGenerator<object> {
    if (this.end === 0) return;
    const lines = this.file.readLines({ start: 0, end: this.end - 1, autoClose: false });
    let number = 0;
    for await (const line of lines) yield this.parse(line, ++number);
  }

  private parse(line: string, number: number): object {
    let value: unknown = null;
    try {
      value = JSON.parse(line);
    } catch {
      // Said below.
    }
    if (typeof value !== "object" || value === null)
      fail(
        "checkpoint",
        `${this.path}: line ${number} is no JSON object`,
        "bring the file back as it was when the run stopped, or start the run anew",
      );
    return value;
  }

  /** Waits until all lines are on the disk, not only with the operating system. */
  async sync(): Promise<void> {
    await onDisk(this.path, () => this.file.sync());
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError("writing", path, error);
  }
}
