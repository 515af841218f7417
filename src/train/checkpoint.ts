/**
 * Exact resume. A model in training keeps `state/step-NNNNNNNN/` folders, each written whole or not at all:
 * `arena.safetensors` (weights and both moments, f32 as they lie in memory: routing biases are among the weights) and `state.json`.
 * All else that a run needs (batches, noise, learning rate) follows from the seed and the step.
 */
import { z } from "zod";
import { fail } from "../errors.ts";
import { replaceFolderAtomic, writeFileAtomic } from "../formats/files.atomic.ts";
import { listFolder, remove } from "../formats/files.folders.ts";
import { readJson } from "../formats/files.read.ts";
import { openTensors, writeTensors } from "../formats/files.safetensors.ts";
import type { TensorStore } from "../formats/store.ts";
import type { Tensor } from "../tensor/index.ts";
import type { Evaluation } from "./evaluate.ts";
import type { AdamW } from "./optimizer.ts";

/** Where a model in training stands. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  /** Length of `metrics.jsonl` at this step. */
  readonly metricsBytes: number;
  /** Time spent so far on training steps, and on everything. */
  readonly seconds: { readonly steps: number; readonly all: number };
  /** The newest held-out evaluation. */
  readonly evaluation: Evaluation | null;
}

const format = 1;
const progressSchema = z.strictObject({
  format: z.literal(format),
  step: z.int().nonnegative(),
  metricsBytes: z.int().nonnegative(),
  seconds: z.strictObject({ steps: z.number().nonnegative(), all: z.number().nonnegative() }),
  evaluation: z.custom<Evaluation>((value) => value === null || typeof value === "object"),
});

const parts = ["values", "m", "v"] as const;

function tensorsOf(optimizer: AdamW): Record<(typeof parts)[number], Tensor> {
  return { values: optimizer.arena.values, m: optimizer.m, v: optimizer.v };
}

/** Writes the checkpoint of `progress.step` into `folder`/state, then deletes all but the newest `keep`. Returns its path. */
export async function saveCheckpoint(
  folder: string,
  optimizer: AdamW,
  progress: Progress,
  keep: number,
): Promise<string> {
  const path = checkpointPath(folder, progress.step);
  const tensors = tensorsOf(optimizer);
  await replaceFolderAtomic(path, async (place) => {
    const stored = parts.map((name) => ({
      name,
      dtype: "F32" as const,
      shape: tensors[name].shape,
      bytes: async () => bytesOf(await tensors[name].data()),
    }));
    await writeTensors(`${place}/arena.safetensors`, stored);
    await writeFileAtomic(`${place}/state.json`, JSON.stringify({ format, ...progress }));
  });
  for (const step of (await checkpointSteps(folder)).slice(0, -keep))
    await remove(checkpointPath(folder, step));
  return path;
}

/** The newest checkpoint in `folder`, put into `optimizer` and its arena; null where there is none. */
export async function loadCheckpoint(folder: string, optimizer: AdamW): Promise<Progress | null> {
  await removeLeftovers(`${folder}/state`);
  const step = (await checkpointSteps(folder)).at(-1);
  if (step === undefined) return null;
  const path = checkpointPath(folder, step);
  const parsed = progressSchema.safeParse(await readJson(`${path}/state.json`));
  if (!parsed.success || parsed.data.step !== step)
    fail(
      "checkpoint",
      `${path}/state.json is not a state of this format`,
      "start a new run, or delete this checkpoint to go on from the one before",
    );
  const store = await openTensors(`${path}/arena.safetensors`);
  try {
    for (const [name, tensor] of Object.entries(tensorsOf(optimizer))) await fill(path, name, tensor, store);
  } finally {
    await store.close();
  }
  const { metricsBytes, seconds, evaluation } = parsed.data;
  return { step, metricsBytes, seconds, evaluation };
}

/** Where the checkpoint of `step` lies. */
export function checkpointPath(folder: string, step: number): string {
  return `${folder}/state/step-${String(step).padStart(8, "0")}`;
}

/** Steps that have a whole checkpoint in `folder`, rising. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await listFolder(`${folder}/state`);
  return names.filter((name) => /^step-\d{8}$/.test(name)).map((name) => Number(name.slice(5)));
}

async function fill(path: string, name: string, tensor: Tensor, store: TensorStore): Promise<void> {
  const stored = store.tensors.get(name);
  if (stored?.dtype !== "F32" || stored.shape.length !== 1 || stored.shape[0] !== tensor.size) {
    const found = stored ? `${stored.dtype} [${stored.shape}]` : "nothing";
    fail(
      "checkpoint",
      `${path}: ${name} should be F32 [${tensor.size}], the file holds ${found}`,
      "start a new run, or delete this checkpoint to go on from the one before",
    );
  }
  const bytes = await store.read(name);
  tensor.write(new Float32Array(bytes.slice().buffer));
}

/** What killed writes left; the caller holds the run's lock, so nobody is writing. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await listFolder(folder)) if (name.startsWith(".")) await remove(`${folder}/${name}`);
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
