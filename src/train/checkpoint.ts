/**
 * Exact resume. A model in training keeps `state/step-NNNNNNNN/` folders, each written whole or not at all:
 * `arena.safetensors` (weights and both moments, f32 as they lie in memory: routing biases are among the weights) and `state.json`, with
 * the place of each parameter in the arena. All else that a run needs (batches, noise, learning rate) follows from the seed and the step.
 */
import { z } from "zod";
import { ConclaveError, fail } from "../errors.ts";
import { replaceFolderAtomic, writeFileAtomic } from "../formats/files.atomic.ts";
import { listFolder, remove } from "../formats/files.folders.ts";
import { readJson } from "../formats/files.read.ts";
import { openTensors, writeTensors } from "../formats/files.safetensors.ts";
import type { TensorStore } from "../formats/store.ts";
import { firstFault } from "../moe/index.ts";
import type { Tensor } from "../tensor/index.ts";
import { type ArenaLayout, arenaLayoutSchema, layoutOf, movesBetween, rearranged } from "./arena-layout.ts";
import type { Evaluation } from "./evaluate.ts";
import { evaluationSchema } from "./evaluation-schema.ts";
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

const format = 2;

const progress = {
  step: z.int().nonnegative(),
  metricsBytes: z.int().nonnegative(),
  seconds: z.strictObject({ steps: z.number().nonnegative(), all: z.number().nonnegative() }),
  evaluation: evaluationSchema.nullable(),
};

/** Format 1 does not say where parameters lie: as those of the model that it was written by. */
const stateSchema = z.discriminatedUnion("format", [
  z.strictObject({ format: z.literal(1), ...progress }),
  z.strictObject({ format: z.literal(format), ...progress, arena: arenaLayoutSchema }),
]);

type State = z.infer<typeof stateSchema>;

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
  const arena = layoutOf(optimizer.arena);
  await replaceFolderAtomic(path, async (place) => {
    const stored = parts.map((name) => ({
      name,
      dtype: "F32" as const,
      shape: tensors[name].shape,
      bytes: async () => bytesOf(await tensors[name].data()),
    }));
    await writeTensors(`${place}/arena.safetensors`, stored);
    await writeFileAtomic(`${place}/state.json`, JSON.stringify({ format, ...progress, arena }));
  });
  for (const step of (await checkpointSteps(folder)).slice(0, -keep))
    await remove(checkpointPath(folder, step));
  return path;
}

/**
 * The newest checkpoint in `folder`, put into `optimizer` and its arena; null where there is none. One whose parameters lie in another order or
 * at other places is read by their names. Error "checkpoint", which names the file: it is damaged, of a later version, or of another model.
 */
export async function loadCheckpoint(folder: string, optimizer: AdamW): Promise<Progress | null> {
  await removeLeftovers(`${folder}/state`);
  const steps = await checkpointSteps(folder);
  const step = steps.at(-1);
  if (step === undefined) return null;
  const path = checkpointPath(folder, step);
  const before = steps.at(-2);
  const remedy =
    before === undefined
      ? "start the run anew: there is no checkpoint before it"
      : `delete ${path} to go on from the checkpoint before it, of step ${before}`;
  const state = await readState(`${path}/state.json`, step, remedy);
  await asCheckpoint(remedy, () => readArena(path, state, optimizer));
  const { metricsBytes, seconds, evaluation } = state;
  return { step, metricsBytes, seconds, evaluation };
}

async function readState(file: string, step: number, remedy: string): Promise<State> {
  const json = await asCheckpoint(remedy, () => readJson(file));
  const parsed = stateSchema.safeParse(json);
  if (!parsed.success) {
    const { path, what } = firstFault(parsed.error);
    return fail("checkpoint", `${file}: ${path.join(".") || "the state"}: ${what}`, remedy);
  }
  if (parsed.data.step !== step)
    fail("checkpoint", `${file}: step: it is ${parsed.data.step}, in the folder of step ${step}`, remedy);
  return parsed.data;
}

async function readArena(path: string, state: State, { arena, m, v }: AdamW): Promise<void> {
  const wanted = layoutOf(arena);
  const stored = state.format === 1 ? wanted : state.arena;
  const moves = movesBetween(stored, wanted, `${path}/state.json`);
  const file = `${path}/arena.safetensors`;
  const store = await openTensors(file);
  try {
    for (const [name, tensor] of Object.entries({ values: arena.values, m, v })) {
      const elements = await readPart(file, name, stored, store);
      tensor.write(rearranged(elements, moves, wanted.elements));
    }
  } finally {
    await store.close();
  }
}

/** What a damaged or missing file means here; an error of the disk stays what it is. */
async function asCheckpoint<T>(remedy: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof ConclaveError)) throw cause;
    if (cause.code !== "file-damaged" && cause.code !== "file-missing") throw cause;
    throw new ConclaveError("checkpoint", cause.message, { remedy, cause });
  }
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

async function readPart(
  file: string,
  name: string,
  { elements }: ArenaLayout,
  store: TensorStore,
): Promise<Float32Array<ArrayBuffer>> {
  const stored = store.tensors.get(name);
  if (stored?.dtype !== "F32" || stored.shape.length !== 1 || stored.shape[0] !== elements) {
    const found = stored ? `${stored.dtype} [${stored.shape}]` : "nothing";
    fail("checkpoint", `${file}: ${name} should be F32 [${elements}], the file holds ${found}`);
  }
  return new Float32Array((await store.read(name)).slice().buffer);
}

/** What killed writes left; the caller holds the run's lock, so nobody is writing. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await listFolder(folder)) if (name.startsWith(".")) await remove(`${folder}/${name}`);
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
