// `npm run platform:node`: runs the tests on every Node that Conclave supports and npm carries. Arguments: majors ("24 26") in place of
// all, and --all for every test file in place of the list below.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { install, requireNode, root } from "./install.mjs";

requireNode();
install();
const { build } = await import("./build.mjs");
const { nodeRuntime } = await import("./platform/runtime.mjs");

const ranges = ["20.19", "22", "24", "26"];
// What depends on the engine and on Node's own modules: kernels and their threads, files, the command. Pure TypeScript is left out.
const files = [
  "test/conformance",
  "test/e2e",
  "src/kernels",
  "src/formats",
  "src/cli",
  "src/infer",
  "src/train/loop.test.ts",
];

const given = process.argv.slice(2);
const majors = given.filter((word) => /^\d+$/.test(word));
const chosen = majors.length > 0 ? ranges.filter((range) => majors.includes(range.split(".")[0])) : ranges;

/** Runs vitest on `binary`. @returns counts, and the reasons of the skipped; null where it wrote no results */
function runTests(binary) {
  const folder = mkdtempSync(join(tmpdir(), "conclave-platform-"));
  const output = join(folder, "results.json");
  const args = ["run", "--reporter=dot", "--reporter=json", `--outputFile.json=${output}`];
  // npm and npx that a test starts are this Node's as well.
  const env = { ...process.env, PATH: `${dirname(binary)}:${process.env.PATH}` };
  const command = [
    join(root, "node_modules/vitest/vitest.mjs"),
    ...args,
    ...(given.includes("--all") ? [] : files),
  ];
  spawnSync(binary, command, { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
  try {
    return JSON.parse(readFileSync(output, "utf8"));
  } catch {
    return null;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await build();
const lines = [];
let failed = false;
for (const range of chosen) {
  const runtime = nodeRuntime(`${process.platform}-${process.arch}`, range);
  if (runtime.error) {
    lines.push(runtime.error);
    failed = true;
    continue;
  }
  console.error(`== Node ${runtime.version}, ${availableParallelism()} cores`);
  const results = runTests(runtime.binary);
  failed ||= results === null || !results.success;
  const tests = results?.testResults.flatMap((file) => file.assertionResults) ?? [];
  const skipped = tests.filter(({ status }) => status !== "passed" && status !== "failed");
  const counts = results
    ? `${results.numPassedTests} passed, ${results.numFailedTests} failed, ${skipped.length} skipped`
    : "the test runner wrote no results";
  lines.push(`Node ${runtime.version}: ${counts}`);
  for (const { fullName } of skipped) lines.push(`  skipped: ${fullName}`);
  for (const { fullName } of tests.filter(({ status }) => status === "failed"))
    lines.push(`  FAILED: ${fullName}`);
}
console.log(lines.join("\n"));
process.exit(failed ? 1 : 0);
