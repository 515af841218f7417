// Builds dist/: JavaScript and types (tsdown), native kernels (a C++ compiler, if there is one) and wasm kernels. Each part is
// skipped when its inputs have not changed.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./install.mjs";
import { upToDate, writeStamp } from "./stamp.mjs";

function buildTypeScript() {
  const inputs = ["src", "tsdown.config.ts", "package.json", "package-lock.json"];
  const stamp = upToDate("typescript", inputs, ["dist/cli/main.js", "dist/index.d.ts"]);
  if (!stamp.changed) return Promise.resolve();
  const bin = join(root, "node_modules/tsdown/dist/run.mjs");
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, "--logLevel", "warn"], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
    });
    child.on("exit", (code) => {
      if (code !== 0) return reject(new Error("tsdown failed"));
      writeStamp(stamp);
      resolve();
    });
  });
}

export async function build() {
  const began = performance.now();
  const { buildNative } = await import("./build-native.mjs");
  const { buildWasm } = await import("./build-wasm.mjs");
  const lines = [];
  await buildTypeScript();
  lines.push(await buildNative());
  lines.push(await buildWasm());
  for (const line of lines) if (line) console.error(line);
  return (performance.now() - began) / 1000;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await build().catch((error) => {
    console.error(`Build failed: ${error.message}`);
    process.exit(1);
  });
}
