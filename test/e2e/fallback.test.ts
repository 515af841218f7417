/** A machine that the native kernels do not run on: the built package falls back, says so, and computes the same. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixtureFolder, goldenOf, promptLength } from "../conformance/fixtures.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const library = `conclave-${process.platform}-${process.arch}.node`;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-fallback-"));
  await cp(join(root, "dist"), join(folder, "dist"), {
    recursive: true,
    filter: (path) => !path.startsWith(join(root, "dist", "native")),
  });
  await cp(join(root, "package.json"), join(folder, "package.json"));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "junction");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function conclave(...args: string[]): Promise<Result> {
  const env = { ...process.env, CONCLAVE_KERNELS: "", CONCLAVE_ISA: "" };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(folder, "dist/cli/main.js"), ...args],
      { env },
      (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
      },
    );
  });
}

async function attempts(): Promise<string[][]> {
  const { stdout } = await conclave("doctor", "--json");
  const { kernels } = JSON.parse(stdout) as { kernels: { attempts: Record<string, string>[] } };
  return kernels.attempts.map(({ kernels, state, reason }) => [kernels!, state!, reason!]);
}

/** Greedy tokens that transformers drew from the same weights. */
async function expectGreedyTokens(note: string): Promise<void> {
  const golden = await goldenOf("mixtral");
  const prompt = golden.ids.slice(0, promptLength).join(",");
  const flags = ["--temperature", "0", "--max-tokens", "16", "--json"];
  const told = await conclave("generate", fixtureFolder("mixtral"), "--ids", prompt, ...flags);
  expect(told.code, told.stderr).toBe(0);
  expect(JSON.parse(told.stdout).ids).toEqual(golden.greedy.slice(0, 16));
  expect(told.stderr).toContain(note);
}

describe("without native kernels", () => {
  test("the command runs on WebAssembly, and says why", async () => {
    const [native, wasm, reference] = await attempts();
    expect(native).toEqual(["native", "failed", expect.stringContaining("neither a build nor the package")]);
    expect(wasm!.slice(0, 2)).toEqual(["wasm", "loaded"]);
    expect(reference!.slice(0, 2)).toEqual(["reference", "not tried"]);
    await expectGreedyTokens("on the WebAssembly kernels");
  });

  test("a library of another machine is the same as none", async () => {
    await mkdir(join(folder, "dist/native"), { recursive: true });
    await writeFile(join(folder, "dist/native", library), "of another machine");
    const [native, wasm] = await attempts();
    expect(native).toEqual(["native", "failed", expect.stringContaining(library)]);
    expect(wasm!.slice(0, 2)).toEqual(["wasm", "loaded"]);
  });

  test("with no WebAssembly either, the reference kernels compute, and it is said", async () => {
    await rm(join(folder, "dist/wasm"), { recursive: true });
    expect((await attempts()).map(([, state]) => state)).toEqual(["failed", "failed", "loaded"]);
    await expectGreedyTokens("on the reference kernels");
  });
});
