import { renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lock } from "../formats/files.lock.ts";
import type { Document } from "../formats/index.ts";
import { selectKernels } from "../kernels/index.ts";
import { loadModel } from "../models/index.ts";
import { Device } from "../tensor/index.ts";
import { type Json, resolveConfig, type TrainConfig } from "./config.ts";
import { type PreparedCorpus, prepareCorpus } from "./corpus.ts";
import { evaluate } from "./evaluate.ts";
import type { Role, TrainEvent } from "./events.ts";
import { type TrainOptions, type TrainOutcome, train } from "./loop.ts";
import { checkRunFolder, readRunConfig } from "./run-folder.ts";

let device: Device;
let folder: string;
let runs = 0;

beforeAll(async () => {
  device = new Device((await selectKernels({ threads: 1 })).kernels);
  folder = await mkdtemp(join(tmpdir(), "conclave-train-"));
});

afterAll(async () => {
  device.dispose();
  await rm(folder, { recursive: true });
});

/** Sentences from a small grammar, and arithmetic: two domains that are easily told apart. */
function documents(): Document[] {
  const pick = (words: readonly string[], i: number): string => words[i % words.length];
  const story = Array.from({ length: 250 }, (_, i) => {
    const who = pick(["the cat", "a dog", "my aunt", "one bird"], i * 7);
    return `${who} ${pick(["saw", "ate", "lost"], i * 5)} ${pick(["the hat", "a fish", "some bread"], i * 11)}.\n`;
  });
  const sums = Array.from(
    { length: 250 },
    (_, i) => `${i % 50} + ${(i * 3) % 40} = ${(i % 50) + ((i * 3) % 40)};\n`,
  );
  return [
    { path: "story.txt", domain: "story", text: story.join(""), start: 0 },
    { path: "sums.txt", domain: "sums", text: sums.join(""), start: 0 },
  ];
}

const small = {
  steps: 6,
  evalEvery: 4,
  checkpointEvery: 3,
  optimizer: { warmup: 2 },
  data: { sequence: 16, batch: 2 },
};

function configOf(overrides: Json = {}): TrainConfig {
  return resolveConfig({ preset: "tiny", file: { path: "test", json: small }, overrides });
}

let prepared: PreparedCorpus | null = null;

/** Trains in a fresh folder, or in `out`. */
async function run(
  config: TrainConfig,
  options: Partial<TrainOptions> = {},
): Promise<{ out: string; outcome: TrainOutcome; events: TrainEvent[] }> {
  prepared ??= prepareCorpus(documents(), config.data);
  const out = options.out ?? join(folder, `run-${runs++}`);
  const events: TrainEvent[] = [];
  const outcome = await train(config, {
    device,
    ...prepared,
    onEvent: (event) => events.push(event),
    ...options,
    out,
  });
  return { out, outcome, events };
}

/** Every byte that resume must leave the same: metrics and final weights. */
async function traces(
  out: string,
  roles: readonly Role[] = ["moe", "dense"],
): Promise<Record<string, string>> {
  const names = roles.flatMap((role) =>
    ["metrics.jsonl", "model.safetensors"].map((name) => (role === "moe" ? name : `twin/${name}`)),
  );
  const read = names.map(async (name) => [name, (await readFile(join(out, name))).toString("base64")]);
  return Object.fromEntries(await Promise.all(read));
}

/** What a stopped process leaves: it dies in the middle of handling an event. */
const killedAt =
  (role: Role, step: number) =>
  (event: TrainEvent): void => {
    if (event.type === "step" && event.role === role && event.record.step === step) throw new Error("killed");
  };

describe("a run", () => {
  let whole: { out: string; outcome: TrainOutcome; events: TrainEvent[] };

  beforeAll(async () => {
    whole = await run(configOf());
  });

  test("leaves two model folders, metrics without a clock in them, checkpoints, and a summary", async () => {
    const { out, outcome, events } = whole;
    const lines = (await readFile(join(out, "metrics.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => (line.heldOut ? "eval" : line.step))).toEqual([
      1,
      2,
      3,
      4,
      "eval",
      5,
      6,
      "eval",
    ]);
    expect(Object.keys(lines[0])).toEqual(["step", "loss", "lr", "gradNorm", "losses", "layers"]);
    expect(await readdir(join(out, "state"))).toEqual(["step-00000003", "step-00000006"]);
    expect(JSON.parse(await readFile(join(out, "summary.json"), "utf8"))).toEqual(
      outcome.status === "done" && outcome.summary,
    );
    expect(events.at(-1)?.type).toBe("done");
    expect(events.filter(({ type }) => type === "step")).toHaveLength(12);
    const twin = JSON.parse(await readFile(join(out, "twin/config.json"), "utf8"));
    expect([twin.architectures, twin.intermediate_size]).toEqual([["MistralForCausalLM"], 2 * 32]);
  });

  test("loads again as a model that evaluates to the same bits per byte, its tokens going the same ways", async () => {
    const model = await loadModel(whole.out, device);
    const { corpus } = prepared!;
    const again = await evaluate(model, corpus, {
      device,
      precision: "f32",
      sequence: 16,
      batch: 2,
      limit: Infinity,
    });
    const { moe } = (whole.outcome as Extract<TrainOutcome, { status: "done" }>).summary;
    // Loaded weights are multiplied by another kernel than trained ones: the same f32 sums, added in another order.
    expect(Math.abs(again.bitsPerByte / moe.bitsPerByte - 1)).toBeLessThan(1e-8);
    expect(again.layers).toEqual(moe.layers);
  });

  test.each([
    ["moe", 5],
    ["dense", 1],
  ] as const)(
    "killed in the %s model at step %i and resumed: the same bytes as unbroken",
    async (role, step) => {
      const out = join(folder, `killed-${role}-${step}`);
      await expect(run(configOf(), { out, onEvent: killedAt(role, step) })).rejects.toThrow("killed");
      const { outcome } = await run(configOf(), { out, resume: true });
      expect(outcome.status).toBe("done");
      expect(await traces(out)).toEqual(await traces(whole.out));
    },
  );

  test("stopped by its signal: finishes the step, saves, and goes on to the same bytes", async () => {
    const stop = new AbortController();
    const out = join(folder, "stopped");
    const onEvent = (event: TrainEvent): void => {
      if (event.type === "step" && event.record.step === 4) stop.abort();
    };
    const { outcome } = await run(configOf(), { out, signal: stop.signal, onEvent });
    expect(outcome).toEqual({ status: "interrupted", role: "moe", step: 4 });
    expect(await readdir(join(out, "state"))).toContain("step-00000004");
    await run(configOf(), { out, resume: true });
    expect(await traces(out)).toEqual(await traces(whole.out));
  });

  test("resumed when all is done, changes nothing", async () => {
    const before = await traces(whole.out);
    const { outcome } = await run(configOf(), { out: whole.out, resume: true });
    expect(outcome).toEqual(whole.outcome);
    expect(await traces(whole.out)).toEqual(before);
  });

  test("refuses a folder that holds a run, and to resume with another configuration, text or tokenizer", async () => {
    const { out } = whole;
    await expect(run(configOf(), { out })).rejects.toMatchObject({
      code: "file-exists",
      message: /holds a run/,
    });
    const resume = (config: TrainConfig, options: Partial<TrainOptions> = {}) =>
      run(config, { out, resume: true, ...options });
    const code = "checkpoint";
    await expect(resume(configOf({ optimizer: { decay: 0 } }))).rejects.toMatchObject({
      code,
      message: /another optimizer.decay/,
    });
    const [story] = documents();
    const other = prepareCorpus(
      [{ ...story, text: `once ${story.text}` }, documents()[1]],
      configOf().data,
      prepared!.files,
    );
    await expect(resume(configOf(), { corpus: other.corpus })).rejects.toMatchObject({
      code,
      message: /text is not the one/,
    });
    const files = { ...prepared!.files, config: "{}" };
    await expect(resume(configOf(), { files })).rejects.toMatchObject({ code, message: /another tokenizer/ });
    await expect(run(configOf(), { out: join(folder, "none"), resume: true })).rejects.toMatchObject({
      code,
      message: /holds no run/,
    });
    expect(await readRunConfig(out)).toEqual(configOf());
  });

  test("warns when it goes on on other kernels", async () => {
    const path = join(whole.out, "run.json");
    const before = await readFile(path, "utf8");
    await writeFile(path, before.replace('"threads": 1', '"threads": 64'));
    const { events } = await run(configOf(), { out: whole.out, resume: true });
    await writeFile(path, before);
    expect(events[0]).toMatchObject({ type: "warning", message: /64 threads/ });
  });

  test("keeps a second run out of its folder while it works", async () => {
    const out = join(folder, "shared");
    let second: Promise<unknown> | null = null;
    const onEvent = (event: TrainEvent): void => {
      if (event.type === "start") second ??= run(configOf(), { out, resume: true }).catch((error) => error);
    };
    await run(configOf({ steps: 2, twin: false }), { out, onEvent });
    expect(await second).toMatchObject({ code: "file-exists", message: /in use/ });
  });

  test("a folder that would be refused is refused before there is any text, and one that would not is let be", async () => {
    await expect(checkRunFolder(whole.out, false)).rejects.toMatchObject({ code: "file-exists" });
    await checkRunFolder(whole.out, true);
    const release = await lock(`${whole.out}/.lock`);
    await expect(checkRunFolder(whole.out, true)).rejects.toMatchObject({ message: /in use/ });
    await release();
    const file = join(whole.out, "run.json");
    await expect(checkRunFolder(`${file}/run`, false)).rejects.toMatchObject({
      message: /a file, not a folder/,
    });
    await checkRunFolder(join(folder, "fresh", "run"), false);
    expect(await readdir(folder)).not.toContain("fresh");
  });
});

test("a checkpoint that cannot be written ends the run and leaves the one before it whole", async () => {
  const out = join(folder, "full");
  const state = join(out, "state");
  const onEvent = (event: TrainEvent): void => {
    if (event.type !== "checkpoint" || event.step !== 3) return;
    renameSync(state, `${state}-aside`);
    writeFileSync(state, ""); // a file where a folder should be: the next checkpoint fails half-way
  };
  await expect(run(configOf({ twin: false }), { out, onEvent })).rejects.toMatchObject({ exit: 1 });
  rmSync(state);
  renameSync(`${state}-aside`, state);
  expect(await readdir(state)).toEqual(["step-00000003"]);
  const { events } = await run(configOf({ twin: false }), { out, resume: true });
  expect(events[0]).toMatchObject({ type: "start", step: 3 });
});

/** Weights of such sizes overflow: to infinity at once, or in the products of the backward pass. Step 1's checkpoint holds them. */
const divergences: readonly (readonly [number, RegExp])[] = [
  [1e39, /^moe model, step 2: the loss is NaN, first seen in embedding; there is no good checkpoint$/],
  [
    1e30,
    /^moe model, step 2: the gradient is not finite, first seen in the gradient of layers\.1\.\S+; there is no good/,
  ],
];

test.each(divergences)(
  "a learning rate of %d stops the run: step and place are named, and no checkpoint of bad weights is called good",
  async (lr, message) => {
    const out = join(folder, `diverged-${lr}`);
    const config = configOf({ optimizer: { lr, warmup: 0 }, checkpointEvery: 1 });
    await expect(run(config, { out })).rejects.toMatchObject({ code: "diverged", message });
    expect(await readFile(join(out, "metrics.jsonl"), "utf8")).not.toContain('"step":2');
  },
);

test("a last step that ruins the weights ends in an error too, not in a model", async () => {
  const out = join(folder, "ruined");
  const config = configOf({ steps: 1, optimizer: { lr: 1e39, minLr: 1e39, warmup: 0 } });
  await expect(run(config, { out })).rejects.toMatchObject({
    code: "diverged",
    message:
      /^moe model, step 1: the held-out loss is NaN, first seen in embedding; there is no good checkpoint$/,
  });
  expect(await readdir(out)).not.toContain("model.safetensors");
});

test("weights that are not numbers stop the run: the checkpoint before them is named", async () => {
  const out = join(folder, "poisoned");
  const config = configOf({ checkpointEvery: 1, twin: false });
  await expect(run(config, { out, onEvent: killedAt("moe", 4) })).rejects.toThrow("killed");
  const arena = join(out, "state/step-00000003/arena.safetensors");
  const bytes = await readFile(arena);
  bytes.writeFloatLE(Number.NaN, bytes.length - 4); // the last of the weights: they stand after both moments
  await writeFile(arena, bytes);
  await expect(run(config, { out, resume: true })).rejects.toMatchObject({
    code: "diverged",
    message: /^moe model, step 4: the loss is NaN, first seen in \S.*; the last good .*step-00000002$/,
  });
});

test.each([30, 52])(
  "killed at step %i and resumed: the collapse alarm says the same as unbroken",
  async (step) => {
    const table = { story: [0], sums: [0] };
    const routing = { order: "score-then-select", select: { by: "label", table, k: 1 } };
    const config = configOf({
      model: { routing },
      steps: 54,
      evalEvery: 99,
      checkpointEvery: 7,
      twin: false,
    });
    const alarms = (events: readonly TrainEvent[]) =>
      events.flatMap((event) => (event.type === "alarm" ? [event.alarm] : []));
    const whole = alarms((await run(config)).events);
    expect(whole.map(({ kind, step, layer }) => [kind, step, layer])).toContainEqual(["starved", 50, 1]);
    const out = join(folder, `alarmed-${step}`);
    await expect(run(config, { out, onEvent: killedAt("moe", step) })).rejects.toThrow("killed");
    expect(alarms((await run(config, { out, resume: true })).events)).toEqual(whole);
    expect(alarms((await run(config, { out, resume: true })).events)).toEqual(whole); // all is done by then
  },
);

test("the loss of a text learned by heart falls to near zero", async () => {
  const verse =
    "Simple Simon met a pieman going to the fair; said Simple Simon to the pieman, let me taste your ware.\n";
  const text: Document = { path: "verse", domain: "verse", text: verse.repeat(40), start: 0 };
  const config = configOf({
    steps: 150,
    evalEvery: 150,
    checkpointEvery: 150,
    optimizer: { lr: 1e-2, decay: 0 },
    twin: false,
  });
  const { events } = await run(config, prepareCorpus([text], config.data));
  const losses = events.flatMap((event) => (event.type === "step" ? [event.record.loss] : []));
  expect(losses[0]).toBeGreaterThan(4);
  expect(losses.at(-1)).toBeLessThan(0.05);
});

/** Routings with state or randomness of their own, or that are told about the text. */
const routings: readonly (readonly [string, Json])[] = [
  ["selection bias", { bias: { kind: "selection-only", rate: 0.01 } }],
  ["gaussian noise", { noise: { kind: "gaussian" } }],
  [
    "labels",
    { order: "score-then-select", select: { by: "label", table: { story: [0, 1], sums: [2, 3] }, k: 1 } },
  ],
];

test.each(routings)("%s: resumes to the same bytes", async (name, routing) => {
  const config = configOf({ model: { routing }, steps: 4, evalEvery: 9, twin: false, precision: "bf16" });
  const whole = await run(config);
  const out = join(folder, name);
  await expect(run(config, { out, onEvent: killedAt("moe", 4) })).rejects.toThrow("killed");
  await run(config, { out, resume: true });
  expect(await traces(out, ["moe"])).toEqual(await traces(whole.out, ["moe"]));
});

test("labels without an entry for a domain are a mistake that names it", async () => {
  const routing = { order: "score-then-select", select: { by: "label", table: { story: [0, 1] }, k: 1 } };
  await expect(run(configOf({ model: { routing } }))).rejects.toMatchObject({
    code: "config",
    message: /"sums"/,
  });
});

test("a domain shorter than a window is trained on by its label, and one that is never drawn is told of", async () => {
  const note: Document = { path: "note.txt", domain: "note", text: "xyz zyx xyz.\n".repeat(4), start: 0 };
  const table = { story: [0], sums: [1], note: [2] };
  const routing = { order: "score-then-select", select: { by: "label", table, k: 1 } };
  const configured = (steps: number): TrainConfig =>
    configOf({ model: { routing }, data: { sequence: 64 }, steps, optimizer: { warmup: 0 }, twin: false });
  const texts = documents().map((one) => ({ ...one, text: one.text.slice(0, 1500) }));
  const corpus = prepareCorpus([...texts, note], configured(1).data);
  expect(corpus.corpus.train[2].ids.length).toBeLessThan(64);
  const warned = async (steps: number): Promise<[string[], number]> => {
    const { out, events } = await run(configured(steps), corpus);
    const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).trim().split("\n");
    const notes = lines
      .map((line) => JSON.parse(line))
      .reduce((sum, line) => sum + (line.heldOut ? 0 : line.layers[0].counts[2]), 0);
    return [events.flatMap((event) => (event.type === "warning" ? [event.message] : [])), notes];
  };
  const [said, none] = await warned(1);
  expect(said).toEqual([
    expect.stringMatching(/none of the run's 2 windows is of "note" \(\d+ training tokens\)/),
  ]);
  expect(none).toBe(0);
  const [silent, tokens] = await warned(60);
  expect(silent).toEqual([]);
  expect(tokens).toBeGreaterThan(0);
  expect(tokens % 64).toBe(0); // whole windows: no place of one is filled up with anything else
});
