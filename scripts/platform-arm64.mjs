// `npm run platform:arm64`: cross-compiles the NEON kernels and runs the conformance tests on them, with Node for arm64 under qemu.
// For Debian or Ubuntu on x86-64; what is missing is installed with apt where this is root. Arguments: test files in place of the list
// below. An emulator shows whether results are right; it shows neither speed nor what a weaker memory order does to threads.
import { spawnSync } from "node:child_process";
import { install, requireNode, root } from "./install.mjs";

requireNode();
install();
const { buildNative } = await import("./build-native.mjs");
const { bundleTests } = await import("./platform/bundle.mjs");
const { nodeRuntime } = await import("./platform/runtime.mjs");

const nodeRange = "22";
const emulator = "qemu-aarch64-static";
const libraries = "/usr/aarch64-linux-gnu"; // of libc6-arm64-cross and libstdc++6-arm64-cross
const packages = { "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", [emulator]: "qemu-user-static" };

// What uses kernels, but for whole training runs and the command, which would start further processes.
const files = [
  "test/conformance/kernels.test.ts",
  "test/conformance/golden.test.ts",
  "test/conformance/ops-golden.test.ts",
  "test/conformance/gradients.test.ts",
  "test/conformance/generation.test.ts",
  "test/conformance/gguf-models.test.ts",
  "test/conformance/cached.test.ts",
  "src/kernels/native.test.ts",
  "src/kernels/mapping.test.ts",
  "src/kernels/philox.test.ts",
  "src/infer/stepper.test.ts",
  "src/train/recorded-passes.test.ts",
];

function stop(what) {
  console.error(what);
  process.exit(1);
}

const starts = (program) => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;

function installPrograms() {
  const missing = Object.keys(packages).filter((program) => !starts(program));
  if (missing.length === 0) return;
  const wanted = missing.map((program) => packages[program]);
  if (process.getuid?.() !== 0)
    stop(`missing: ${missing.join(", ")}; run: apt-get install ${wanted.join(" ")}`);
  console.error(`Installing ${wanted.join(", ")} ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [
    ["update", "-qq"],
    ["install", "-qq", "-y", "--no-install-recommends", ...wanted],
  ]) {
    const run = spawnSync("apt-get", args, { env, stdio: ["ignore", "ignore", "inherit"] });
    if (run.status !== 0) stop(`apt-get ${args.join(" ")} failed`);
  }
}

if (process.platform !== "linux") stop("this script needs Linux (Debian or Ubuntu)");
installPrograms();
const native = await buildNative({ target: "linux-arm64" });
console.error(native.line);
if (!native.there) process.exit(1);
const runtime = nodeRuntime("linux-arm64", nodeRange);
if (runtime.error) stop(runtime.error);
const asked = process.argv.slice(2);
const { runner, tests } = await bundleTests(asked.length > 0 ? asked : files);

const env = { ...process.env, CONCLAVE_KERNELS: "", CONCLAVE_ISA: "", CONCLAVE_THREADS: "" };
const args = ["-L", libraries, runtime.binary, runner, ...tests];
const { status } = spawnSync(emulator, args, { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
process.exit(status ?? 1);
