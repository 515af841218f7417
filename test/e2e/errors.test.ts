/** The examples of docs/errors.md are provoked, and the messages and fixes that are printed compared with what it says. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConclaveError, type ErrorCode, errorCodes } from "../../src/errors.ts";
import { createNativeKernels } from "../../src/kernels/native.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { Device, matmul, softmax, sum, tensor } from "../../src/tensor/index.ts";

const cli = new URL("../../dist/cli/main.js", import.meta.url).pathname;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-errors-"));
  const words = ["The whale sees the ship.", "A storm follows the captain.", "No sailor fears the sea."];
  const text = Array.from({ length: 1500 }, (_, i) => words[(i * i) % 3] + i).join("\n");
  await writeFile(join(folder, "text.txt"), text);
  const trained = await conclave(
    "train",
    "--preset",
    "tiny",
    "--data",
    "text.txt",
    "--steps",
    "1",
    "--out",
    "run",
  );
  expect(trained.stderr).not.toContain("error:");
  await writeFile(join(folder, "empty.txt"), "");
  await writeFile(join(folder, "my.json"), '{"model": {"widht": 3}}');
  await writeFile(join(folder, "spec.json"), '{"experts": 4, "select": {"by": "token", "k": 5}}');
  await writeFile(join(folder, "logits.json"), '{"logits": [[1, 2, 3, 4]]}');
  for (const name of ["cut", "odd", "nan", "plain", "bare"])
    await cp(join(folder, "run"), join(folder, name), { recursive: true });
  const cut = Buffer.alloc(5008);
  cut.writeBigUInt64LE(8812n);
  await writeFile(join(folder, "cut/model.safetensors"), cut);
  await writeFile(join(folder, "odd/tokenizer.json"), "{}");
  const weights = await readFile(join(folder, "run/model.safetensors"));
  weights.fill(0xff, 8 + Number(weights.readBigUInt64LE(0))); // every float is NaN
  await writeFile(join(folder, "nan/model.safetensors"), weights);
  await rm(join(folder, "bare/tokenizer.json"));
  await mkdir(join(folder, "none"));
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

interface Told {
  readonly exit: number | null;
  readonly stderr: string;
}

function conclave(...args: string[]): Promise<Told> {
  const env = { ...process.env, HF_HUB_CACHE: join(folder, "hub"), HF_HUB_OFFLINE: "1" };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [cli, ...args], { cwd: folder, env }, (error, _, stderr) =>
      resolve({ exit: error ? Number(error.code) : 0, stderr }),
    );
    child.stdin!.end("hi\n");
  });
}

interface Shown {
  readonly exit: number | null;
  readonly message: string;
  readonly fix: string;
}

/** What stderr shows of an error, in the words of somebody who installed the package. */
function shown({ exit, stderr }: Told): Shown {
  const said = stderr.replaceAll(/node \S*main\.js/g, "conclave");
  const [, message = "", fix = ""] = /^error: (.*)\n(?:fix: (.*)\n)?$/m.exec(said) ?? [];
  return { exit, message, fix };
}

async function run(...args: string[]): Promise<Shown> {
  return shown(await conclave(...args));
}

/** What a library call throws. */
function thrown(body: () => unknown): Shown {
  try {
    body();
  } catch (error) {
    if (error instanceof ConclaveError)
      return { exit: error.exit, message: error.message, fix: error.remedy ?? "" };
    throw error;
  }
  throw new Error("nothing was thrown");
}

async function onFullDisk(): Promise<Shown> {
  const full = await open("/dev/full", "w");
  const child = spawn(process.execPath, [cli, "params", "gpt-4"], { stdio: ["ignore", full.fd, "pipe"] });
  let stderr = "";
  child.stderr!.on("data", (text) => {
    stderr += text;
  });
  const [exit] = await once(child, "close");
  await full.close();
  return shown({ exit, stderr });
}

const native = await createNativeKernels({ threads: 1 }).catch(() => null);
const device = new Device(createReferenceKernels());
const zeros = (...shape: number[]) => tensor(device, new Float32Array(shape.reduce((a, b) => a * b)), shape);

const provoke: Readonly<Record<ErrorCode, () => Promise<Shown> | Shown>> = {
  usage: () => run("generate", "run"),
  config: () => run("train", "--config", "my.json"),
  spec: () => run("route", "--spec", "spec.json", "--logits", "logits.json"),
  shape: () => thrown(() => matmul(zeros(2, 3), zeros(4, 5))),
  dtype: () => thrown(() => softmax(tensor(device, new Int32Array(6), [2, 3]))),
  state: () =>
    thrown(() => {
      const x = zeros(4);
      x.dispose();
      sum(x);
    }),
  "file-missing": () => run("generate", "nowhere", "x"),
  "file-exists": () => run("train", "--out", "run"),
  "file-damaged": () => run("generate", "cut", "x"),
  disk: onFullDisk,
  data: () => run("train", "--preset", "tiny", "--data", "empty.txt", "--out", "new"),
  tokenizer: () => run("generate", "odd", "x"),
  template: () => run("chat", "run"),
  model: () => run("inspect", "run/twin", "x"),
  diverged: () => run("generate", "nan", "The"),
  checkpoint: () => run("train", "--resume", "nowhere"),
  hub: () => run("pull", "org/name"),
  kernels: () => run("generate", "run", "x", "--kernels", "reference", "--expert-cache", "1MiB"),
  memory: () => thrown(() => native!.alloc(2 ** 50)),
};

const here: Partial<Record<ErrorCode, boolean>> = { disk: existsSync("/dev/full"), memory: native !== null };

describe("docs/errors.md", () => {
  const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const rows = page
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").map((cell) => cell.trim().replace(/^`(.*)`$/, "$1")));

  test("has each code once", () => {
    expect(rows.map(([, code]) => code)).toEqual(errorCodes);
  });

  test.each(rows)("%s %s: as it is printed", async (_, code, exit, _what, message, fix) => {
    if (here[code as ErrorCode] === false) return;
    expect(await provoke[code as ErrorCode]()).toEqual({ exit: Number(exit), message, fix });
  });
});

test.each([
  [["generat", "run", "x"], 2, "unknown command 'generat'", "did you mean generate?"],
  [["nonsense"], 2, "unknown command 'nonsense'", "conclave --help lists the commands"],
  [
    ["generate", "run", "x", "--temprature", "1"],
    2,
    "unknown option '--temprature'",
    "did you mean --temperature?",
  ],
  [
    ["bench", "moe", "--nothing"],
    2,
    "unknown option '--nothing'",
    "conclave bench moe --help lists the options",
  ],
  [
    ["generate"],
    2,
    "missing required argument 'model'",
    "write conclave generate [options] <model> [prompt]",
  ],
  [["generate", "run", "Call", "me"], 2, /^too many arguments/, "put the prompt in quotes"],
  [["generate", "run", "x", "--ids", "1"], 2, /^a prompt and --ids/, "leave one of them out"],
  [["generate", "run", "x", "--routes"], 2, /--json$/, "add --json"],
  [["generate", "run", "x", "--top-p", "2"], 2, '--top-p takes a number from 0 to 1, not "2"', ""],
  [["generate", "none", "x"], 1, /^none holds neither config\.json/, /holds config\.json and the weights$/],
  [
    ["generate", "run/model.safetensors", "x"],
    2,
    /neither a model folder/,
    "give the folder that it is in: run",
  ],
  [["generate", "run/config.json", "x"], 2, /neither a model folder/, "give the folder that it is in: run"],
  [["generate", "bare", "x"], 1, /^bare holds neither tokenizer\.json/, /or give token ids/],
  [["generate", "org/name", "x"], 1, /^org\/name: there is no such/, "fetch it with: conclave pull org/name"],
  [["inspect", "run"], 2, /none is given$/, /conclave inspect run "The whale rose\."/],
  [["pull", "mixtral"], 2, '"mixtral" is no model on the hub', /ORG\/NAME, such as/],
  [["params", "mixtral"], 1, /^mixtral: there is no such/, /published model: mixtral-8x7b/],
  [["train", "--preset", "huge"], 2, 'preset "huge" is not known; there are small, tiny', ""],
] as const)("%j: the fix is for this error", async (args, exit, message, fix) => {
  const told = await conclave(...args);
  expect(told.stderr).not.toMatch(/\n\s+at /);
  const match = (expected: string | RegExp) =>
    typeof expected === "string" ? expected : expect.stringMatching(expected);
  expect(shown(told)).toEqual({ exit, message: match(message), fix: match(fix) });
});
