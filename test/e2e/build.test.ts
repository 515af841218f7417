/** Which instruction sets the native build compiles, with a compiler that only writes down what it is asked. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const checkout = mkdtempSync(join(tmpdir(), "conclave-build-"));
const compiler = join(checkout, "compiler");
const log = join(checkout, "log");
cpSync(join(root, "scripts"), join(checkout, "scripts"), { recursive: true });
cpSync(join(root, "native"), join(checkout, "native"), { recursive: true });
mkdirSync(join(checkout, "src/kernels"), { recursive: true });
cpSync(join(root, "src/kernels/abi.ts"), join(checkout, "src/kernels/abi.ts"));
symlinkSync(join(root, "node_modules"), join(checkout, "node_modules"));
afterAll(() => rmSync(checkout, { recursive: true }));

/** Says of the machine that it runs `sets`. */
function writeCompiler(sets: readonly string[]): void {
  rmSync(join(checkout, "build"), { recursive: true, force: true });
  const program = join(checkout, "machine");
  writeFileSync(program, `#!/bin/sh\nprintf '${sets.join("\\n")}\\n'\n`);
  chmodSync(program, 0o755);
  writeFileSync(
    compiler,
    `#!/bin/sh
for last; do :; done
case "$*" in *machine.cc*) exec cp ${program} "$last";; esac
for word; do case "$word" in -DCV_ISA=*) echo "\${word#-DCV_ISA=}" >> ${log};; esac; done
[ "$last" = /dev/null ] || : > "$last"
`,
  );
  chmodSync(compiler, 0o755);
}

/** The sets that a build compiles. */
function compiled(only: "to-run" | "everything"): string[] {
  writeFileSync(log, "");
  const script = `await (await import("./scripts/build-native.mjs")).buildNative({ only: "${only}" })`;
  const env = { ...process.env, CXX: compiler, CONCLAVE_BUILD_ISAS: undefined };
  execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: checkout, env });
  return readFileSync(log, "utf8").split("\n").filter(Boolean).sort();
}

test.runIf(process.arch === "x64" && process.platform !== "win32")(
  "to run, the machine's best set and what it stands on; for everything, all of them, and then none again",
  () => {
    writeCompiler(["avx2", "sse2"]);
    expect(compiled("to-run")).toEqual(["avx2"]);
    expect(compiled("to-run")).toEqual([]);
    writeCompiler(["amx", "avx512", "avx2", "sse2"]);
    expect(compiled("to-run")).toEqual(["amx", "avx512"]);
    expect(compiled("everything")).toEqual([
      "amx",
      "amx_emulated",
      "avx2",
      "avx512",
      "avx512_bf16",
      "bf16_emulated",
      "sse2",
      "wide",
    ]);
    expect(compiled("to-run")).toEqual([]);
  },
);
