// What both kernel builds share: the generated header, and what they are made from.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { header, readAbi } from "./abi.mjs";
import { root } from "./install.mjs";
import { stamp } from "./stamp.mjs";

/** Writes build/abi.h from src/kernels/abi.ts. */
export async function writeAbiHeader() {
  mkdirSync(join(root, "build"), { recursive: true });
  writeFileSync(join(root, "build/abi.h"), header(await readAbi()));
}

/** The stamp of every kernel source, the build scripts and `extra` (flags, compiler). */
export function kernelStamp(extra) {
  const scripts = ["abi", "build-inputs", "build-native", "build-wasm"].map((name) => `scripts/${name}.mjs`);
  return stamp(["native", "src/kernels/abi.ts", ...scripts], extra);
}
