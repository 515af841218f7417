import {
  access,
  constants,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { isRunning } from "./files.process.ts";
import { fileError, pathExists } from "./files.read.ts";

/**
 * Writes that happen whole or not at all, whenever the process or the machine stops.
 *
 * A file is written beside its place as `.NAME.writing-PID-N`, flushed, and renamed. A folder is written as
 * `.NAME.writing-PID-N`, flushed, and renamed to `.NAME.ready`; from then on it is the new one. The old one steps
 * aside as `.NAME.previous`, the new one takes the name, the old one is deleted. A stop between these steps is made
 * good by {@link recoverFolder}, which every later write begins with.
 */

/** Bytes of a file: all at once, or in pieces that are written as they come. */
export type FileContents = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a file whole or not at all; makes its folder if need be. What was there before stays until the new file is
 * complete on disk. A device, a pipe or /dev/stdout is written to, not replaced. Errors: disk (full, not permitted).
 */
export async function writeFileAtomic(path: string, contents: FileContents): Promise<void> {
  if (await isStream(path)) return await writeStream(path, contents);
  const folder = dirname(resolve(path));
  const temporary = claim(path);
  try {
    await mkdir(folder, { recursive: true });
    await removeStale(path);
    await writeFlushed(temporary, contents);
    await rename(temporary, path);
    await flush(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first error is the one to report
    throw fileError("writing", path, error);
  } finally {
    inUse.delete(temporary);
  }
}

/** Whether the path leads to no file of a disk, or through a process' open files, as /dev/stdout does: Linux has them in /proc, macOS in /dev/fd. */
async function isStream(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  if (!info || info.isDirectory()) return false;
  if (!info.isFile()) return true;
  const folder = await realpath(dirname(resolve(path)));
  const target = await readlink(path).catch(() => "");
  return [folder, resolve(folder, target)].some((place) => /^(\/proc\/|\/dev\/fd(\/|$))/.test(place));
}

async function writeStream(path: string, contents: FileContents): Promise<void> {
  try {
    const handle = await open(path, "a");
    try {
      await writeContents(handle, contents);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError("writing", path, error);
  }
}

/**
 * Refuses, before there is anything to write, a path that no file can be written to: a folder, or one in a folder that cannot be written or
 * made. Changes nothing. Errors: disk.
 */
export async function checkWritable(path: string): Promise<void> {
  try {
    if ((await stat(path).catch(() => null))?.isDirectory())
      throw Object.assign(new Error(), { code: "EISDIR" });
    if (await isStream(path)) return await access(path, constants.W_OK);
    let folder = dirname(resolve(path));
    while (!(await pathExists(folder)) && folder !== dirname(folder)) folder = dirname(folder);
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw fileError("writing", path, error);
  }
}

/**
 * Puts a folder in place whole or not at all. `write` fills the empty folder it is given; when it throws, what stood at
 * `path` before stands there still.
 */
export async function replaceFolderAtomic(
  path: string,
  write: (folder: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(resolve(path));
  const temporary = claim(path);
  try {
    await mkdir(parent, { recursive: true });
    await recoverFolder(path);
    await removeStale(path);
    await mkdir(temporary);
    await write(temporary);
    await flushTree(temporary);
    await rename(temporary, aside(path, "ready"));
    await flush(parent);
    await recoverFolder(path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw fileError("writing", path, error);
  } finally {
    inUse.delete(temporary);
  }
}

/**
 * Ends a replacement of `path` that was cut short: a complete new folder takes its place, and without one the previous
 * folder comes back. Call it before reading a folder that a killed process may have been replacing.
 */
export async function recoverFolder(path: string): Promise<void> {
  const [ready, previous] = [aside(path, "ready"), aside(path, "previous")];
  try {
    if (await pathExists(ready)) {
      if (await pathExists(path)) {
        await rm(previous, { recursive: true, force: true });
        await rename(path, previous);
      }
      await rename(ready, path);
    } else if (!(await pathExists(path)) && (await pathExists(previous))) {
      await rename(previous, path);
    }
    if (!(await pathExists(previous))) return;
    await flush(dirname(resolve(path)));
    await rm(previous, { recursive: true, force: true });
  } catch (error) {
    throw fileError("recovering", path, error);
  }
}

const inUse = new Set<string>();
let claims = 0;

/** A temporary name beside `path` that no other write uses. */
function claim(path: string): string {
  const temporary = aside(path, `writing-${process.pid}-${claims++}`);
  inUse.add(temporary);
  return temporary;
}

function aside(path: string, role: string): string {
  const full = resolve(path);
  return join(dirname(full), `.${basename(full)}.${role}`);
}

/** Deletes what killed writes of `path` left behind; temporaries of processes that still live are let be. */
async function removeStale(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  const prefix = `.${basename(resolve(path))}.writing-`;
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix)) continue;
    const owner = Number.parseInt(name.slice(prefix.length), 10);
    const stale = owner === process.pid ? !inUse.has(join(folder, name)) : !(await isRunning(owner));
    if (stale) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function writeContents(handle: FileHandle, contents: FileContents): Promise<void> {
  if (typeof contents === "string") return await handle.writeFile(contents);
  for await (const piece of contents instanceof Uint8Array ? [contents] : contents)
    await writeAll(handle, piece);
}

async function writeFlushed(path: string, contents: FileContents): Promise<void> {
  const handle = await open(path, "wx");
  try {
    await writeContents(handle, contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.length - done, 2 ** 30));
    done += bytesWritten;
  }
}

/** Flushes everything in a folder, then the folder. */
async function flushTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await flushTree(path);
    else await flush(path);
  }
  await flush(folder);
}

async function flush(path: string): Promise<void> {
  // Windows flushes neither folders nor files opened for reading; its renames are journalled.
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
