import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lock } from "./files.lock.ts";

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
