// Node runtimes of other versions and processors, as npm carries them: packages node-<platform>-<arch>, a binary each.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../install.mjs";

/**
 * The newest Node of `range` ("22", "20.19") for `target` ("linux-x64"), fetched into build/runtimes once.
 * @returns its binary and its version, or `error`, one line that says why it is not to be had
 */
export function nodeRuntime(target, range) {
  const name = `node-${target}`;
  const folder = join(root, "build/runtimes", `${target}-${range}`);
  const home = join(folder, "node_modules", name);
  const binary = join(home, "bin/node");
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true }));
    // --force: npm refuses packages for another processor. No package's install script is run.
    const flags = ["--force", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    const run = spawnSync("npm", ["install", ...flags, `${name}@${range}`], {
      cwd: folder,
      encoding: "utf8",
    });
    if (!existsSync(binary)) {
      const [first] = (run.stderr || String(run.error ?? "npm wrote no reason")).split("\n");
      return { error: `${name}@${range} is not to be had: ${first}` };
    }
  }
  const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  return { binary, version };
}
