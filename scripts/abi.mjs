// Writes build/abi.h, the C++ side of src/kernels/abi.ts: a struct of doubles a kernel, in the table's order.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** The abi table, read from its TypeScript source. */
export async function readAbi() {
  const source = readFileSync(join(root, "src/kernels/abi.ts"), "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  return await import(`data:text/javascript;base64,${Buffer.from(outputText).toString("base64")}`);
}

const cType = {
  buf: "Buf",
  "buf?": "Buf",
  bufs: "Bufs",
  int: "Int",
  num: "double",
  flag: "Flag",
  dims: "Dims",
};
const snake = (name) => name.replace(/[A-Z]/g, (c) => "_" + c.toLowerCase());
const pascal = (name) => name[0].toUpperCase() + name.slice(1);

export function header({ abi, abiHash, dtypes }) {
  const lines = [
    "// Written by scripts/abi.mjs from src/kernels/abi.ts. Do not edit.",
    "#pragma once",
    "#include <stdint.h>",
    "",
    "// Always inlined: a copy shared by the linker could carry one instruction set's code into another's kernels.",
    "#define CV_MEMBER __attribute__((always_inline)) inline",
    "",
    "namespace cv {",
    `constexpr uint32_t kAbiHash = ${abiHash}u;`,
    `enum class DType { ${dtypes.join(", ")} };`,
    "struct Int { double v; CV_MEMBER operator int64_t() const { return (int64_t)v; } };",
    "struct Flag { double v; CV_MEMBER operator bool() const { return v != 0; } };",
    "struct Buf {",
    "  double address, type;",
    "  template <class T> CV_MEMBER T* as() const { return (T*)(uintptr_t)address; }",
    "  CV_MEMBER float* f32() const { return as<float>(); }",
    "  CV_MEMBER uint16_t* bf16() const { return as<uint16_t>(); }",
    "  CV_MEMBER int32_t* i32() const { return as<int32_t>(); }",
    "  CV_MEMBER DType dtype() const { return (DType)(int)type; }",
    "  CV_MEMBER explicit operator bool() const { return address != 0; }",
    "};",
    "struct Bufs {",
    "  double address, count;",
    "  CV_MEMBER int64_t size() const { return (int64_t)count; }",
    "  CV_MEMBER const Buf& operator[](int64_t i) const { return ((const Buf*)(uintptr_t)address)[i]; }",
    "};",
    "struct Dims { double d[4]; CV_MEMBER int64_t operator[](int i) const { return (int64_t)d[i]; } };",
  ];
  for (const [kernel, args] of Object.entries(abi)) {
    const fields = [];
    for (const [arg, kind] of Object.entries(args)) {
      if (Array.isArray(kind)) {
        const type = `${pascal(kernel)}${pascal(arg)}`;
        lines.push(`enum class ${type} { ${kind.map((k) => k + "_").join(", ")} };`);
        fields.push(
          `  struct { double v; CV_MEMBER operator ${type}() const { return (${type})(int)v; } } ${snake(arg)};`,
        );
      } else fields.push(`  ${cType[kind]} ${snake(arg)};`);
    }
    lines.push(`struct ${pascal(kernel)}Args {`, ...fields, "};");
  }
  lines.push("#define CV_KERNELS(X) \\");
  for (const kernel of Object.keys(abi)) lines.push(`  X(${snake(kernel)}, ${pascal(kernel)}Args) \\`);
  lines.push("", "}  // namespace cv", "");
  return lines.join("\n");
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  mkdirSync(join(root, "build"), { recursive: true });
  writeFileSync(join(root, "build/abi.h"), header(await readAbi()));
}
