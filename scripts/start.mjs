// `npm start`: installs, builds, and trains the default preset (or whatever train options follow `--`).
import { spawn } from "node:child_process";
import { join } from "node:path";
import { install, requireNode, root } from "./install.mjs";

requireNode();
const installSeconds = install();
const { build } = await import("./build.mjs");
const built = await build({ only: "to-run" }).catch((error) => {
  console.error(`Build failed: ${error.message}`);
  process.exit(1);
});
console.error(
  `Ready: installed in ${installSeconds.toFixed(0)} s, built in ${built.seconds.toFixed(0)} s.\n`,
);

const cli = join(root, "dist/cli/main.js");
const given = process.argv.slice(2);
// WebAssembly computes at about half the native rate (docs/log.md); the default run is to end within five minutes there too.
const wasmSteps = 350;
if (!built.native && given.length === 0) {
  console.error(
    `On WebAssembly the default run is ${wasmSteps} steps; npm start -- --steps 550 does all of it.\n`,
  );
  given.push("--steps", String(wasmSteps));
}
const child = spawn(process.execPath, [cli, "train", ...given], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, CONCLAVE_INSTALL_SECONDS: String(installSeconds + built.seconds) },
});
// Ctrl-C reaches the child too; it saves and says how to resume, so this process only waits for it.
for (const signal of ["SIGINT", "SIGTERM"])
  process.on(signal, () => signal === "SIGTERM" && child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
