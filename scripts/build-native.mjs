// Builds dist/native/conclave-<platform>-<arch>.node with the machine's C++ compiler: native/isa.cc once for each
// instruction set, the pool and the N-API shim, linked into one library. With no compiler it says so and does nothing:
// Conclave then runs on WebAssembly.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { include_dir as napiHeaders } from "node-api-headers";
import { isCurrent, stamp, writeAbiHeader } from "./build-inputs.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

// Best first. "wide" is AVX-512's logic (16 floats a vector) on AVX2 registers: it lets a machine without AVX-512 test it,
// and is never chosen by itself.
const isasOf = {
  x64: {
    avx512: [
      "-DCV_WIDTH=16",
      "-mavx512f",
      "-mavx512bw",
      "-mavx512vl",
      "-mavx512dq",
      "-mfma",
      "-mf16c",
      "-mprefer-vector-width=512",
    ],
    avx2: ["-DCV_WIDTH=8", "-mavx2", "-mfma", "-mf16c"],
    sse2: ["-DCV_WIDTH=4"],
    wide: ["-DCV_WIDTH=16", "-mavx2", "-mfma", "-mf16c"],
  },
  arm64: { neon: ["-DCV_WIDTH=4"] },
};

const common = [
  "-std=c++17",
  "-O2",
  "-fPIC",
  "-fvisibility=hidden",
  "-fno-strict-aliasing",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-Wall",
  "-Wextra",
  "-Wno-psabi",
];

function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  return candidates.find((name) => spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0);
}

/** Runs commands, at most `limit` at a time; rejects with the first failure's output. */
async function runAll(commands, limit) {
  const queue = [...commands];
  const runOne = ([program, ...args]) =>
    new Promise((resolve, reject) => {
      const child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      child.stdout.on("data", (text) => {
        output += text;
      });
      child.stderr.on("data", (text) => {
        output += text;
      });
      child.on("error", reject);
      child.on("close", (code) => {
        if (code !== 0) reject(new Error(`${program} ${args.join(" ")}\n${output}`));
        else resolve(process.stderr.write(output));
      });
    });
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) await runOne(next);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}

/**
 * Builds the native kernels where this machine can. `extraFlags` (CONCLAVE_CXXFLAGS) go to every command, sanitizers for
 * instance. @returns what happened: { built, file?, reason, seconds }
 */
export async function buildNative({
  extraFlags = process.env.CONCLAVE_CXXFLAGS?.split(" ").filter(Boolean) ?? [],
} = {}) {
  const started = performance.now();
  const result = (built, reason, file) => ({
    built,
    reason,
    file,
    seconds: (performance.now() - started) / 1000,
  });
  const isas = isasOf[process.arch];
  if (!isas || process.platform === "win32")
    return result(false, `native kernels are not made for ${process.platform}-${process.arch}`);
  const compiler = findCompiler();
  if (!compiler) return result(false, `no C++ compiler found (${process.env.CXX ?? "c++, g++, clang++"})`);

  const file = `dist/native/conclave-${process.platform}-${process.arch}.node`;
  const inputs = stamp([compiler, ...common, ...extraFlags, JSON.stringify(isas)]);
  if (isCurrent(file, inputs)) return result(true, "already built", file);

  const objects = "build/native";
  rmSync(join(root, objects), { recursive: true, force: true });
  for (const folder of [objects, "dist/native"]) mkdirSync(join(root, folder), { recursive: true });
  await writeAbiHeader();

  const flags = [...common, ...extraFlags, "-Ibuild"];
  const kernels = Object.entries(isas).map(([isa, own]) => [
    compiler,
    ...flags,
    "-fno-exceptions",
    "-fno-rtti",
    `-DCV_ISA=${isa}`,
    ...own,
    "-c",
    "native/isa.cc",
    "-o",
    `${objects}/${isa}.o`,
  ]);
  const isaList = `-DCV_ISAS=${Object.keys(isas)
    .map((isa) => `CV_X(${isa})`)
    .join(" ")}`;
  const shims = ["pool_native", "napi"].map((name) => [
    compiler,
    ...flags,
    `-I${napiHeaders}`,
    isaList,
    "-c",
    `native/${name}.cc`,
    "-o",
    `${objects}/${name}.o`,
  ]);
  const commands = [...kernels, ...shims];
  await runAll(commands, availableParallelism());
  const link =
    process.platform === "darwin"
      ? ["-bundle", "-undefined", "dynamic_lookup"]
      : ["-shared", "-pthread", "-static-libgcc", "-static-libstdc++", "-Wl,-z,nodelete"];
  await runAll(
    [[compiler, ...extraFlags, ...link, ...commands.map((c) => c.at(-1)), "-o", `${file}.new`]],
    1,
  );
  renameSync(join(root, `${file}.new`), join(root, file));
  inputs.write(file);
  return result(true, `built with ${compiler} for ${Object.keys(isas).join(", ")}`, file);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { built, reason, seconds } = await buildNative();
  console.log(
    `native kernels: ${built ? "" : "not built, WebAssembly will be used: "}${reason} (${seconds.toFixed(1)} s)`,
  );
}
