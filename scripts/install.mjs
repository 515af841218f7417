// Installs what package-lock.json asks for, unless it is there: npm itself writes down in node_modules what it put there.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const record = join(root, "node_modules", ".package-lock.json");

/** Stops with one line when this Node is too old to run anything else. */
export function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`Conclave needs Node 20.19 or newer; this is ${process.version}. Get one from nodejs.org.`);
  process.exit(1);
}

function isInstalled() {
  if (!existsSync(record)) return false;
  const packagesIn = (file) => JSON.parse(readFileSync(file, "utf8")).packages;
  const there = packagesIn(record);
  const wanted = Object.entries(packagesIn(join(root, "package-lock.json")));
  return wanted.every(
    ([path, { version, optional, devOptional }]) =>
      path === "" || optional || devOptional || there[path]?.version === version, // optional ones may be for other machines
  );
}

/** Installs dependencies if they are not there yet; returns the seconds it took. No package's install script is run. */
export function install() {
  if (isInstalled()) return 0;
  console.error("Installing dependencies (npm ci) ...");
  const began = performance.now();
  rmSync(record, { force: true }); // an install that is cut short must not look whole
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const run = spawnSync(npm, args, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (run.status !== 0) {
    const why = run.error ? `npm does not start (${run.error.message})` : "npm ci failed (see above)";
    console.error(
      `${why}. With no network, copy node_modules from a machine where it succeeded and run again.`,
    );
    process.exit(1);
  }
  return (performance.now() - began) / 1000;
}
