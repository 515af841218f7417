import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { fail } from "../errors.ts";
import { fileError } from "./files.read.ts";

/** Locks this process holds. */
const held = new Set<string>();

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/**
 * Takes the lock file `path` (its folder is made) and returns the function that gives it back. A lock left by a process that is gone
 * is taken over. Errors: "file-exists" while another run holds it; "disk".
 */
export async function lock(path: string): Promise<() => Promise<void>> {
  const place = resolve(path);
  if (held.has(place))
    fail(
      "file-exists",
      `${dirname(path)} is in use by another run of this process`,
      "wait for its end, or choose another folder",
    );
  held.add(place);
  try {
    await take(place);
  } catch (error) {
    held.delete(place);
    throw fileError("locking", path, error);
  }
  return async () => {
    await rm(place, { force: true });
    held.delete(place);
  };
}

/** Refuses a lock that another run holds. Errors: "file-exists". */
export async function checkUnlocked(path: string): Promise<void> {
  const place = resolve(path);
  if (held.has(place))
    fail(
      "file-exists",
      `${dirname(path)} is in use by another run of this process`,
      "wait for its end, or choose another folder",
    );
  const text = await readFile(place, "utf8").catch(() => null);
  if (text !== null) refuseHeld(place, text);
}

async function take(path: string): Promise<void> {
  const mine = `${path}.${process.pid}`;
  const holder: Holder = { pid: process.pid, host: hostname() };
  await mkdir(dirname(path), { recursive: true });
  await writeFile(mine, JSON.stringify(holder));
  try {
    if (await linkTo(mine, path)) return;
    await removeStale(path);
    if (!(await linkTo(mine, path)))
      fail("file-exists", `${dirname(path)}: another run took this folder just now`, "choose another folder");
  } finally {
    await rm(mine, { force: true });
  }
}

/** A link is made whole or not at all, so that a lock file never stands there half written. False when `to` exists. */
async function linkTo(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function removeStale(path: string): Promise<void> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return;
  refuseHeld(path, text);
  // Moved aside and looked at again: another process may have taken the stale lock over since it was read.
  const aside = `${path}.stale.${process.pid}`;
  await rename(path, aside).catch(() => {});
  const moved = await readFile(aside, "utf8").catch(() => text);
  if (moved !== text) await linkTo(aside, path);
  await rm(aside, { force: true });
}

function refuseHeld(path: string, text: string): void {
  const holder = parseHolder(text);
  if (!holder || !isRunning(holder)) return;
  const where = holder.host === hostname() ? "" : ` on ${holder.host}`;
  fail(
    "file-exists",
    `${dirname(path)} is in use by process ${holder.pid}${where}`,
    `stop that process or choose another folder; if it is long gone, delete ${path}`,
  );
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, host } = JSON.parse(text);
    return Number.isInteger(pid) && typeof host === "string" ? { pid, host } : null;
  } catch {
    return null;
  }
}

/** Whether the process lives. One on another machine cannot be asked, so it counts as alive. */
function isRunning({ pid, host }: Holder): boolean {
  if (host !== hostname()) return true;
  if (pid === process.pid) return false; // not in `held`: left by a killed process that had this id
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
