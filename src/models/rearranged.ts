/**
 * Stored weights that lie otherwise than ours: columns for rows, gate's and up's rows by turns, the features of a head in another order,
 * MXFP4 blocks in another order. These move bytes and compute nothing.
 *
 * N rows and K columns of a matrix as we hold it.
 */
import { fail } from "../errors.ts";
import { view } from "../formats/dtypes.ts";
import type { StoredDType } from "../formats/index.ts";
import { blockFormats } from "../kernels/blocks/index.ts";
import type { Shape } from "../tensor/index.ts";
import type { FileLayout, FilePart, FileRun, PartsRule, StoredRun, Transform } from "./layout.ts";

/** Which stored row (or column, where they are stored as columns) our row is. */
export type RowOrder = (row: number) => number;

const asStored: RowOrder = (row) => row;

/** Our rows are gate's, then up's; stored are gate 0, up 0, gate 1, ... `rows`: of both. */
export function byTurns(rows: number): RowOrder {
  return (row) => (row < rows / 2 ? 2 * row : 2 * row - rows + 1);
}

const floats: readonly StoredDType[] = ["F32", "F16", "BF16"];

/** The elements of a stored tensor of one of these, by their bits. */
function words(
  dtype: StoredDType,
  bytes: Uint8Array<ArrayBuffer>,
): Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  return dtype === "F32" ? view(Uint32Array, bytes) : view(Uint16Array, bytes);
}

/** Rows [E, N] of single numbers, each row in another order. */
export function reorderedBias(file: string, shape: Shape, order: RowOrder): FilePart {
  const n = shape[1];
  const read = ([{ dtype, bytes }]: readonly StoredRun[]): StoredRun => {
    const from = words(dtype, bytes);
    const out = from.slice();
    for (let i = 0; i < out.length; i++) out[i] = from[i - (i % n) + order(i % n)];
    return { dtype, bytes: new Uint8Array(out.buffer) };
  };
  const write = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => {
    const out = values.slice();
    for (let i = 0; i < out.length; i++) out[i - (i % n) + order(i % n)] = values[i];
    return out;
  };
  const transform = { name: "gate and up by turns", dtypes: [floats], beside: [], read, write };
  return { file, shape, from: null, transform };
}

/** One matrix [N, K] that is stored as [K, N], its columns in another order. */
export function transposed(name: string, [rows, columns]: Shape, order: RowOrder = asStored): Transform {
  const read = ([{ dtype, bytes }]: readonly StoredRun[]): StoredRun => {
    const from = words(dtype, bytes);
    const out = from.slice();
    for (let n = 0; n < rows; n++) {
      const column = order(n);
      for (let k = 0; k < columns; k++) out[n * columns + k] = from[k * rows + column];
    }
    return { dtype, bytes: new Uint8Array(out.buffer) };
  };
  const write = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => {
    const out = values.slice();
    for (let n = 0; n < rows; n++) {
      const column = order(n);
      for (let k = 0; k < columns; k++) out[k * rows + column] = values[n * columns + k];
    }
    return out;
  };
  return { name, dtypes: [floats], beside: [], read, write };
}

/** The matrices of a stack [E, K, N], each of which we hold as [N, K]. */
export function transposedStack(
  file: string,
  [experts, rows, columns]: Shape,
  name: string,
  order?: RowOrder,
): FilePart[] {
  const transform = transposed(name, [rows, columns], order);
  const stack = [experts, columns, rows];
  return Array.from({ length: experts }, (_, e) => ({
    file,
    shape: [rows, columns],
    from: { shape: stack, start: e * rows * columns },
    transform,
  }));
}

const { elements: inBlock, bytes: blockBytes } = blockFormats.mxfp4;
const nibbles = inBlock / 2;

/**
 * The matrices [N, K] of a stack in MXFP4 as Hugging Face files hold it: `FILE_blocks` u8 [E, N, K/32, 16], with element 2i in the low
 * half of byte i and 2i + 1 in the high, and `FILE_scales` u8 [E, N, K/32]. They become blocks as ours, still of 4 bits.
 */
export function mxfp4Stack(
  file: string,
  [experts, rows, columns]: Shape,
  order: RowOrder = asStored,
): FilePart[] {
  const blocks = columns / inBlock;
  const shape = [experts, rows, blocks, nibbles];
  return Array.from({ length: experts }, (_, e) => ({
    file: `${file}_blocks`,
    shape: [rows, columns],
    from: { shape, start: e * rows * blocks * nibbles, size: rows * blocks * nibbles },
    transform: mxfp4Blocks(rows, blocks, order, {
      file: `${file}_scales`,
      shape: shape.slice(0, 3),
      start: e * rows * blocks,
      size: rows * blocks,
    }),
  }));
}

function mxfp4Blocks(rows: number, blocks: number, order: RowOrder, scales: FileRun): Transform {
  const read = ([packed, scale]: readonly StoredRun[]): StoredRun => {
    const out = new Uint8Array(rows * blocks * blockBytes);
    for (let n = 0; n < rows; n++)
      for (let b = 0; b < blocks; b++) {
        const [from, to] = [order(n) * blocks + b, (n * blocks + b) * blockBytes];
        out[to] = scale.bytes[from];
        repack(packed.bytes, from * nibbles, out, to + 1);
      }
    return { dtype: "MXFP4", bytes: out };
  };
  return { name: "MXFP4", dtypes: [["U8"], ["U8"]], beside: [scales], read, write: null };
}

/** From elements 2i and 2i + 1 in a byte to elements i and i + 16. */
function repack(stored: Uint8Array, from: number, out: Uint8Array, to: number): void {
  for (let i = 0; i < nibbles / 2; i++) {
    const [first, second] = [stored[from + i], stored[from + nibbles / 2 + i]];
    out[to + 2 * i] = (first & 15) | (second << 4);
    out[to + 2 * i + 1] = (first >> 4) | (second & 240);
  }
}

/**
 * The layout of a model whose queries and keys turn in pairs (2i, 2i + 1) of a head's C features, as GGUF files have them, in files where
 * they are (i, i + C / 2): their rows go to other places when they are saved. Such files are not read into it.
 */
export function turningInHalves(layout: FileLayout, headDim: number): FileLayout {
  const order = byTurns(headDim);
  const write = (values: Float32Array<ArrayBuffer>, columns: number): Float32Array<ArrayBuffer> => {
    const out = values.slice();
    for (let row = 0; row < values.length / columns; row++) {
      const ours = row - (row % headDim) + order(row % headDim);
      out.set(values.subarray(ours * columns, (ours + 1) * columns), row * columns);
    }
    return out;
  };
  const moved = (rule: PartsRule): PartsRule => {
    return (layer, shape) => {
      const [[one]] = rule(layer, shape);
      const read = (): never => fail("state", `${one.file}: read for pairs of neighbours`);
      const own = (values: Float32Array<ArrayBuffer>) => write(values, shape[1] ?? 1);
      return [[{ ...one, transform: { name: "halves", dtypes: [floats], beside: [], read, write: own } }]];
    };
  };
  const names = ["q", "k"].flatMap((letter) =>
    ["weight", "bias"].map((kind) => `layers.#.attention.${letter}.${kind}`),
  );
  return { ...layout, ...Object.fromEntries(names.map((name) => [name, moved(layout[name])])) };
}

/** Whether rows of `columns` fill whole MXFP4 blocks. */
export function fitsMxfp4(columns: number): boolean {
  return columns % inBlock === 0;
}
