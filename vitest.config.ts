import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: { "#threads": fileURLToPath(new URL("./src/kernels/threads.node.ts", import.meta.url)) },
  },
  test: {
    env: { NO_COLOR: "1" }, // commands that are tested would colour what they say where CI is set
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
