/**
 * Weights held as their files hold them: file tensors, or runs of them, become the pieces of a parameter in their stored dtype, mapped
 * where the kernels and the file allow it, else copied. Those that a file holds in another form are made when they are first used. And
 * back: a weight's values, however it is held.
 */
import { type StoredDType, type TensorStore, toFloat32 } from "../formats/index.ts";
import { blockOf, longestList, weightDTypes } from "../kernels/abi.ts";
import type { Parameter } from "../nn/index.ts";
import {
  type Device,
  type DType,
  empty,
  type HostArray,
  keep,
  MadeTensor,
  MappedFile,
  type Shape,
  scope,
  sizeOf,
  type Tensor,
} from "../tensor/index.ts";
import { type FileRun, type PlacedPart, runsOf } from "./layout.ts";

/** The dtype of weights stored as `dtype` that products take as they are; undefined where there is none. */
export function weightDType(dtype: StoredDType): DType | undefined {
  return weightDTypes.find((name) => name.toUpperCase() === dtype);
}

/** The rows of each piece of a parameter that consists of `parts`; null where there would be too many. */
export function rowsOfPieces({ shape, size }: Parameter, parts: readonly PlacedPart[]): number | null {
  const columns = shape.at(-1) ?? 1;
  const oneExpert = shape.length > 2 ? shape[shape.length - 2] : size / columns;
  const rows = parts.reduce((common, part) => divisor(common, sizeOf(part.shape) / columns), oneExpert);
  return size / columns / rows <= longestList ? rows : null;
}

/** Greatest common divisor. */
function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Binds parameters to what one store holds. Dispose of it when all are bound: the pieces stay. */
export class PieceBinder {
  private readonly device: Device;
  private readonly store: TensorStore;
  private readonly files = new Map<string, MappedFile>();

  constructor(device: Device, store: TensorStore) {
    this.device = device;
    this.store = store;
  }

  /** Binds `parameter` to `parts` in pieces of `rows` rows. Errors: those of reading. */
  async bind(parameter: Parameter, parts: readonly PlacedPart[], rows: number): Promise<void> {
    const columns = parameter.shape.at(-1) ?? 1;
    const shape = parameter.shape.length > 1 ? [rows, columns] : parameter.shape;
    const pieces: Tensor[] = [];
    try {
      for (const part of parts) {
        const whole =
          this.made(part) ?? this.mapped(part) ?? (await readPiece(part, this.store, this.device));
        if (whole instanceof MadeTensor && whole.size === rows * columns) {
          pieces.push(keep(whole));
          continue;
        }
        for (let start = 0; start < whole.size; start += rows * columns)
          pieces.push(keep(whole.view(shape, start)));
        whole.dispose();
      }
      parameter.bindPieces(pieces);
    } catch (error) {
      for (const piece of pieces) piece.dispose();
      throw error;
    }
  }

  dispose(): void {
    for (const file of this.files.values()) file.dispose();
    this.files.clear();
  }

  /** What is used where it lies. */
  private mapped({ run, shape, transform }: PlacedPart): Tensor | null {
    const place = transform ? null : this.placeOf(run);
    return place && place.dtype !== "u8" ? place.file.tensor(place.offset, shape, place.dtype) : null;
  }

  /** What is made of bytes in the file when it is needed. */
  private made({ run, shape, transform }: PlacedPart): MadeTensor | null {
    if (!transform) return null;
    const places = [run, ...transform.beside].map((own) => this.placeOf(own));
    if (!places.every((place) => place?.whole)) return null;
    const sources: Tensor[] = [];
    try {
      for (const { file, offset, size, dtype } of places as RunPlace[])
        sources.push(keep(file.tensor(offset, [size], dtype)));
    } catch (error) {
      for (const source of sources) source.dispose();
      throw error;
    }
    const dtype = transform.dtype(sources.map((source) => source.dtype));
    return new MadeTensor(this.device, shape, dtype, { name: run.file, sources, make: transform.make });
  }

  /** Null where the kernels cannot map it. */
  private placeOf({ file: name, shape, start, size }: FileRun): RunPlace | null {
    const { place, byteLength, dtype: stored } = this.store.tensors.get(name)!;
    if (!place || this.device.kernels.mapping === null) return null;
    const file = this.files.get(place.path) ?? new MappedFile(this.device, place.path);
    this.files.set(place.path, file);
    const offset = place.offset + start * (byteLength / sizeOf(shape));
    const dtype = runDType(stored);
    const { elements, bytes } = blockOf(dtype);
    return { file, offset, size, dtype, whole: elements > 1 || offset % bytes === 0 };
  }
}

/** Where a run lies in a mapped file. */
interface RunPlace {
  readonly file: MappedFile;
  readonly offset: number;
  readonly size: number;
  readonly dtype: DType;
  /** It begins at a multiple of its elements, as kernels that make pieces of it want. */
  readonly whole: boolean;
}

/** A run's dtype as a tensor: its bytes where there is none. */
function runDType(dtype: StoredDType): DType {
  return weightDType(dtype) ?? "u8";
}

/** A part as a tensor of its own, read and made now. Errors: those of reading. */
export async function readPiece(part: PlacedPart, store: TensorStore, device: Device): Promise<Tensor> {
  const { shape, transform } = part;
  if (!transform) return upload(await readRun(part.run, store), shape, device);
  const runs: Tensor[] = [];
  try {
    for (const run of runsOf(part)) runs.push(upload(await readRun(run, store), [run.size], device));
    return keep(scope(() => transform.make(runs).view(shape)));
  } finally {
    for (const run of runs) run.dispose();
  }
}

function upload({ dtype, bytes }: StoredRun, shape: Shape, device: Device): Tensor {
  const plain = dtype === "F64";
  const copy = keep(empty(device, shape, plain ? "f32" : runDType(dtype)));
  copy.write(plain ? toFloat32(dtype, bytes) : hostForm(copy.dtype, bytes));
  return copy;
}

/** The elements of a {@link FileRun} as they are stored. */
export interface StoredRun {
  readonly dtype: StoredDType;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export async function readRun({ file, shape, start, size }: FileRun, store: TensorStore): Promise<StoredRun> {
  const { dtype, byteLength } = store.tensors.get(file)!;
  const bytesPerElement = byteLength / Math.max(1, sizeOf(shape));
  const bytes = await store.read(file, start * bytesPerElement, (start + size) * bytesPerElement);
  return { dtype, bytes };
}

/** Bytes as what {@link Tensor.write} takes for a dtype. */
function hostForm(dtype: DType, bytes: Uint8Array<ArrayBuffer>): HostArray {
  if (dtype === "f32") return toFloat32("F32", bytes);
  if (dtype !== "bf16" && dtype !== "f16") return bytes;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** The f32 values of `size` elements of a weight from `start` on, however it is held; whole pieces of it, or within one. */
export async function valuesOf(
  parameter: Parameter,
  start: number,
  size: number,
): Promise<Float32Array<ArrayBuffer>> {
  const values = new Float32Array(size);
  let begin = 0;
  for (const piece of parameter.pieces ?? [parameter.value]) {
    const [from, to] = [Math.max(begin, start), Math.min(begin + piece.size, start + size)];
    if (from < to) values.set(await floatsOf(piece, from - begin, to - from), from - start);
    begin += piece.size;
  }
  return values;
}

/** The f32 values of `size` elements from `start` on. What is made for it does not stay. */
export async function floatsOf(
  piece: Tensor,
  start: number,
  size: number,
): Promise<Float32Array<ArrayBuffer>> {
  const goes = piece instanceof MadeTensor && !piece.there;
  const part = piece.view([size], start);
  try {
    const values = await part.data();
    if (values instanceof Float32Array) return values;
    const stored = piece.dtype.toUpperCase() as StoredDType;
    return toFloat32(stored, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  } finally {
    part.dispose();
    if (goes) piece.letGo();
  }
}
