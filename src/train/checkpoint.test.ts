import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { type Module, materialise, type NamedParameter, Parameter } from "../nn/index.ts";
import { Device, Random } from "../tensor/index.ts";
import { loadCheckpoint, type Progress, saveCheckpoint } from "./checkpoint.ts";
import type { Evaluation } from "./evaluate.ts";
import { AdamW } from "./optimizer.ts";

const device = new Device(createReferenceKernels());
let folder: string;
let folders = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-checkpoint-"));
});
afterAll(() => rm(folder, { recursive: true }));

const options = { betas: [0.9, 0.99], eps: 1e-8, decay: 0.1, clip: 1 } as const;

/** An optimizer over parameters of these shapes, in this order. */
function optimizerOf(shapes: Record<string, readonly number[]>, seed = 1): AdamW {
  const all = Object.entries(shapes).map(
    ([name, shape]): NamedParameter => [name, new Parameter(shape, { kind: "normal", std: 1 })],
  );
  const module: Module = { tensors: () => all };
  const optimizer = new AdamW(materialise(module, device, seed), options);
  for (const [stream, tensor] of [
    ["m", optimizer.m],
    ["v", optimizer.v],
  ] as const)
    tensor.write(new Random(seed, stream).normals(tensor.size));
  return optimizer;
}

/** Weights and both moments of each parameter. */
async function contents({ arena, m, v }: AdamW): Promise<Record<string, number[][]>> {
  const parts = await Promise.all([arena.values, m, v].map((tensor) => tensor.data()));
  const entries = Array.from(arena.places, ([name, { start, parameter }]): [string, number[][]] => [
    name,
    parts.map((part) => Array.from(part.subarray(start, start + parameter.size))),
  ]);
  return Object.fromEntries(entries);
}

const evaluation: Evaluation = {
  causality: "causal",
  bitsPerByte: 2,
  loss: 3,
  tokens: 10,
  bytes: 12,
  domains: [{ domain: "text", bitsPerByte: 2, tokens: 10, bytes: 12 }],
  layers: [{ counts: [4, 6], maxOverMean: 1.2, cv: 0.2, entropy: 0.5, dropped: 0, countsByDomain: [[4, 6]] }],
};
const progressAt = (step: number): Progress => ({
  step,
  metricsBytes: 7,
  seconds: { steps: 1, all: 2 },
  evaluation,
});

const shapes = { a: [3, 5], b: [7], c: [2, 2, 2], d: [1] };

/** A run's folder with checkpoints of `steps`, and the newest one's path. */
async function saved(steps: readonly number[] = [4]): Promise<{ run: string; newest: string; was: AdamW }> {
  const run = join(folder, String(folders++));
  await mkdir(run);
  const was = optimizerOf(shapes);
  let newest = "";
  for (const step of steps) newest = await saveCheckpoint(run, was, progressAt(step), 5);
  return { run, newest, was };
}

async function editState(path: string, edit: (state: Record<string, unknown>) => unknown): Promise<void> {
  const file = `${path}/state.json`;
  await writeFile(file, JSON.stringify(edit(JSON.parse(await readFile(file, "utf8")))));
}

test("a checkpoint says where each parameter lies, and is read back bit for bit", async () => {
  const { run, newest, was } = await saved();
  const state = JSON.parse(await readFile(`${newest}/state.json`, "utf8"));
  // Matrices first, each on a boundary of 16 elements.
  expect(state).toMatchObject({
    format: 2,
    arena: {
      version: 1,
      elements: 64,
      parameters: [
        { name: "a", shape: [3, 5], offset: 0 },
        { name: "c", shape: [2, 2, 2], offset: 16 },
        { name: "b", shape: [7], offset: 32 },
        { name: "d", shape: [1], offset: 48 },
      ],
    },
  });
  const now = optimizerOf(shapes, 2);
  expect(await loadCheckpoint(run, now)).toEqual(progressAt(4));
  expect(await contents(now)).toEqual(await contents(was));
});

test("one without a manifest, as earlier versions wrote them, is read as it lies", async () => {
  const { run, newest, was } = await saved();
  await editState(newest, ({ arena: _, ...rest }) => ({ ...rest, format: 1 }));
  const now = optimizerOf(shapes, 2);
  expect(await loadCheckpoint(run, now)).toEqual(progressAt(4));
  expect(await contents(now)).toEqual(await contents(was));
});

test("parameters in another order, or at other places, are found by name", async () => {
  const { run, newest, was } = await saved();
  const { d, c, b, a } = shapes;
  const reordered = optimizerOf({ d, c, b, a }, 2);
  expect([...reordered.arena.places.keys()]).toEqual(["c", "a", "d", "b"]);
  await loadCheckpoint(run, reordered);
  expect(await contents(reordered)).toEqual(await contents(was));
  // Without the gaps, as another alignment would have it.
  const dense = optimizerOf(shapes, 3);
  const packed = { a: 0, c: 15, b: 23, d: 30 };
  const parts = await contents(was);
  const bytes = await readFile(`${newest}/arena.safetensors`);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString());
  const body = ["values", "m", "v"].flatMap((name, i) => {
    header[name] = { dtype: "F32", shape: [31], data_offsets: [i * 124, i * 124 + 124] };
    return Object.keys(packed).flatMap((parameter) => parts[parameter][i]);
  });
  delete header.__metadata__;
  const text = JSON.stringify(header);
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(text.length));
  await writeFile(
    `${newest}/arena.safetensors`,
    Buffer.concat([head, Buffer.from(text), Buffer.from(Float32Array.from(body).buffer)]),
  );
  await editState(newest, (state) => ({
    ...state,
    arena: {
      version: 1,
      elements: 31,
      parameters: Object.entries(packed).map(([name, offset]) => ({
        name,
        offset,
        shape: shapes[name as keyof typeof shapes],
      })),
    },
  }));
  await loadCheckpoint(run, dense);
  expect(await contents(dense)).toEqual(parts);
});

test.each<[string, Record<string, readonly number[]>, RegExp]>([
  [
    "another shape",
    { ...shapes, a: [5, 3] },
    /of another model: a is \[3, 5\] in it and \[5, 3\] in the model$/,
  ],
  ["one more", { ...shapes, e: [2] }, /it has no parameter e, which the model has$/],
  ["one less", { a: [3, 5], b: [7], d: [1] }, /it has a parameter c, which the model has not$/],
  ["another name", { x: [3, 5], b: [7], c: [2, 2, 2], d: [1] }, /it has no parameter x/],
])("a model with %s is refused with the first difference", async (_, others, message) => {
  const { run, newest } = await saved();
  const attempt = loadCheckpoint(run, optimizerOf(others));
  await expect(attempt).rejects.toMatchObject({
    code: "checkpoint",
    message: expect.stringMatching(message),
  });
  await expect(attempt).rejects.toThrow(`${newest}/state.json`);
});

test.each<[string, (state: Record<string, unknown>) => unknown, RegExp]>([
  ["no object", () => [], /state\.json: the state: /],
  ["null", () => null, /state\.json: the state: /],
  ["a format to come", (state) => ({ ...state, format: 3 }), /state\.json: format: /],
  ["an unknown key", (state) => ({ ...state, more: 1 }), /state\.json: more: unknown key/],
  ["a step that is text", (state) => ({ ...state, step: "4" }), /state\.json: step: expected number/],
  ["another step", (state) => ({ ...state, step: 5 }), /state\.json: step: it is 5, in the folder of step 4/],
  ["a length below 0", (state) => ({ ...state, metricsBytes: -1 }), /state\.json: metricsBytes: /],
  ["no times", ({ seconds: _, ...state }) => state, /state\.json: seconds: /],
  ["an evaluation of text", (state) => ({ ...state, evaluation: "good" }), /state\.json: evaluation: /],
  [
    "an evaluation that is empty",
    (state) => ({ ...state, evaluation: {} }),
    /state\.json: evaluation\.\w+: /,
  ],
  ["no manifest", ({ arena: _, ...state }) => state, /state\.json: arena: /],
  [
    "a manifest to come",
    (state) => ({ ...state, arena: { ...(state.arena as object), version: 2 } }),
    /state\.json: arena\.version: this version of Conclave reads layout 1/,
  ],
  [
    "parameters that overlap",
    (state) => ({
      ...state,
      arena: {
        version: 1,
        elements: 64,
        parameters: [
          { name: "a", shape: [3, 5], offset: 0 },
          { name: "c", shape: [2, 2, 2], offset: 14 },
        ],
      },
    }),
    /state\.json: arena: the parameter c overlaps the one before it/,
  ],
])("a state with %s is an error that names the file", async (_, edit, message) => {
  const { run, newest } = await saved();
  await editState(newest, edit);
  await expect(loadCheckpoint(run, optimizerOf(shapes))).rejects.toMatchObject({
    code: "checkpoint",
    message: expect.stringMatching(message),
  });
});

test("files that are cut off or gone are errors that name them, and say which checkpoint is left", async () => {
  for (const [file, damage] of [
    ["state.json", (path: string) => truncate(path, 30)],
    ["state.json", (path: string) => truncate(path, 0)],
    ["state.json", (path: string) => rm(path)],
    ["state.json", (path: string) => writeFile(path, Uint8Array.of(0xff, 0xfe))],
    ["arena.safetensors", (path: string) => truncate(path, 300)],
    ["arena.safetensors", (path: string) => truncate(path, 4)],
    ["arena.safetensors", (path: string) => rm(path)],
  ] as const) {
    const { run, newest } = await saved([2, 4]);
    await damage(`${newest}/${file}`);
    const error = await loadCheckpoint(run, optimizerOf(shapes)).catch((failure) => failure);
    expect(error).toMatchObject({
      code: "checkpoint",
      message: expect.stringContaining(`${newest}/${file}`),
      remedy: `delete ${newest} to go on from the checkpoint before it, of step 2`,
    });
    await rm(newest, { recursive: true });
    expect((await loadCheckpoint(run, optimizerOf(shapes)))?.step).toBe(2);
  }
});
