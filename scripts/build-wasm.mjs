// Builds dist/wasm/conclave-{simd128,relaxed-simd}.wasm with @yowasp/clang: the same kernel sources as native, no libc, on
// an imported shared memory.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { kernelStamp, writeAbiHeader } from "./build-inputs.mjs";
import { root } from "./install.mjs";
import { isCurrent } from "./stamp.mjs";

const isas = {
  simd128: ["-DCV_ISA=simd128", "-msimd128"],
  "relaxed-simd": ["-DCV_ISA=relaxed_simd", "-msimd128", "-mrelaxed-simd"],
};
const common = [
  "--target=wasm32-wasip1",
  "-std=c++17",
  "-O2",
  "-DCV_WIDTH=4",
  "-matomics",
  "-mbulk-memory",
  "-nostdlib",
  "-fno-exceptions",
  "-fno-rtti",
  "-fno-strict-aliasing",
  "-fno-math-errno",
  "-fno-threadsafe-statics",
  "-fvisibility=hidden",
  "-Wall",
  "-Wextra",
  "-Inative",
  "-Ibuild",
];
const link = [
  "-Wl,--no-entry",
  "-Wl,--import-memory",
  "-Wl,--shared-memory",
  "-Wl,--max-memory=4294967296",
  "-Wl,-z,stack-size=1048576",
  "-Wl,--export=__stack_pointer",
  "-Wl,--export=__heap_base",
  "-Wl,--strip-all",
];
const units = ["native/isa.cc", "native/pool_wasm.cc", "native/wasm.cc"];

/** Builds the wasm kernels of `names`. @returns one line that says what happened */
export async function buildWasm(names = Object.keys(isas)) {
  const started = performance.now();
  const files = names.map((isa) => `dist/wasm/conclave-${isa}.wasm`);
  const inputs = kernelStamp([...common, ...link, JSON.stringify(isas)]);
  if (files.every((file) => isCurrent(file, inputs))) return "wasm kernels: already built";

  mkdirSync(join(root, "dist/wasm"), { recursive: true });
  await writeAbiHeader();
  const tree = {
    native: Object.fromEntries(
      readdirSync(join(root, "native")).map((name) => [name, readFileSync(join(root, "native", name))]),
    ),
    build: { "abi.h": readFileSync(join(root, "build/abi.h")) },
  };
  // One after the other: most of the time is the compiler, itself WebAssembly, warming up.
  const { runClang } = await import("@yowasp/clang");
  // Loads the compiler in silence; left to its first use, it reports its progress whatever it is told.
  await runClang(null, {}, { fetchProgress: () => {} });
  for (const [index, name] of names.entries()) {
    const bytes = await compile(runClang, tree, isas[name]);
    const file = join(root, files[index]);
    writeFileSync(`${file}.new`, bytes);
    renameSync(`${file}.new`, file);
    inputs.write(files[index]);
  }
  const seconds = (performance.now() - started) / 1000;
  return `wasm kernels: built for ${names.join(", ")} (${seconds.toFixed(1)} s)`;
}

async function compile(runClang, tree, own) {
  let messages = "";
  const stderr = (bytes) => {
    if (bytes) messages += Buffer.from(bytes).toString();
  };
  try {
    const out = await runClang(
      ["clang++", ...common, ...own, ...units, ...link, "-o", "kernels.wasm"],
      tree,
      {
        stdout: stderr,
        stderr,
      },
    );
    if (messages) process.stderr.write(messages);
    return out["kernels.wasm"];
  } catch (cause) {
    throw new Error(`wasm kernels do not compile\n${messages}`, { cause });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  console.log(await buildWasm());
}
