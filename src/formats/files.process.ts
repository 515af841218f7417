/** Which processes live: for locks and temporaries that a process may have left behind. */
import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";

/** Who holds something. */
export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Where `pid` means this process: the machine since it was started, and the namespace of process ids (a container has its own). */
  readonly space?: string;
  /** When the process was started, in the system's own count: another with the same id has another. */
  readonly start?: string;
}

/** This process. Its place is known on Linux; elsewhere a host's name stands for it. */
export async function thisProcess(): Promise<Owner> {
  const space = await ownSpace();
  const start = (await statusOf(process.pid))?.start;
  return { pid: process.pid, host: hostname(), ...(space && { space }), ...(start && { start }) };
}

/** "alive", "gone", or "unknown" where this process cannot tell: the owner's ids are of another container or machine. */
export async function lifeOf(owner: Owner): Promise<"alive" | "gone" | "unknown"> {
  const { pid, host, space, start } = owner;
  const here = await ownSpace();
  if (space !== undefined && here !== undefined ? space !== here : host !== hostname()) return "unknown";
  if (!answers(pid)) return "gone";
  const status = await statusOf(pid);
  if (status?.ended) return "gone";
  // Without its start the process may be another that was given the id since, or that has it in another container of this name.
  if (space === undefined || start === undefined || status === null) return "unknown";
  return status.start === start ? "alive" : "gone";
}

/** Whether there is such a process here, one that has not ended: a zombie has, and waits for its parent to ask for its exit code. */
export async function isRunning(pid: number): Promise<boolean> {
  return answers(pid) && !(await statusOf(pid))?.ended;
}

function answers(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

let space: Promise<string | undefined> | undefined;

function ownSpace(): Promise<string | undefined> {
  space ??= (async () => {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
    const namespace = await readlink("/proc/self/ns/pid").catch(() => "");
    return boot !== "" && namespace !== "" ? `${boot.trim()} ${namespace}` : undefined;
  })();
  return space;
}

/** What Linux says of a process (proc(5), /proc/pid/stat: fields 3 and 22); null elsewhere, and where it does not say. */
async function statusOf(pid: number): Promise<{ ended: boolean; start: string } | null> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  if (text === null) return null;
  // The name before these fields is in brackets and may hold any.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { ended: /^[ZXx]$/.test(fields[0]), start: fields[19] };
}
