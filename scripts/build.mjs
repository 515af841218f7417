// Builds dist/: JavaScript and types (tsdown), native kernels (a C++ compiler, if there is one) and wasm kernels. Each part is
// skipped when its inputs have not changed.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./install.mjs";
import { isCurrent, stamp } from "./stamp.mjs";

function buildTypeScript() {
  const inputs = stamp(["src", "tsdown.config.ts", "package.json", "package-lock.json"]);
  const made = "dist/cli/main.js";
  if (isCurrent(made, inputs)) return Promise.resolve();
  const bin = join(root, "node_modules/tsdown/dist/run.mjs");
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, "--logLevel", "warn"], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    // What it says is of interest only when it fails: on Node 20 it warns at every run that its next version will not support it.
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
    child.on("exit", (code) => {
      if (code !== 0) return reject(new Error(`tsdown failed\n${said}`));
      inputs.write(made);
      resolve();
    });
  });
}

/**
 * Builds everything, or with `only: "to-run"` what this machine needs: native kernels for the best instruction set
 * that it runs, and WebAssembly (minutes of compiling) only where the native ones could not be made, in the form that every engine runs.
 */
export async function build({ only = "everything" } = {}) {
  const began = performance.now();
  const toRun = only === "to-run";
  const { buildNative } = await import("./build-native.mjs");
  const { buildWasm } = await import("./build-wasm.mjs");
  await buildTypeScript();
  const native = await buildNative({ only });
  console.error(native.line);
  if (native.there && toRun)
    console.error(
      "wasm kernels: not needed here (npm run build makes them, and the native ones for every instruction set)",
    );
  else console.error(await buildWasm(toRun ? ["simd128"] : undefined));
  return { seconds: (performance.now() - began) / 1000, native: native.there };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await build().catch((error) => {
    console.error(`Build failed: ${error.message}`);
    process.exit(1);
  });
}
