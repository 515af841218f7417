import { fail } from "../errors.ts";
import {
  fromFloat32,
  type StoredDType,
  type TensorStore,
  type TensorToStore,
  toFloat32,
} from "../formats/index.ts";
import { allocate, type Parameter } from "../nn/index.ts";
import { type Device, show, sizeOf, type Tensor } from "../tensor/index.ts";
import { partOf } from "./counts.ts";
import type { Decoder } from "./decoder.ts";
import { describeConfig } from "./families.ts";
import { type FileRun, type PlacedPart, placedParts, runsOf, type StoredRun } from "./layout.ts";

/**
 * How weights are held: all as f32, or the matrices as bf16 (half the memory; norms, biases and routers
 * stay f32).
 */
export type WeightPrecision = "f32" | "bf16";

export interface ReadOptions {
  /** In memory, for inference; default f32. */
  readonly weights?: WeightPrecision;
  /** What errors call the config; default config.json. */
  readonly source?: string;
}

/**
 * Makes the model of a parsed config.json and reads its weights. Errors: "model", "config", "file-damaged".
 */
export async function readModel(
  config: unknown,
  store: TensorStore,
  device: Device,
  options: ReadOptions = {},
): Promise<Decoder> {
  const { weights = "f32", source } = options;
  const model = describeConfig(config, source);
  const plan = planReading(model, store);
  allocate(model, device, (name, { decay }) => (decay && partOf(name) !== "router" ? weights : "f32"));
  try {
    await readParts(plan, store);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}

/**
 * Reads the weights of `store` into a model that has memory already, such as one that is trained on. Errors
 * as {@link readModel}.
 */
export async function readWeights(model: Decoder, store: TensorStore): Promise<void> {
  await readParts(planReading(model, store), store);
}

/**
 * The weights of `model` as its family's files hold them; each is read from the device when it is written.
 */
export function modelTensors(model: Decoder, precision: WeightPrecision = "f32"): TensorToStore[] {
  const dtype = precision === "bf16" ? "BF16" : "F32";
  const tensors: TensorToStore[] = [];
  for (const [name, parameter] of model.tensors()) {
    for (const { run, shape, start, transform } of placedParts(model.layout, name, parameter.shape)[0]) {
      if (transform || run.size !== sizeOf(run.shape))
        fail(
          "model",
          `saving ${name}: its files hold it in a form (${transform?.name ?? "fused"}) that is only read`,
        );
      tensors.push({
        name: run.file,
        dtype,
        shape,
        bytes: () => storedBytes(parameter.value.view(shape, start), dtype),
      });
    }
  }
  return tensors;
}

interface PlannedPart {
  readonly part: PlacedPart;
  readonly parameter: Parameter;
}

/**
 * Decides for every parameter which file tensors it comes from; a missing, surplus or wrongly shaped one is
 * an error that names it.
 */
function planReading(model: Decoder, store: TensorStore): PlannedPart[] {
  const plan: PlannedPart[] = [];
  const unread = new Set([...store.tensors.keys()].filter((name) => !isRedundant(name, model)));
  for (const [name, parameter] of model.tensors()) {
    const ways = placedParts(model.layout, name, parameter.shape);
    const isThere = ([first]: readonly PlacedPart[]): boolean =>
      runsOf(first).every(({ file }) => store.tensors.has(file));
    for (const part of ways.find(isThere) ?? ways[0]) {
      checkPart(part, name, store);
      for (const { file } of runsOf(part)) unread.delete(file);
      plan.push({ part, parameter });
    }
  }
  if (unread.size > 0) {
    const [first] = unread;
    const others = unread.size > 1 ? ` and ${unread.size - 1} more` : "";
    fail("model", `the weights hold ${first}${others}, which the model of config.json has no place for`);
  }
  return plan;
}

/** A second copy of a tied embedding, and the angles of the rotary embedding that old files carry. */
function isRedundant(file: string, model: Decoder): boolean {
  return (model.tied && file === "lm_head.weight") || file.endsWith("rotary_emb.inv_freq");
}

function checkPart(part: PlacedPart, name: string, store: TensorStore): void {
  for (const [i, { file, shape }] of runsOf(part).entries()) {
    const stored =
      store.tensors.get(file) ?? fail("model", `the weights have no tensor ${file} (for ${name})`);
    if (show(stored.shape) !== show(shape))
      fail(
        "model",
        `the tensor ${file} has shape ${show(stored.shape)}; config.json makes it ${show(shape)}`,
      );
    const readable = part.transform?.dtypes[i] ?? plainDTypes;
    if (!readable.includes(stored.dtype))
      fail("model", `the tensor ${file} is stored as ${stored.dtype}; ${listed(readable)} can be read`);
  }
}

const plainDTypes: readonly StoredDType[] = ["F32", "F16", "BF16", "F64"];

/** "F32, F16 and F64". */
function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

async function readParts(plan: readonly PlannedPart[], store: TensorStore): Promise<void> {
  for (const { part, parameter } of plan) {
    const runs: StoredRun[] = [];
    for (const run of runsOf(part)) runs.push(await readRun(run, store));
    const { dtype, bytes } = part.transform?.read(runs) ?? runs[0];
    const into = parameter.value.view(part.shape, part.start);
    into.write(into.dtype === "bf16" ? toBf16(dtype, bytes) : toFloat32(dtype, bytes));
    into.dispose();
  }
}

async function readRun({ file, shape, start, size }: FileRun, store: TensorStore): Promise<StoredRun> {
  const { dtype, byteLength } = store.tensors.get(file)!;
  const bytesPerElement = byteLength / Math.max(1, sizeOf(shape));
  const bytes = await store.read(file, start * bytesPerElement, (start + size) * bytesPerElement);
  return { dtype, bytes };
}

/** The bits of stored floats as bf16, rounded to nearest even. */
function toBf16(dtype: StoredDType, bytes: Uint8Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const rounded = dtype === "BF16" ? bytes.slice() : fromFloat32("BF16", toFloat32(dtype, bytes));
  return new Uint16Array(rounded.buffer, rounded.byteOffset, rounded.byteLength / 2);
}

/** The values of `piece`, which is given up, as the bytes of a file. */
async function storedBytes(piece: Tensor, dtype: "F32" | "BF16"): Promise<Uint8Array<ArrayBuffer>> {
  const values = await piece.data();
  const isBf16 = piece.dtype === "bf16";
  piece.dispose();
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (isBf16) return dtype === "BF16" ? bytes : fromFloat32("F32", toFloat32("BF16", bytes));
  return fromFloat32(dtype, values as Float32Array<ArrayBuffer>);
}
