import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsdown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkUnlocked, lock, lockWhenFree } from "./files.lock.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-lock-"));
});
afterAll(() => rm(folder, { recursive: true }));

const refused = { code: "file-exists", message: /in use/ };

test("one holder at a time; given back, it can be taken again and leaves nothing behind", async () => {
  const path = join(folder, "deep", "run", ".lock");
  const release = await lock(path);
  await expect(lock(path)).rejects.toMatchObject(refused);
  await release();
  await (await lock(path))();
  expect(await readdir(join(folder, "deep", "run"))).toEqual([]);
});

test("the lock of a process that lives is respected, that of a dead one taken over", async () => {
  const path = join(folder, "other.lock");
  const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60_000)"]);
  await writeFile(path, JSON.stringify({ pid: child.pid, host: hostname() }));
  await expect(lock(path)).rejects.toMatchObject({ ...refused, message: new RegExp(`process ${child.pid}`) });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
  const release = await lock(path);
  expect(JSON.parse(await readFile(path, "utf8"))).toMatchObject({ pid: process.pid, host: hostname() });
  await release();
});

test("a lock left by a killed process with this one's id, or a damaged one, is taken over; another machine's is not", async () => {
  const path = join(folder, "left.lock");
  for (const left of [JSON.stringify({ pid: process.pid, host: hostname() }), "", "[]"]) {
    await writeFile(path, left);
    await (await lock(path))();
  }
  await writeFile(path, JSON.stringify({ pid: 1, host: "elsewhere" }));
  await expect(lock(path)).rejects.toMatchObject({ ...refused, message: /process 1 on elsewhere/ });
});

test("of several at once, one gets a stale lock", async () => {
  const path = join(folder, "contested.lock");
  await writeFile(path, "stale");
  const results = await Promise.allSettled([lock(path), lock(path), lock(path)]);
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

/** As if its owner had given no sign of life for so long. */
async function leave(path: string, holder: object, seconds: number): Promise<void> {
  await writeFile(path, JSON.stringify(holder));
  const then = new Date(Date.now() - 1000 * seconds);
  await utimes(path, then, then);
}

test.concurrent.each([
  ["another machine's", { pid: 1, host: "elsewhere" }],
  ["another container's of the same name", { pid: 1, host: hostname(), space: "elsewhere", start: "1" }],
  ["one of a process whose id another has now", { pid: process.ppid, host: hostname() }],
])("%s lock is respected for a minute after its last sign of life", async (_, holder) => {
  const name = `foreign-${holder.host}-${holder.pid}`;
  const path = join(folder, `${name}.lock`);
  await leave(path, holder, 50);
  const refusal = {
    code: "file-exists",
    message: expect.stringMatching(/last heard of 5\d seconds ago$/),
    remedy: expect.stringContaining("60 seconds after it was last heard of"),
  };
  await expect(lock(path)).rejects.toMatchObject(refusal);
  await expect(checkUnlocked(path)).rejects.toMatchObject(refusal);
  await leave(path, holder, 70);
  await (await lock(path))();
  expect((await readdir(folder)).filter((file) => file.startsWith(`${name}.`))).toEqual([]);
});

test.concurrent("a lock that looks old is not taken while its owner touches it: clocks differ, machines sleep", async () => {
  const path = join(folder, "slow.lock");
  await leave(path, { pid: 1, host: "elsewhere" }, 3600);
  const touched = setTimeout(() => void utimes(path, 1, Date.now() / 1000 - 3000), 1000);
  await expect(lock(path)).rejects.toMatchObject(refused);
  clearTimeout(touched);
});

test.concurrent("a lock is touched while it is held", async () => {
  const path = join(folder, "touched.lock");
  const release = await lock(path);
  await utimes(path, 1, 1);
  await expect.poll(async () => (await stat(path)).mtimeMs, { timeout: 4000 }).toBeGreaterThan(1e12);
  await release();
});

test("who waits is told once why and for how long, and goes on when the lock is given back", async () => {
  const path = join(folder, "awaited.lock");
  await leave(path, { pid: 1, host: "elsewhere" }, 0);
  const lines: string[] = [];
  const waiting = lockWhenFree(path, { name: "model.safetensors", tell: (line) => lines.push(line) });
  setTimeout(() => void rm(path), 500);
  await (await waiting)();
  expect(lines).toEqual([
    expect.stringMatching(
      /^waiting for model.safetensors: .* process 1 on elsewhere, last heard of 0 seconds ago.* 60 seconds after/,
    ),
  ]);
  await leave(path, { pid: 1, host: "elsewhere" }, 0);
  const signal = AbortSignal.timeout(50);
  await expect(lockWhenFree(path, { name: "it", signal })).rejects.toBeDefined();
});

test.runIf(process.platform === "linux")(
  "a zombie's lock is free, though its process has not left",
  async () => {
    const path = join(folder, "zombie.lock");
    // The shell becomes a program that never asks how its child ended.
    const parent = spawn("sh", ["-c", "sleep 60 & kill -9 $!; echo $!; exec sleep 60"]);
    const [output] = await once(parent.stdout, "data");
    const pid = Number(String(output).trim());
    await expect.poll(() => readFile(`/proc/${pid}/stat`, "utf8")).toMatch(/\) Z /);
    expect(process.kill(pid, 0)).toBe(true);
    await writeFile(path, JSON.stringify({ pid, host: hostname() }));
    await (await lock(path))();
    parent.kill("SIGKILL");
  },
);

/** Takes and gives back a lock over and over, and writes down when it holds it. */
const contender = `
  const [lockUrl, path, log] = process.argv.slice(1);
  const { appendFileSync } = await import("node:fs");
  const { lock } = await import(lockUrl);
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  for (;;) {
    const release = await lock(path).catch((error) => {
      if (error.code !== "file-exists") throw error;
    });
    if (!release) { await sleep(1); continue; }
    appendFileSync(log, "begin " + process.pid + "\\n");
    await sleep(Math.random() * 10);
    appendFileSync(log, "end " + process.pid + "\\n");
    await release();
  }`;

test("processes at once exclude each other, though holders are killed outright again and again", {
  timeout: 30_000,
}, async () => {
  const [path, log] = [join(folder, "fought.lock"), join(folder, "fought.log")];
  const built = join(folder, "built");
  await build({
    entry: { lock: fileURLToPath(new URL("./files.lock.ts", import.meta.url)) },
    outDir: built,
    format: "esm",
    platform: "node",
    dts: false,
    config: false,
    logLevel: "silent",
  });
  const [file] = (await readdir(built)).filter((name) => /^lock\.m?js$/.test(name));
  const lockUrl = pathToFileURL(join(built, file)).href;
  const errors: string[] = [];
  const start = (): ChildProcess => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", contender, lockUrl, path, log]);
    child.stderr.on("data", (data) => errors.push(String(data)));
    return child;
  };
  const children = Array.from({ length: 4 }, start);
  const killed = new Set<number>();
  await expect.poll(() => readFile(log, "utf8").catch(() => ""), { timeout: 10_000 }).toContain("begin");
  for (let i = 0; i < 6; i++) {
    await new Promise((resolve) => setTimeout(resolve, 150));
    // Whoever holds it at the moment, and one more.
    const last = (await readFile(log, "utf8")).trim().split("\n").at(-1)!;
    const holder = children.findIndex(({ pid }) => last === `begin ${pid}`);
    const victim = Math.max(0, holder);
    killed.add(children[victim].pid!);
    children[victim].kill("SIGKILL");
    children[victim] = start();
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const child of children) {
    killed.add(child.pid!);
    child.kill("SIGKILL");
  }
  const lines = (await readFile(log, "utf8")).trim().split("\n");
  let inside: string | null = null;
  for (const line of lines) {
    const [what, pid] = line.split(" ");
    if (what === "begin") {
      if (inside !== null) expect(killed).toContain(Number(inside));
      inside = pid;
    } else {
      expect(pid).toBe(inside);
      inside = null;
    }
  }
  expect(new Set(lines.filter((line) => line.startsWith("end"))).size).toBeGreaterThan(3);
  expect(errors.filter((text) => !text.includes("ExperimentalWarning"))).toEqual([]);
});
