/**
 * Lock files. The owner of a lock touches its file every few seconds. A lock is free where its owner is known to be gone: its process has ended on
 * this machine, or, where that cannot be known (it is of another container or machine), the file was not touched for a minute.
 */
import { createHash, randomUUID } from "node:crypto";
import { link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { ConclaveError, fail } from "../errors.ts";
import { lifeOf, type Owner, thisProcess } from "./files.process.ts";
import { fileError } from "./files.read.ts";

const touchMilliseconds = 2000;
/** An owner that cannot be asked counts as gone after this long without a touch. */
export const staleSeconds = 60;
/** A file that looks old is watched for so long before it is taken: clocks differ between machines, and a machine may just have slept. */
const watchMilliseconds = touchMilliseconds + 500;
const pollMilliseconds = 200;
/** At a lock that others take and give back meanwhile. */
const attempts = 3;

/** Locks this process holds. */
const held = new Set<string>();

interface Holder extends Owner {
  /** No two locks have the same. */
  readonly id?: string;
}

export interface LockOptions {
  /** Called where another process took the lock although this one lives: it was stopped for more than a minute. */
  readonly onLost?: () => void;
}

/**
 * Takes the lock file `path` (its folder is made) and returns the function that gives it back. A lock whose owner is gone is taken over.
 * Errors: "file-exists" while another run holds it; "disk".
 */
export async function lock(path: string, { onLost }: LockOptions = {}): Promise<() => Promise<void>> {
  const place = resolve(path);
  if (held.has(place))
    fail(
      "file-exists",
      `${dirname(path)} is in use by another run of this process`,
      "wait for its end, or choose another folder",
    );
  held.add(place);
  try {
    const text = await take(place);
    let touching = Promise.resolve();
    const beat = setInterval(() => {
      touching = touching.then(() => touch(place, text, lost));
    }, touchMilliseconds);
    const lost = (): void => {
      clearInterval(beat);
      onLost?.();
    };
    beat.unref();
    return async () => {
      clearInterval(beat);
      await touching; // which may put the file back
      if ((await textOf(place)) === text) await rm(place, { force: true });
      held.delete(place);
    };
  } catch (error) {
    held.delete(place);
    throw fileError("locking", path, error);
  }
}

export interface WaitOptions extends LockOptions {
  /** What waits, for the line that says so. */
  readonly name: string;
  readonly signal?: AbortSignal;
  /** Told once why it waits, and for how long at most. */
  readonly tell?: (line: string) => void;
}

/** As {@link lock}, but waits while another holds it. Errors: "disk"; the signal's reason when it is aborted. */
export async function lockWhenFree(path: string, options: WaitOptions): Promise<() => Promise<void>> {
  const { name, signal, tell } = options;
  for (let told = false; ; told = true) {
    try {
      return await lock(path, options);
    } catch (error) {
      if (!(error instanceof ConclaveError && error.code === "file-exists")) throw error;
      if (!told)
        tell?.(
          `waiting for ${name}: ${error.message}. It goes on when that ends, or ${staleSeconds} seconds after its last sign of life`,
        );
      await sleep(pollMilliseconds, undefined, { signal });
    }
  }
}

/** Refuses a lock that another run holds. Errors: "file-exists". */
export async function checkUnlocked(path: string): Promise<void> {
  const place = resolve(path);
  if (held.has(place)) fail("file-exists", `${dirname(path)} is in use by another run of this process`);
  const text = await textOf(place);
  if (text !== null) await refuseHeld(place, text);
}

/** Puts this process' lock there; gives its text. */
async function take(path: string): Promise<string> {
  const text = JSON.stringify({ ...(await thisProcess()), id: randomUUID() } satisfies Holder);
  await mkdir(dirname(path), { recursive: true });
  const mine = besides(path, text);
  await writeFile(mine, text);
  try {
    // A file that goes while it is looked at was given back: then there may be room at once.
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (await linkTo(mine, path)) return text;
      const there = await textOf(path);
      if (there === null) continue;
      await refuseHeld(path, there);
      if (!(await replace(path, there, text, mine))) continue;
      await sweep(path);
      return text;
    }
    return fail("file-exists", `${dirname(path)} is in use: another run took it just now`);
  } finally {
    await rm(mine, { force: true });
  }
}

/**
 * Puts `mine` in the place of the file `path`, which holds `stale` and whose owner is gone. Of several processes one does: the one whose claim,
 * a file named after what it replaces, is there first. A claim whose owner is gone is replaced like a lock. False where another was first.
 */
async function replace(path: string, stale: string, text: string, mine: string): Promise<boolean> {
  const claim = besides(path, stale);
  if (!(await linkTo(mine, claim))) {
    const other = await textOf(claim);
    if (other === null || (await isHeld(claim, other)) || !(await replace(claim, other, text, mine)))
      return false;
  }
  const next = besides(path, `${text} ${stale}`);
  try {
    // Looked at again with the claim in hand: nobody else replaces that text now, and it never comes again.
    if ((await textOf(path)) !== stale) return false;
    await link(mine, next);
    await rename(next, path);
    return true;
  } finally {
    await rm(next, { force: true });
    await rm(claim, { force: true });
  }
}

/** A name beside `path` for what has to do with a lock of this text. */
function besides(path: string, text: string): string {
  return `${path}.${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
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

/** Says that this process lives. A lock that somebody deleted is put back; one that is another's by now is lost. */
async function touch(path: string, text: string, lost: () => void): Promise<void> {
  const there = await textOf(path);
  if (there !== null && there !== text) return lost();
  const now = new Date();
  try {
    if (there !== null) return await utimes(path, now, now);
    const mine = besides(path, text);
    await writeFile(mine, text);
    await linkTo(mine, path);
    await rm(mine);
  } catch {
    // What fails here (the disk is full, or gone) is told by those who write.
  }
}

/** Deletes what processes that were killed while they took this lock left beside it. */
async function sweep(path: string): Promise<void> {
  const [folder, prefix] = [dirname(path), `${basename(path)}.`];
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{16}$/.test(name.slice(-16))) continue;
    const age = await ageOf(join(folder, name));
    if (age !== null && age > staleSeconds) await rm(join(folder, name), { force: true });
  }
}

async function textOf(path: string): Promise<string | null> {
  return await readFile(path, "utf8").catch(() => null);
}

/** Seconds since it was touched, by this machine's clock. */
async function ageOf(path: string): Promise<number | null> {
  const info = await stat(path).catch(() => null);
  return info && (Date.now() - info.mtimeMs) / 1000;
}

async function refuseHeld(path: string, text: string): Promise<void> {
  if (!(await isHeld(path, text))) return;
  const holder = parseHolder(text);
  const age = await ageOf(path);
  if (!holder || age === null) return;
  const life = await lifeOf(holder);
  const here = await thisProcess();
  const elsewhere = holder.space !== undefined && here.space !== undefined && holder.space !== here.space;
  const where = holder.host !== here.host ? ` on ${holder.host}` : elsewhere ? " of another container" : "";
  const sign = life === "alive" ? "" : `, last heard of ${Math.max(0, Math.round(age))} seconds ago`;
  fail(
    "file-exists",
    `${dirname(path)} is in use by process ${holder.pid}${where}${sign}`,
    life === "alive"
      ? "stop that process or choose another folder"
      : `stop that process or choose another folder; if it is gone, try again ${staleSeconds} seconds after it was last heard of`,
  );
}

/** Whether somebody who lives, or may, holds the lock. */
async function isHeld(path: string, text: string): Promise<boolean> {
  const holder = parseHolder(text);
  if (!holder) return false;
  // Left by a killed process that had this one's id: this one's own are in `held`.
  const { pid, host, start } = holder;
  if (pid === process.pid && start === undefined && host === hostname()) return false;
  const life = await lifeOf(holder);
  if (life !== "unknown") return life === "alive";
  const before = await stat(path).catch(() => null);
  if (!before) return false;
  if ((Date.now() - before.mtimeMs) / 1000 <= staleSeconds) return true;
  await sleep(watchMilliseconds);
  const after = await stat(path).catch(() => null);
  return after !== null && after.mtimeMs !== before.mtimeMs;
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, host, space, start, id } = JSON.parse(text);
    const optional = [space, start, id].every((one) => one === undefined || typeof one === "string");
    return Number.isInteger(pid) && typeof host === "string" && optional
      ? { pid, host, space, start, id }
      : null;
  } catch {
    return null;
  }
}
