import { type FileHandle, open, stat } from "node:fs/promises";
import { ConclaveError, type ErrorCode, fail } from "../errors.ts";
import { parseJson } from "./json.ts";
import { type ByteSource, bytesSource, checkRange } from "./source.ts";

/** One read of the operating system takes at most 2 GiB; this stays below it. */
const longestRead = 2 ** 30;

const elsewhere = "choose another path";

/** What an error of the operating system means, and what helps where the meaning does not say it. */
const meanings: Readonly<Record<string, [ErrorCode, string, string?]>> = {
  ENOENT: ["file-missing", "there is no such file or folder"],
  ENOTDIR: ["file-missing", "a part of the path is a file, not a folder"],
  EISDIR: ["file-missing", "this is a folder, a file is needed"],
  EEXIST: ["file-exists", "something of that name is there already", elsewhere],
  ENOSPC: ["disk", "the disk is full", "free space; what was written before is intact"],
  EDQUOT: ["disk", "the disk quota is used up", "free space; what was written before is intact"],
  EACCES: ["disk", "permission is denied", "change its permissions, or choose another path"],
  EPERM: ["disk", "permission is denied", "change its permissions, or choose another path"],
  EROFS: ["disk", "the disk is read-only", elsewhere],
  EIO: ["disk", "the disk does not answer properly", "check the disk, or use another"],
  EFBIG: ["disk", "the disk takes no file of that size", "choose a path on another file system"],
  EMFILE: ["disk", "too many files are open", "raise the limit (ulimit -n)"],
};

/** Turns an error of the operating system into a {@link ConclaveError} that names what was done and to which path. */
export function fileError(doing: string, path: string, error: unknown): ConclaveError {
  if (error instanceof ConclaveError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const [kind, meaning, remedy] = meanings[code ?? ""] ?? (["disk", message] as const);
  return new ConclaveError(kind, `${doing} ${path}: ${meaning}`, { remedy, cause: error });
}

/** An open file as a {@link ByteSource}. Close it when done. */
export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** Opens a file for reading in ranges. Throws file-missing or disk. */
export async function openFile(path: string): Promise<FileSource> {
  try {
    const handle = await open(path, "r");
    const info = await handle.stat();
    if (info.isDirectory()) {
      await handle.close();
      fail("file-missing", `reading ${path}: this is a folder, a file is needed`);
    }
    if (!info.isFile()) {
      // A pipe has no size and no places: it is read to its end.
      const bytes = new Uint8Array(await handle.readFile().finally(() => handle.close()));
      return { ...bytesSource(bytes, path), close: async () => {} };
    }
    return {
      name: path,
      path,
      size: info.size,
      read: (offset, length) => readRange(handle, path, info.size, offset, length),
      close: () => handle.close(),
    };
  } catch (error) {
    throw fileError("reading", path, error);
  }
}

async function readRange(handle: FileHandle, path: string, size: number, offset: number, length: number) {
  checkRange(path, size, offset, length);
  const out = new Uint8Array(length);
  try {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(out, done, Math.min(length - done, longestRead), offset + done);
      if (bytesRead === 0)
        fail(
          "file-damaged",
          `${path} became shorter while it was read`,
          "run again when nothing writes to it",
        );
      done += bytesRead;
    }
  } catch (error) {
    throw fileError("reading", path, error);
  }
  return out;
}

/** The whole file. Throws file-missing or disk. */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = await openFile(path);
  try {
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

/** The whole file as UTF-8 text; bytes that are not UTF-8 are an error (file-damaged). */
export async function readText(path: string): Promise<string> {
  const bytes = await readBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return fail("file-damaged", `${path} is not UTF-8 text`, "save it as UTF-8, or fetch it again");
  }
}

/** A JSON file, parsed strictly: a fault is named by file, line and column. */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(await readText(path), path);
}

/** Whether a file or folder is there. */
export async function pathExists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** The text of a file as {@link readText} gives it, or undefined where there is none. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readText(path);
  } catch (error) {
    if (error instanceof ConclaveError && error.code === "file-missing") return undefined;
    throw error;
  }
}
