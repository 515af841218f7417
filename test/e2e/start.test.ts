/** What a short command loads, seen by a hook of Node's loader. A second spent on libraries that nobody uses is felt at every call. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = new URL("../../", import.meta.url);
const cli = new URL("dist/cli/main.js", root).pathname;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-start-"));
  // The hooks run on a thread of their own, so each file is written down at once.
  await writeFile(
    join(folder, "hooks.mjs"),
    `import { appendFileSync } from "node:fs";
    export async function load(url, context, next) {
      appendFileSync(new URL("loaded", import.meta.url), url + "\\n");
      return next(url, context);
    }`,
  );
  await writeFile(
    join(folder, "register.mjs"),
    `import { register } from "node:module"; register("./hooks.mjs", import.meta.url);`,
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** The modules that a call loads, within the repository, without those of Node. */
async function loadedBy(...args: string[]): Promise<string[]> {
  await writeFile(join(folder, "loaded"), "");
  const hook = pathToFileURL(join(folder, "register.mjs")).href;
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", hook, cli, ...args]);
  expect(stdout).not.toBe("");
  const urls = (await readFile(join(folder, "loaded"), "utf8")).trim().split("\n");
  return urls.filter((url) => url.startsWith(root.href)).map((url) => url.slice(root.href.length));
}

/** The definitions of the verbs and what they print with; the code that does the work is not among them. */
const light = [
  /^dist\/cli\/(main|output|options|sampling-flags|chat-help|usage|version)\.js$/,
  /^dist\/cli\/commands\/[\w-]+\.js$/,
  /^dist\/cli\/bench\/(arguments|train-models)\.js$/,
  /^dist\/(tensor\/random|kernels\/philox)\.js$/, // what a seed may be; neither imports anything heavy
  /^dist\/(errors|package|train\/presets|models\/published|models\/family-names)\.js$/,
  /^dist\/formats\/(files\.read|json|source)\.js$/,
  /^node_modules\/(commander|picocolors)\//,
];

const counting = [...light, /^dist\/cli\/params\.js$/, /^dist\/models\/(counts|shape)\.js$/];

test.each([
  [["--version"], light],
  [["--help"], light],
  [["generate", "--help"], light],
  [["bench", "train", "--help"], light],
  [["params", "mixtral-8x7b"], counting],
  [["params", "gpt-4", "--json"], counting],
])("%j loads neither models, kernels, tokenizers nor schemas", async (args, allowed) => {
  const loaded = await loadedBy(...args);
  expect(loaded).toContain("dist/cli/main.js");
  expect(loaded.filter((path) => !allowed.some((pattern) => pattern.test(path)))).toEqual([]);
});

test("the hook sees what a verb loads when it runs", async () => {
  const loaded = await loadedBy("doctor", "--kernels", "reference");
  expect(loaded).toContain("dist/cli/doctor.js");
  expect(loaded).toContain("dist/tensor/index.js");
});
