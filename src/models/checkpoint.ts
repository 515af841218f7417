import { fail } from "../errors.ts";
import {
  fromFloat32,
  type StoredDType,
  type TensorStore,
  type TensorToStore,
  toFloat32,
} from "../formats/index.ts";
import type { Parameter } from "../nn/index.ts";
import { type Device, empty, keep, show, sizeOf } from "../tensor/index.ts";
import { partOf } from "./counts.ts";
import type { Decoder, DecoderConfig } from "./decoder.ts";
import { describeConfig } from "./families.ts";
import { withScales } from "./fp8.ts";
import { type FileLayout, type PlacedPart, placedParts, runsOf } from "./layout.ts";
import { fileOf, namedFor, remedyForMissing } from "./names.ts";
import {
  floatsOf,
  PieceBinder,
  readPiece,
  readRun,
  rowsOfPieces,
  type StoredRun,
  valuesOf,
  weightDType,
} from "./pieces.ts";
import { hasOwnHead, withEmbedding } from "./tied.ts";

/** How weights are written, or held: all as f32, or the matrices as bf16 (norms, biases and routers stay f32). */
export type WeightPrecision = "f32" | "bf16";

export interface ReadOptions {
  /**
   * How the matrices are held. "stored" (the default): for inference, as the file holds them, in its dtype, and mapped where the
   * kernels and the file allow it, so that they are read when they are used. "f32": in memory, one tensor a parameter, that can be
   * trained. "bf16": in half that memory, for inference. Norms, biases and routers are f32 always.
   */
  readonly weights?: WeightPrecision | "stored";
  /** What errors call the config; default config.json. */
  readonly source?: string;
  /** Where its parameters stand in the store, for a model of this config; default: where its family has them. */
  readonly layout?: (config: DecoderConfig) => FileLayout;
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
  let model = describeConfig(config, options.source);
  try {
    const own = options.layout ? store : namedFor(model, model.layout, store);
    if (model.tied && !options.layout && (await hasOwnHead(model.layout, own))) {
      model.dispose();
      model = describeConfig(withOwnHead(config), options.source);
      const why = "tie_word_embeddings is true, but the weights hold another output layer, which is used";
      model.notes = [...model.notes, `${options.source ?? "config.json"}: ${why}`];
    }
    const layout = options.layout?.(model.config) ?? model.layout;
    const whole = model.tied ? withEmbedding(layout, own) : own;
    await readInto(planReading(model, layout, whole), whole, device, options.weights ?? "stored");
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}

/** The config of a model whose head is not its embedding. */
function withOwnHead(config: unknown): unknown {
  const json = config as Readonly<Record<string, unknown>>;
  const { text_config: text } = json;
  const untied = { tie_word_embeddings: false };
  return typeof text === "object" && text !== null
    ? { ...json, text_config: { ...text, ...untied } }
    : { ...json, ...untied };
}

async function readInto(
  plan: readonly Planned[],
  store: TensorStore,
  device: Device,
  weights: WeightPrecision | "stored",
): Promise<void> {
  const binder = new PieceBinder(device, store);
  try {
    for (const { name, parameter, parts } of plan) {
      const isMatrix = parameter.decay && partOf(name) !== "router";
      const rows = isMatrix && weights === "stored" ? rowsOfPieces(parameter, parts) : null;
      if (rows !== null) await binder.bind(parameter, parts, rows);
      else {
        const dtype = isMatrix && weights === "bf16" ? "bf16" : "f32";
        parameter.bind(keep(empty(device, parameter.shape, dtype)));
        await readValues(parameter, parts, store);
      }
    }
  } finally {
    binder.dispose();
  }
}

/**
 * Reads the weights of `store` into a model that has memory already, such as one that is trained on. Errors
 * as {@link readModel}.
 */
export async function readWeights(model: Decoder, store: TensorStore): Promise<void> {
  const named = namedFor(model, model.layout, store);
  const own = model.tied ? withEmbedding(model.layout, named) : named;
  for (const { parameter, parts } of planReading(model, model.layout, own))
    await readValues(parameter, parts, own);
}

/**
 * The weights of `model` as its family's files hold them; each is read from the device when it is written.
 */
export function modelTensors(model: Decoder, precision: WeightPrecision = "f32"): TensorToStore[] {
  const dtype = precision === "bf16" ? "BF16" : "F32";
  const tensors: TensorToStore[] = [];
  for (const [name, parameter] of model.tensors()) {
    const files = new Map<string, PlacedPart[]>();
    for (const part of placedParts(model.savedLayout(), name, parameter.shape)[0]) {
      const before = files.get(part.run.file);
      if (before) before.push(part);
      else files.set(part.run.file, [part]);
    }
    for (const [file, parts] of files) {
      checkWhole(name, parts);
      const bytes = () => fileTensor(parameter, parts, dtype);
      tensors.push({ name: file, dtype, shape: parts[0].run.shape, bytes });
    }
  }
  return tensors;
}

/** The parts of one file tensor must cover it in order. */
function checkWhole(name: string, parts: readonly PlacedPart[]): void {
  let covered = 0;
  for (const { run, shape, transform } of parts) {
    const isWritten = transform ? transform.write && run.size === sizeOf(shape) : true;
    if (!isWritten || run.start !== covered)
      fail(
        "model",
        `saving ${name}: its files hold it in a form (${transform?.name ?? "fused"}) that is only read`,
      );
    covered += run.size;
  }
  const { file, shape } = parts[0].run;
  if (covered !== sizeOf(shape))
    fail("model", `saving ${name}: it is ${covered} of the elements of ${file} ${show(shape)}`);
}

async function fileTensor(
  parameter: Parameter,
  parts: readonly PlacedPart[],
  dtype: "F32" | "BF16",
): Promise<Uint8Array<ArrayBuffer>> {
  const encoded = async ({ shape, start, transform }: PlacedPart): Promise<Uint8Array<ArrayBuffer>> => {
    const values = await valuesOf(parameter, start, sizeOf(shape));
    return fromFloat32(dtype, transform?.write?.(values) ?? values);
  };
  if (parts.length === 1) return await encoded(parts[0]);
  const out = new Uint8Array(sizeOf(parts[0].run.shape) * (dtype === "F32" ? 4 : 2));
  let at = 0;
  for (const part of parts) {
    const bytes = await encoded(part);
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

interface Planned {
  readonly name: string;
  readonly parameter: Parameter;
  readonly parts: readonly PlacedPart[];
}

/**
 * Decides for every parameter which file tensors it comes from; a missing, surplus or wrongly shaped one is
 * an error that names it.
 */
function planReading(model: Decoder, layout: FileLayout, store: TensorStore): Planned[] {
  const plan: Planned[] = [];
  const head = fileOf(layout, "head.weight");
  const unread = new Set([...store.tensors.keys()].filter((name) => !isRedundant(name, model, head)));
  for (const [name, parameter] of model.tensors()) {
    const ways = placedParts(layout, name, parameter.shape);
    const isThere = ([first]: readonly PlacedPart[]): boolean =>
      runsOf(first).every(({ file }) => store.tensors.has(file));
    const parts = (ways.find(isThere) ?? ways[0]).map((part) => withScales(part, store));
    for (const part of parts) {
      checkPart(part, name, store, layout);
      for (const { file } of runsOf(part)) unread.delete(file);
    }
    plan.push({ name, parameter, parts });
  }
  if (unread.size > 0) {
    const [first] = unread;
    const others = unread.size > 1 ? ` and ${unread.size - 1} more` : "";
    fail("model", `the weights hold ${first}${others}, which the model has no place for`, otherModel);
  }
  return plan;
}

const otherModel = "check that config.json and the weights are of the same model, and complete";

/** A second copy of a tied embedding, the angles of the rotary embedding that old files carry, and what the model leaves out. */
function isRedundant(file: string, model: Decoder, head: string): boolean {
  return (model.tied && file === head) || file.endsWith("rotary_emb.inv_freq") || model.leavesOut(file);
}

function checkPart(part: PlacedPart, name: string, store: TensorStore, layout: FileLayout): void {
  for (const [i, { file, shape }] of runsOf(part).entries()) {
    const stored =
      store.tensors.get(file) ??
      fail(
        "model",
        `the weights have no tensor ${file} (for ${name})`,
        remedyForMissing(file, fileOf(layout, "head.weight"), [...store.tensors.keys()]),
      );
    if (stored.shape.length !== shape.length || stored.shape.some((size, axis) => size !== shape[axis]))
      fail(
        "model",
        `the tensor ${file} has shape ${show(stored.shape)}; its config makes it ${show(shape)}`,
        otherModel,
      );
    const readable = part.transform?.dtypes[i] ?? plainDTypes;
    if (!readable.includes(stored.dtype) && (part.transform || !weightDType(stored.dtype)))
      fail(
        "model",
        `the tensor ${file} is stored as ${stored.dtype}; ${listed(readable)} can be read`,
        `use a file that holds it as ${listed(readable)}`,
      );
  }
}

/** Besides blocks. */
const plainDTypes: readonly StoredDType[] = ["F32", "F16", "BF16", "F64"];

/** "F32, F16 and F64". */
function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** Writes what `parts` hold into the memory of `parameter`. */
async function readValues(
  parameter: Parameter,
  parts: readonly PlacedPart[],
  store: TensorStore,
): Promise<void> {
  for (const part of parts) {
    const { dtype, bytes } = part.transform
      ? await madeValues(part, store, parameter.value.device)
      : await readRun(part.run, store);
    const into = parameter.value.view(part.shape, part.start);
    into.write(into.dtype === "bf16" ? toBf16(dtype, bytes) : toFloat32(dtype, bytes));
    into.dispose();
  }
}

async function madeValues(part: PlacedPart, store: TensorStore, device: Device): Promise<StoredRun> {
  const piece = await readPiece(part, store, device);
  try {
    return { dtype: "F32", bytes: fromFloat32("F32", await floatsOf(piece, 0, piece.size)) };
  } finally {
    piece.dispose();
  }
}

/** The bits of stored floats as bf16, rounded to nearest even. */
function toBf16(dtype: StoredDType, bytes: Uint8Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const rounded = dtype === "BF16" ? bytes.slice() : fromFloat32("BF16", toFloat32(dtype, bytes));
  return new Uint16Array(rounded.buffer, rounded.byteOffset, rounded.byteLength / 2);
}
