// `npm test`: installs, builds, runs every test, and ends with the plain line `N passed, N failed, N skipped`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { install, requireNode, root } from "./install.mjs";

requireNode();
install();
const { build } = await import("./build.mjs");
await build().catch((error) => {
  console.error(`Build failed: ${error.message}`);
  process.exit(1);
});

const folder = mkdtempSync(join(tmpdir(), "conclave-test-"));
const results = join(folder, "results.json");
const vitest = join(root, "node_modules/vitest/vitest.mjs");
const args = [
  vitest,
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${results}`,
  ...process.argv.slice(2),
];
const run = spawnSync(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
let summary;
try {
  summary = JSON.parse(readFileSync(results, "utf8"));
} catch {
  console.error("The test runner wrote no results.");
  process.exit(1);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const broken = summary.testResults.filter(
  (file) => file.status === "failed" && file.assertionResults.length === 0,
).length;
const failed = summary.numFailedTests + broken;
console.log(
  `${summary.numPassedTests} passed, ${failed} failed, ${summary.numPendingTests + summary.numTodoTests} skipped`,
);
process.exit(run.status === 0 && failed === 0 ? 0 : 1);
