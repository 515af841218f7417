// Builds dist/native/conclave-<platform>-<arch>.node with the machine's C++ compiler: native/isa.cc once for each
// instruction set, the pool and the N-API shim, linked into one library. With no compiler it says so and does nothing:
// Conclave then runs on WebAssembly.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { availableParallelism, devNull } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { include_dir as napiHeaders } from "node-api-headers";
import { kernelStamp, writeAbiHeader } from "./build-inputs.mjs";
import { root } from "./install.mjs";
import { isCurrent, stamp } from "./stamp.mjs";

const avx512 = [
  "-DCV_WIDTH=16",
  "-mavx512f",
  "-mavx512bw",
  "-mavx512vl",
  "-mavx512dq",
  "-mfma",
  "-mf16c",
  "-mprefer-vector-width=512",
];

const wide = ["-DCV_WIDTH=16", "-mavx2", "-mfma", "-mf16c"];

// Best first. "wide" is AVX-512's logic (16 floats a vector) on AVX2 registers, "amx_emulated" the matrix unit's in plain C++, and
// "bf16_emulated" that of AVX512_BF16: they let a machine without any of them test it, and are never chosen by themselves.
const isasOf = {
  x64: {
    amx: [...avx512, "-DCV_BASE=avx512", "-DCV_TILES=1", "-mamx-tile", "-mamx-bf16"],
    avx512_bf16: [...avx512, "-DCV_BASE=avx512", "-DCV_PAIRS=1", "-mavx512bf16"],
    avx512,
    avx2: ["-DCV_WIDTH=8", "-mavx2", "-mfma", "-mf16c"],
    sse2: ["-DCV_WIDTH=4"],
    wide,
    amx_emulated: ["-DCV_WIDTH=8", "-mavx2", "-mfma", "-mf16c", "-DCV_BASE=avx2", "-DCV_TILES=2"],
    bf16_emulated: [...wide, "-DCV_BASE=wide", "-DCV_PAIRS=1"],
  },
  arm64: { neon: ["-DCV_WIDTH=4"] },
};

const here = { platform: process.platform, arch: process.arch };
const nameOf = ({ platform, arch }) => `${platform}-${arch}`;

// As Debian names them. CXX names any other, and an option it needs goes into CONCLAVE_CXXFLAGS.
const crossCompilers = {
  "linux-arm64": ["aarch64-linux-gnu-g++"],
  "linux-x64": ["x86_64-linux-gnu-g++"],
};

/** A target by its name, "linux-arm64" for instance, as CONCLAVE_BUILD_TARGET and --target give it. */
function targetOf(name) {
  const [platform, arch, ...rest] = name.split("-");
  if (!platform || !arch || rest.length > 0) throw new Error(`"${name}" is no target; linux-arm64 is one`);
  return { platform, arch };
}

const testSets = ["wide", "amx_emulated", "bf16_emulated"];

function pick(isas, serves) {
  return Object.fromEntries(Object.entries(isas).filter(([isa]) => serves(isa)));
}

/** What an instruction set's library is made of: itself, and the set whose kernels it takes where it has none. */
function withBase(isas, isa) {
  const base = isas[isa].find((flag) => flag.startsWith("-DCV_BASE="))?.split("=")[1];
  return pick(isas, (name) => name === isa || name === base);
}

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

const objectsOf = (target) => (isCross(target) ? `build/native-${nameOf(target)}` : "build/native");

function compiles(compiler, source, flags) {
  const args = [...flags, "-x", "c++", "-c", "-", "-o", devNull];
  return spawnSync(compiler, args, { input: source, stdio: ["pipe", "ignore", "ignore"] }).status === 0;
}

// What the kernels are written in: GCC has it from version 12 on.
const shuffle = `typedef float v4f __attribute__((vector_size(16)));
v4f reversed(v4f x) { return __builtin_shufflevector(x, x, 3, 2, 1, 0); }
`;

const isCross = (target) => target.platform !== process.platform || target.arch !== process.arch;

/** The names under which a compiler for `target` is looked for. */
function compilerNames(target) {
  if (process.env.CXX) return [process.env.CXX];
  return isCross(target) ? (crossCompilers[nameOf(target)] ?? []) : ["c++", "g++", "clang++"];
}

function findCompiler(target = here) {
  return compilerNames(target).find((name) => compiles(name, shuffle, ["-std=c++17"]));
}

// The newest instructions: the assembler must know them too.
const newest = `#if defined(__AMX_BF16__)
void multiply() { asm volatile("tdpbf16ps %tmm6, %tmm4, %tmm0"); }
#elif defined(__AVX512BF16__)
void multiply() { asm volatile("vdpbf16ps %zmm6, %zmm4, %zmm0"); }
#endif
`;

/** Without the sets that the compiler, or its assembler, is too old to know. */
function knownIsas(compiler, isas) {
  return pick(isas, (isa) => compiles(compiler, newest, isas[isa]));
}

/**
 * Those that this machine runs, asked of a small program that makes the checks of the add-on (native/machine.h) and is kept; none where
 * it cannot be made or does not run.
 */
function isasRunHere(isas) {
  const program = "build/machine";
  const define = `-DCV_ISAS=${asList(isas)}`;
  const inputs = stamp(["native/machine.h", "native/machine.cc"], [define]);
  if (!isCurrent(program, inputs)) {
    const compiler = findCompiler();
    mkdirSync(join(root, "build"), { recursive: true });
    const args = ["-std=c++17", define, "native/machine.cc", "-o", program];
    if (!compiler || spawnSync(compiler, args, { cwd: root, stdio: "ignore" }).status !== 0) return {};
    inputs.write(program);
  }
  const { stdout } = spawnSync(join(root, program), { encoding: "utf8" });
  const names = stdout?.split("\n") ?? [];
  return pick(isas, (isa) => names.includes(isa));
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

/** The commands that make the object files in the folder `objects`; the last argument of each is its file. */
function compileCommands(compiler, isas, flags, objects) {
  const compile = (source, object, own) => {
    return [
      compiler,
      ...flags,
      "-Ibuild",
      ...own,
      "-c",
      `native/${source}.cc`,
      "-o",
      `${objects}/${object}.o`,
    ];
  };
  const kernels = Object.entries(isas).map(([isa, own]) =>
    compile("isa", isa, ["-fno-rtti", `-DCV_ISA=${isa}`, ...own]),
  );
  const shim = compile("napi", "napi", [`-I${napiHeaders}`, `-DCV_ISAS=${asList(isas)}`]);
  const host = ["pool_native", "queue", "file_map"].map((name) => compile(name, name, []));
  return [...kernels, ...host, shim];
}

const asList = (isas) =>
  Object.keys(isas)
    .map((isa) => `CV_X(${isa})`)
    .join(" ");

const linkFlagsFor = ({ platform }) =>
  platform === "darwin"
    ? ["-bundle", "-undefined", "dynamic_lookup"]
    : ["-shared", "-pthread", "-static-libgcc", "-static-libstdc++", "-Wl,-z,nodelete"];

/**
 * Builds the native kernels where this machine can: every instruction set, or with `only: "to-run"` the best that this machine runs, if
 * a library with all of them is not there already. CONCLAVE_CXXFLAGS go to every command, sanitizers for instance;
 * CONCLAVE_BUILD_ISAS names the instruction sets instead. A target that is not this machine (CONCLAVE_BUILD_TARGET=linux-arm64, or
 * --target linux-arm64) is built whole with its cross compiler, into the file that the loader looks for there.
 * @returns whether they are there now, and one line that says what happened
 */
export async function buildNative({ only = "everything", target: named } = {}) {
  const started = performance.now();
  const wanted = named ?? (only === "to-run" ? undefined : process.env.CONCLAVE_BUILD_TARGET);
  const target = wanted ? targetOf(wanted) : here;
  const objects = objectsOf(target);
  const file = `dist/native/conclave-${nameOf(target)}.node`;
  const without = (reason) => {
    rmSync(join(root, file), { force: true }); // one of older sources would be loaded in WebAssembly's stead
    const instead = isCross(target)
      ? `not built for ${nameOf(target)}`
      : "not built, WebAssembly will be used";
    return { there: false, line: `native kernels: ${instead}: ${reason}` };
  };
  const listed = process.env.CONCLAVE_BUILD_ISAS?.split(",");
  const every = isasOf[target.arch];
  if (!every || !["linux", "darwin"].includes(target.platform))
    return without(`they are not made for ${nameOf(target)}`);
  const isas = pick(every, (isa) => listed?.includes(isa) ?? true);
  const extra = process.env.CONCLAVE_CXXFLAGS?.split(" ").filter(Boolean) ?? [];
  const stampFor = (sets) =>
    kernelStamp([nameOf(target), process.env.CXX ?? "", ...common, ...extra, JSON.stringify(sets)]);
  const already = { there: true, line: "native kernels: already built" };
  if (isCurrent(file, stampFor(isas))) return already;
  // SSE2, which any of them runs, takes three times as long to compile as AVX2.
  const runnable =
    only === "to-run" && !listed && !isCross(target)
      ? isasRunHere(pick(isas, (isa) => !testSets.includes(isa)))
      : {};
  const bestOnly = Object.keys(runnable).length > 0;
  const inputs = stampFor(bestOnly ? { bestOf: runnable } : isas);
  if (bestOnly && isCurrent(file, inputs)) return already;
  const compiler = findCompiler(target);
  if (!compiler) {
    const names = compilerNames(target).join(", ") || "none is known, name one with CXX";
    return without(`no C++ compiler found, GCC 12 or clang (${names})`);
  }
  const known = knownIsas(compiler, bestOnly ? runnable : isas);
  const made = bestOnly ? withBase(known, Object.keys(known)[0]) : known;

  rmSync(join(root, objects), { recursive: true, force: true });
  for (const folder of [objects, "dist/native"]) mkdirSync(join(root, folder), { recursive: true });
  await writeAbiHeader();
  const commands = compileCommands(compiler, made, [...common, ...extra], objects);
  const linked = commands.map((command) => command.at(-1));
  try {
    await runAll(commands, availableParallelism());
    await runAll([[compiler, ...extra, ...linkFlagsFor(target), ...linked, "-o", `${file}.new`]], 1);
  } catch (error) {
    console.error(error.message);
    return without(`${compiler} failed, see above`);
  }
  // A process that has the old library loaded keeps it.
  renameSync(join(root, `${file}.new`), join(root, file));
  inputs.write(file);
  const seconds = (performance.now() - started) / 1000;
  const names = Object.keys(made).join(", ");
  const why = bestOnly ? ", for this machine alone" : "";
  const line = `native kernels: built with ${compiler} for ${names}${why} (${seconds.toFixed(1)} s)`;
  return { there: true, line };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const flag = process.argv.indexOf("--target");
  const { there, line } = await buildNative({ target: flag < 0 ? undefined : process.argv[flag + 1] });
  console.log(line);
  // A machine without a compiler has WebAssembly; a target that was asked for has nothing else.
  if (!there && (flag >= 0 || process.env.CONCLAVE_BUILD_TARGET)) process.exitCode = 1;
}
