/**
 * Weights held as their files hold them: file tensors, or runs of them, become the pieces of a parameter in their stored dtype,
 * mapped where the kernels and the file allow it, else copied. And back: a weight's values, however it is held.
 */
import { type StoredDType, type TensorStore, toFloat32 } from "../formats/index.ts";
import { longestList, weightDTypes } from "../kernels/abi.ts";
import type { Parameter } from "../nn/index.ts";
import {
  type Device,
  type DType,
  empty,
  type HostArray,
  keep,
  MappedFile,
  sizeOf,
  type Tensor,
} from "../tensor/index.ts";
import type { PlacedPart, StoredRun } from "./layout.ts";

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
  private readonly read: (part: PlacedPart) => Promise<StoredRun>;
  private readonly files = new Map<string, MappedFile>();

  /** `read` gives a part's values where they cannot be used in their place. */
  constructor(device: Device, store: TensorStore, read: (part: PlacedPart) => Promise<StoredRun>) {
    this.device = device;
    this.store = store;
    this.read = read;
  }

  /** Binds `parameter` to `parts` in pieces of `rows` rows. Errors: those of reading. */
  async bind(parameter: Parameter, parts: readonly PlacedPart[], rows: number): Promise<void> {
    const columns = parameter.shape.at(-1) ?? 1;
    const shape = parameter.shape.length > 1 ? [rows, columns] : parameter.shape;
    const pieces: Tensor[] = [];
    try {
      for (const part of parts) {
        const whole = this.mapped(part) ?? (await this.copied(part));
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

  private mapped({ run, shape, transform }: PlacedPart): Tensor | null {
    const { dtype, place, byteLength } = this.store.tensors.get(run.file)!;
    const weight = weightDType(dtype);
    if (transform || place === undefined || weight === undefined || !this.device.kernels.mapping) return null;
    const file = this.files.get(place.path) ?? new MappedFile(this.device, place.path);
    this.files.set(place.path, file);
    return file.tensor(place.offset + run.start * (byteLength / sizeOf(run.shape)), shape, weight);
  }

  private async copied(part: PlacedPart): Promise<Tensor> {
    const { dtype, bytes } = await this.read(part);
    const weight = weightDType(dtype);
    const copy = empty(this.device, part.shape, weight ?? "f32");
    copy.write(weight === undefined ? toFloat32(dtype, bytes) : hostForm(weight, bytes));
    return copy;
  }
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

async function floatsOf(piece: Tensor, start: number, size: number): Promise<Float32Array<ArrayBuffer>> {
  const part = piece.view([size], start);
  try {
    const values = await part.data();
    if (values instanceof Float32Array) return values;
    const stored = piece.dtype.toUpperCase() as StoredDType;
    return toFloat32(stored, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  } finally {
    part.dispose();
  }
}
