import { defineConfig } from "tsdown";

export default defineConfig({
  entry: [
    "src/*.ts",
    "src/*/index.ts",
    "src/cli/main.ts",
    "src/formats/files.ts",
    "src/cli/bench/workloads.ts",
    "src/kernels/threads.*.ts",
    "!src/**/*.test.ts",
  ],
  format: "esm",
  platform: "neutral",
  target: "es2023",
  unbundle: true,
  clean: false,
  dts: { oxc: true },
  deps: { neverBundle: [/^#/, /^node:/] },
  outExtensions: () => ({ js: ".js", dts: ".d.ts" }),
});
