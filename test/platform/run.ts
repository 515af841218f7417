/**
 * Runs bundled test files one after the other in this process: `node run.mjs FILE...`. scripts/platform-arm64.mjs makes the bundle.
 * Prints a line for each file and one for all of them; exit code 1 if a test failed.
 */
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { abi, type KernelName } from "../../src/kernels/abi.ts";
import { listImplementations } from "../../src/kernels/select.ts";
import { casesOf } from "../conformance/cases/index.ts";
import { type Results, runDeclared } from "./vitest.ts";

const cases = (Object.keys(abi) as KernelName[]).reduce((sum, kernel) => sum + casesOf(kernel).length, 0);
console.log(`Node ${process.version} ${process.platform}-${process.arch}`);
for (const { label, skip } of await listImplementations())
  console.log(`${label}: ${skip ?? `${cases} kernel cases`}`);

const total: Results = { passed: 0, failed: 0, skipped: 0 };
for (const file of process.argv.slice(2)) {
  const began = performance.now();
  await import(pathToFileURL(resolve(file)).href);
  const results = await runDeclared();
  for (const key of ["passed", "failed", "skipped"] as const) total[key] += results[key];
  const { passed, failed, skipped } = results;
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(
    `${basename(file, ".mjs")}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)`,
  );
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);
