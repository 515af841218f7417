// Bundles test files into plain JavaScript with test/platform/vitest.ts in vitest's place, for a Node that vitest cannot run on.
import { rmSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "tsdown";
import { root } from "../install.mjs";

const folder = "build/platform/tests";

/** Modules look for their fixtures, kernels and workers beside their source file: a bundle's place is another. */
const sourcePlaces = {
  name: "source-places",
  transform(code, id) {
    if (!id.startsWith(root) || id.includes("node_modules") || !code.includes("import.meta.url")) return null;
    return code.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(id).href));
  },
};

/** Bundles `files`, paths below the root. @returns the runner's path, and those of the bundled tests in the same order */
export async function bundleTests(files) {
  rmSync(join(root, folder), { recursive: true, force: true });
  const nameOf = (file) => basename(file, ".ts");
  await build({
    config: false,
    cwd: root,
    entry: Object.fromEntries(["test/platform/run.ts", ...files].map((file) => [nameOf(file), file])),
    outDir: folder,
    format: "esm",
    platform: "node",
    target: "es2023",
    dts: false,
    clean: false,
    logLevel: "warn",
    plugins: [sourcePlaces],
    alias: {
      vitest: join(root, "test/platform/vitest.ts"),
      "#threads": join(root, "src/kernels/threads.node.ts"),
    },
    outExtensions: () => ({ js: ".mjs" }),
  });
  const made = (file) => join(root, folder, `${nameOf(file)}.mjs`);
  return { runner: made("run.ts"), tests: files.map(made) };
}
