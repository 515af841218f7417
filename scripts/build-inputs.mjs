// What both kernel builds share: the generated header, and a stamp of all inputs so that unchanged sources are not built again.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { header, readAbi } from "./abi.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Writes build/abi.h from src/kernels/abi.ts. */
export async function writeAbiHeader() {
  mkdirSync(join(root, "build"), { recursive: true });
  writeFileSync(join(root, "build/abi.h"), header(await readAbi()));
}

/** A hash of every kernel source, the build scripts and `extra` (flags, compiler). */
export function stamp(extra) {
  const hash = createHash("sha256");
  for (const text of extra) hash.update(`${text}\n`);
  const sources = readdirSync(join(root, "native"))
    .sort()
    .map((name) => `native/${name}`);
  const scripts = readdirSync(join(root, "scripts"))
    .filter((name) => /^(abi|build-(inputs|native|wasm))\.mjs$/.test(name))
    .sort();
  for (const file of [...sources, "src/kernels/abi.ts", ...scripts.map((name) => `scripts/${name}`)]) {
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  const value = hash.digest("hex");
  return { value, write: (file) => writeFileSync(stampOf(file), value) };
}

/** Whether `file` was made from these inputs. */
export function isCurrent(file, inputs) {
  return (
    existsSync(join(root, file)) &&
    existsSync(stampOf(file)) &&
    readFileSync(stampOf(file), "utf8") === inputs.value
  );
}

const stampOf = (file) => join(root, "build", `${file.replaceAll("/", "-")}.stamp`);
