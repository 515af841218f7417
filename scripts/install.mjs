// Installs what package-lock.json asks for, once: a stamp in node_modules says for which lock file it was done.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stampFile = join(root, "node_modules", ".conclave-lock");

/** Stops with one line when this Node is too old to run anything else. */
export function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`Conclave needs Node 20.19 or newer; this is ${process.version}. Get one from nodejs.org.`);
  process.exit(1);
}

/** Installs dependencies if they are not there yet; returns the seconds it took. No package's install script is run. */
export function install() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === lock) return 0;
  console.error("Installing dependencies (npm ci) ...");
  const began = performance.now();
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const run = spawnSync(npm, args, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (run.status !== 0) {
    console.error(
      "npm ci failed (see above). With no network, put node_modules in place by hand and run again.",
    );
    process.exit(1);
  }
  writeFileSync(stampFile, lock);
  return (performance.now() - began) / 1000;
}
