/** The built package, used as a person would: dist/cli/main.js in a child process, on text files of its own. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Random } from "../../src/tensor/random.ts";

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
let folder: string;
let run: string;

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function conclave(...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [cli, ...args],
      { cwd: folder, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        resolve({ code: error ? ((error.code as unknown as number) ?? null) : 0, stdout, stderr });
      },
    );
  });
}

/** As {@link conclave}, with `input` on its stdin and `env` beside the environment. */
function piped(input: string, env: Record<string, string>, ...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [cli, ...args],
      { cwd: folder, env: { ...process.env, ...env } },
      (error, stdout, stderr) => {
        resolve({ code: error ? ((error.code as unknown as number) ?? null) : 0, stdout, stderr });
      },
    );
    child.stdin!.end(input);
  });
}

/** Sentences of a small grammar, so that a tiny model has something to learn. */
function prose(seed: number, sentences: number): string {
  const random = new Random(seed, "prose");
  const pick = (words: readonly string[]) => words[random.integer(words.length)];
  const nouns = ["whale", "captain", "ship", "sea", "harpoon", "sailor", "storm", "island"];
  const verbs = ["sees", "follows", "fears", "sinks", "raises", "leaves"];
  return Array.from(
    { length: sentences },
    () => `The ${pick(nouns)} ${pick(verbs)} the ${pick(nouns)}.`,
  ).join("\n");
}

function program(seed: number, lines: number): string {
  const random = new Random(seed, "code");
  return Array.from(
    { length: lines },
    () => `const x${random.integer(20)} = f(${random.integer(100)}, y${random.integer(9)});`,
  ).join("\n");
}

const tiny = ["--preset", "tiny", "--data", "prose=prose.txt", "code=code.txt"];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-e2e-"));
  run = join(folder, "run");
  await writeFile(join(folder, "prose.txt"), prose(1, 1500));
  await writeFile(join(folder, "code.txt"), program(1, 1500));
  const trained = await conclave(
    "train",
    ...tiny,
    "--steps",
    "20",
    "--checkpoint-every",
    "5",
    "--out",
    "run",
    "--json",
  );
  expect(trained.stderr).not.toContain("error:");
  expect(trained.code).toBe(0);
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

test("pull says what is wrong with a name, and when no hub answers", async () => {
  const env = { HF_ENDPOINT: "http://127.0.0.1:1", HF_HUB_CACHE: join(folder, "hub") };
  const wrong = await piped("", env, "pull", "../evil");
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("is no model on the hub")]);
  const both = await piped("", env, "pull", "org/name@v1", "--revision", "v2");
  expect([both.code, both.stderr]).toEqual([2, expect.stringContaining("names a revision already")]);
  const alone = await piped("", env, "pull", "org/name");
  expect([alone.code, alone.stderr]).toEqual([
    1,
    expect.stringContaining("http://127.0.0.1:1 cannot be reached"),
  ]);
  const absent = await piped("", env, "generate", "org/name", "hi");
  expect([absent.code, absent.stderr]).toEqual([1, expect.stringContaining("pull org/name")]);
});

describe("a trained run", () => {
  test("leaves a summary with the promised keys, and a report that asks nothing of the network", async () => {
    const summary = JSON.parse(await readFile(join(run, "summary.json"), "utf8"));
    // The twin has what a token meets in the mixture, but for the gates: 2 layers of 4 experts, width 32.
    expect(summary.moe.activeParams - summary.dense.totalParams).toBe(2 * 4 * 32);
    expect(summary.moe.totalParams).toBeGreaterThan(summary.moe.activeParams);
    expect(summary.moe.layers).toHaveLength(2);
    for (const layer of summary.moe.layers) {
      const places = layer.counts.reduce((a: number, b: number) => a + b, 0);
      expect(places).toBe(2 * summary.moe.tokens);
      expect(layer.maxOverMean).toBeCloseTo(Math.max(...layer.counts) / (places / layer.counts.length), 10);
      expect(layer.dropped).toBe(0);
    }
    // Byte-level text of a small grammar: worse than 8 bits a byte is no model, better than 0 is no measure.
    for (const bits of [summary.moe.bitsPerByte, summary.dense.bitsPerByte]) {
      expect(bits).toBeGreaterThan(0.2);
      expect(bits).toBeLessThan(4);
    }
    const report = await readFile(join(run, "report.html"), "utf8");
    expect(report).not.toMatch(/(src|href)=|https?:\/\/(?!www\.w3\.org)/);
  });

  test("generates the same text for the same seed, and ids as JSON", async () => {
    const args = ["generate", "run", "The", "--max-tokens", "12", "--json"];
    const drawn = JSON.parse((await conclave(...args)).stdout);
    const again = JSON.parse((await conclave(...args, "--seed", String(drawn.seed))).stdout);
    expect(drawn.ids).toHaveLength(12);
    expect(drawn.timings.promptTokens).toBeGreaterThan(0);
    expect([again.ids, again.seed]).toEqual([drawn.ids, drawn.seed]);
  });

  test("ends a text before a stop string", async () => {
    const args = ["generate", "run", "The", "--max-tokens", "24", "--temperature", "0", "--json"];
    const { text } = JSON.parse((await conclave(...args)).stdout);
    const stop = text.slice(5, 9);
    const cut = JSON.parse((await conclave(...args, "--stop", "never", "--stop", stop)).stdout);
    expect(cut.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(cut.finish).toBe("stop");
  });

  test("is talked with: every line of a pipe is answered, and needs a template", async () => {
    await writeFile(join(folder, "talk.jinja"), "{% for m in messages %}{{ m.content }} {% endfor %}");
    const chat = ["chat", "run", "--max-tokens", "6", "--temperature", "0"];
    const told = await piped(
      "The whale\n\n/save talk.json\nThe ship\n",
      {},
      ...chat,
      "--template",
      "talk.jinja",
      "--json",
    );
    expect(told.code).toBe(0);
    const answers = told.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(answers.map(({ ids }) => ids.length)).toEqual([6, 6]);
    // The second turn's prompt holds the first turn.
    expect(answers[1].promptTokens).toBeGreaterThan(answers[0].promptTokens + 6);
    const { messages } = JSON.parse(await readFile(join(folder, "talk.json"), "utf8"));
    expect(messages).toEqual([
      { role: "user", content: "The whale" },
      { role: "assistant", content: answers[0].text },
    ]);
    // Greedy: the same as continuing the text that the template renders.
    const plain = await conclave(
      "generate",
      "run",
      "The whale ",
      "--max-tokens",
      "6",
      "--temperature",
      "0",
      "--json",
    );
    expect(JSON.parse(plain.stdout).ids).toEqual(answers[0].ids);

    const mistaken = await piped(
      "/save\n/nothing\nThe ship\n",
      {},
      ...chat,
      "--template",
      "talk.jinja",
      "--json",
    );
    expect(mistaken.code).toBe(2);
    for (const said of ["/save takes a file", "/nothing: there is no such command"])
      expect(mistaken.stderr).toContain(said);
    expect(JSON.parse(mistaken.stdout).ids).toHaveLength(6);

    const refused = await piped("hi\n", {}, ...chat);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/run has no chat template/);
    expect(refused.stderr).toMatch(/--template FILE/);
  });

  test("Ctrl-C ends a talk through a pipe, the questions that wait included", async () => {
    await writeFile(join(folder, "last.jinja"), "{{ messages[-1].content }}");
    const args = ["chat", "run", "--template", "last.jinja", "--max-tokens", "40"];
    const child = spawn(process.execPath, [cli, ...args], { cwd: folder, stdio: ["pipe", "pipe", "ignore"] });
    const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
    const questions = 500;
    child.stdin.write("The whale\n".repeat(questions)); // and stays open
    let said = "";
    child.stdout.on("data", (chunk) => {
      if (said === "") child.kill("SIGINT");
      said += chunk;
    });
    expect(await ended).toBe(130);
    expect(said.split("\n").length).toBeLessThan(questions / 2);
  });

  test("writes logits as NumPy float32 [T, V]", async () => {
    const { code } = await conclave("logits", "run", "--ids", "1,2,3", "--out", "logits.npy");
    expect(code).toBe(0);
    const bytes = await readFile(join(folder, "logits.npy"));
    expect(bytes.subarray(1, 6).toString("latin1")).toBe("NUMPY");
    const { vocab_size } = JSON.parse(await readFile(join(run, "config.json"), "utf8"));
    expect(bytes.toString("latin1", 10, 128)).toContain(`(3, ${vocab_size})`);
    expect((bytes.length - 10 - bytes.readUInt16LE(8)) / 4).toBe(3 * vocab_size);
  });

  test("is inspected: every token of a prompt with its experts", async () => {
    const { code, stdout } = await conclave(
      "inspect",
      "run",
      "The whale sees the sea.",
      "--out",
      "prompt.html",
      "--json",
    );
    expect(code).toBe(0);
    const { tokens, passages, layers } = JSON.parse(stdout);
    expect(passages[0].tokens.join("")).toBe("The whale sees the sea.");
    expect(passages[0].routes).toHaveLength(2);
    for (const route of passages[0].routes) {
      for (const picks of route) {
        expect(picks).toHaveLength(2);
        expect(picks[0][0]).not.toBe(picks[1][0]);
        expect(picks[0][1] + picks[1][1]).toBeCloseTo(1, 4);
      }
    }
    expect(layers[0].counts.reduce((a: number, b: number) => a + b, 0)).toBe(2 * tokens);
    expect(await readFile(join(folder, "prompt.html"), "utf8")).toContain("whale");
  });

  test("is counted", async () => {
    const summary = JSON.parse(await readFile(join(run, "summary.json"), "utf8"));
    const { stdout } = await conclave("params", "run", "--json");
    const counts = JSON.parse(stdout);
    expect(counts.total).toBe(summary.moe.totalParams);
    expect(counts.active).toBe(summary.moe.activeParams);
  });
});

test("killed with SIGKILL and resumed, a run ends like one that was never stopped", async () => {
  const args = ["train", ...tiny, "--steps", "20", "--checkpoint-every", "5", "--out", "killed"];
  await killAfter(
    spawn(process.execPath, [cli, ...args], { cwd: folder, stdio: "ignore" }),
    join(folder, "killed", "metrics.jsonl"),
    8,
  );
  const resumed = await conclave("train", "--resume", "killed");
  expect(resumed.stderr).not.toContain("error:");
  expect(resumed.code).toBe(0);
  for (const file of ["metrics.jsonl", "model.safetensors", "twin/metrics.jsonl", "twin/model.safetensors"]) {
    const [whole, killed] = await Promise.all([
      readFile(join(run, file)),
      readFile(join(folder, "killed", file)),
    ]);
    expect(killed.equals(whole), `${file} differs`).toBe(true);
  }
}, 120_000);

test("a mixture that looks ahead is judged by its prefixes: console, summary, journal, report and generate say so", async () => {
  const routing = { select: { by: "expert", capacityFactor: 1 } };
  await writeFile(join(folder, "ahead.json"), JSON.stringify({ model: { routing }, evalEvery: 4 }));
  const trained = await conclave(
    "train",
    ...tiny,
    "--config",
    "ahead.json",
    "--steps",
    "8",
    "--out",
    "ahead",
  );
  expect(trained.code).toBe(0);
  expect(trained.stderr).toContain("not a causal model (future): its routers look at later tokens");
  const read = (file: string) => readFile(join(folder, "ahead", file), "utf8");
  const { causality, moe, dense } = JSON.parse(await read("summary.json"));
  expect([causality, moe.causality, dense.causality]).toEqual(["future", "future", "causal"]);
  expect(JSON.parse(await read("run.json")).config.model.routing).toMatchObject({
    order: "score-then-select",
    ...routing,
  });
  for (const model of [moe, dense]) {
    expect(model.prefixPositions).toBe(Math.min(2000, model.tokens));
    expect(model.prefixStandardError).toBeGreaterThan(0);
    // What the table leads with is the figure from prefixes.
    expect(trained.stdout).toContain(
      ` ${model.prefixBitsPerByte.toFixed(3)}  ${model.prefixStandardError.toFixed(3)} `,
    );
  }
  const evaluations = (await read("metrics.jsonl")).split("\n").filter((line) => line.includes("heldOut"));
  expect(evaluations).toHaveLength(2);
  for (const line of evaluations) expect(JSON.parse(line).heldOut.prefixPositions).toBe(moe.prefixPositions);
  expect(trained.stdout).toContain("Judge it by the figures from prefixes");
  expect(await read("report.html")).toContain("each read from its prefix alone");
  const written = await conclave("generate", "ahead", "The whale", "--max-tokens", "4");
  expect(written.code).toBe(0);
  expect(written.stderr).toContain("the whole text is read anew for every token");
}, 60_000);

test("Ctrl-C saves, and says how to go on", async () => {
  const args = ["train", ...tiny, "--steps", "2000", "--out", "stopped", "--no-twin"];
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
  await lines(join(folder, "stopped", "metrics.jsonl"), 3);
  child.kill("SIGINT");
  expect(await ended).toBe(130);
  expect(said).toMatch(/^ {2}node \S*main\.js train --resume stopped$/m);
});

describe("wrong usage is one clear line and exit code 2", () => {
  test.each([
    [["train", "--steps", "-3"], /--steps takes a whole number/],
    [["train", "--preset", "huge"], /preset "huge"/],
    [["train", "--config", "bad.json"], /bad\.json.*widht.*unknown key/],
    [["train", "--config", "k.json"], /k\.json.*routing/],
    [["generate", "nowhere"], /generate continues a prompt, and none is given/],
    [["generate", "run", "x", "--temprature", "1"], /unknown option/],
    [["route", "--spec", "bad-spec.json", "--logits", "l.json"], /exprts/],
    [["nonsense"], /unknown command/],
  ])("%j", async (args, message) => {
    await writeFile(join(folder, "bad.json"), '{"model": {"widht": 3}}');
    await writeFile(
      join(folder, "k.json"),
      '{"model": {"routing": {"experts": 4, "select": {"by": "token", "k": 5}}}}',
    );
    await writeFile(join(folder, "bad-spec.json"), '{"exprts": 4}');
    await writeFile(join(folder, "l.json"), '{"logits": [[1, 2, 3, 4]]}');
    const { code, stderr, stdout } = await conclave(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stderr).toMatch(/^error: .+\n(fix: .+\n)?$/);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });
});

describe("what fails is one clear line and exit code 1", () => {
  test.each([
    [["generate", "nowhere", "x"], /nowhere/],
    [["generate", "cut", "x"], /cut\/model\.safetensors/],
    [["train", "--preset", "tiny", "--data", "empty.txt", "--out", "e"], /empty\.txt|no text/],
    [["train", "--preset", "tiny", "--data", "short.txt", "--out", "s"], /too (few|small)|tokens|bytes/],
    [["train", ...tiny, "--out", "run"], /run holds a run/],
    [["train", "--resume", "nowhere"], /nowhere holds no run/],
  ])("%j", async (args, message) => {
    await writeFile(join(folder, "empty.txt"), "");
    await writeFile(join(folder, "short.txt"), "Too short.");
    await mkdir(join(folder, "cut"), { recursive: true });
    for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json"]) {
      await writeFile(join(folder, "cut", file), await readFile(join(run, file)));
    }
    await writeFile(
      join(folder, "cut", "model.safetensors"),
      (await readFile(join(run, "model.safetensors"))).subarray(0, 5000),
    );
    const { code, stderr } = await conclave(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
  });
});

test.each([
  [["train", ...tiny, "--out", "run"], /run holds a run/],
  [["train", ...tiny, "--out", "run/run.json/x"], /run\.json\/x: a part of the path is a file/],
  [
    ["train", ...tiny, "--batch", "1000000000"],
    /1,000,000,000 windows of 32 tokens takes .* or more; this machine has/,
  ],
  [["inspect", "run", "The whale.", "--out", "run"], /writing run: this is a folder/],
  [["logits", "run", "--ids", "1", "--out", "run"], /writing run: this is a folder/],
  [["inspect", "run/twin", "The whale."], /no experts to look at/],
])("%j is refused before any work", async (args, message) => {
  const { code, stderr, stdout } = await conclave(...args);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^error: .+\n(fix: .+\n)?$/);
  expect([stdout, code]).toEqual(["", 1]);
});

test.each(["stdout", "stderr"] as const)("a reader that leaves %s early is no failure", async (stream) => {
  const args = ["generate", "run", "The", "--max-tokens", "200"];
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let rest = "";
  child[stream === "stdout" ? "stderr" : "stdout"].on("data", (text) => {
    rest += text;
  });
  child[stream].destroy();
  const [code] = await once(child, "close");
  expect(code).toBe(0);
  expect(rest).toMatch(stream === "stdout" ? /^$/ : /^The.*\n$/s);
});

/** Waits until `file` has at least `count` lines. */
async function lines(file: string, count: number): Promise<void> {
  for (let waited = 0; waited < 60_000; waited += 20) {
    const text = await readFile(file, "utf8").catch(() => "");
    if (text.split("\n").length > count) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${file} never had ${count} lines`);
}

async function killAfter(child: ChildProcess, file: string, count: number): Promise<void> {
  const gone = new Promise((resolve) => child.on("exit", resolve));
  await lines(file, count);
  child.kill("SIGKILL");
  await gone;
}

test("wasm workers start whatever flags the process was started with", async () => {
  const kernels = new URL("../../dist/kernels/index.js", import.meta.url).href;
  const source = `
    import { createWasmKernels } from "${kernels}";
    const kernels = await createWasmKernels({ threads: 2 });
    kernels.dispose();
    console.log(kernels.threads);
  `;
  const printed = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, ["--input-type=module", "-e", source], (error, stdout) => {
      if (error) reject(error);
      else resolve(stdout.trim());
    });
  });
  expect(printed).toBe("2");
});
