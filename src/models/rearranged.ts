/**
 * Stored weights that lie otherwise than ours: columns for rows, gate's and up's rows by turns, the features of a head in another order,
 * MXFP4 blocks in another order. These move bytes and compute nothing.
 *
 * N rows and K columns of a matrix as we hold it.
 */
import { fail } from "../errors.ts";
import type { StoredDType } from "../formats/index.ts";
import { blockFormats } from "../kernels/blocks/index.ts";
import { mxfp4Rows, permute, type Shape } from "../tensor/index.ts";
import type { FileLayout, FilePart, FileRun, PartsRule, Transform } from "./layout.ts";

const floats: readonly StoredDType[] = ["F32", "F16", "BF16"];

/** Of `rows` rows of as many matrices as take turns (one after the other as ours, row 0 of each, then row 1 ... as stored): where ours is. */
function stored(row: number, rows: number, turns: number): number {
  const each = rows / turns;
  return (row % each) * turns + Math.floor(row / each);
}

/** Rows [E, N] of single numbers; in each gate's and up's take turns. */
export function biasByTurns(file: string, [experts, n]: Shape): FilePart {
  const write = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => {
    const out = values.slice();
    for (let i = 0; i < out.length; i++) out[i - (i % n) + stored(i % n, n, 2)] = values[i];
    return out;
  };
  const transform: Transform = {
    name: "gate and up by turns",
    dtypes: [floats],
    beside: [],
    dtype: ([own]) => own,
    make: ([x]) => permute(x.view([experts, n / 2, 2]), [0, 2, 1]),
    write,
  };
  return { file, shape: [experts, n], from: null, transform };
}

/** One matrix [N, K] that is stored as [K, N], in which the columns of `turns` matrices take turns. */
export function transposed(name: string, [rows, columns]: Shape, turns: number): Transform {
  const write = (values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => {
    const out = values.slice();
    for (let n = 0; n < rows; n++) {
      const column = stored(n, rows, turns);
      for (let k = 0; k < columns; k++) out[k * rows + column] = values[n * columns + k];
    }
    return out;
  };
  return {
    name,
    dtypes: [floats],
    beside: [],
    dtype: ([own]) => own,
    make: ([x]) => permute(x.view([columns, rows / turns, turns]), [2, 1, 0]),
    write,
  };
}

/** The matrices of a stack [E, K, N], each of which we hold as [N, K]. */
export function transposedStack(
  file: string,
  [experts, rows, columns]: Shape,
  name: string,
  turns = 1,
): FilePart[] {
  const transform = transposed(name, [rows, columns], turns);
  const stack = [experts, columns, rows];
  return Array.from({ length: experts }, (_, e) => ({
    file,
    shape: [rows, columns],
    from: { shape: stack, start: e * rows * columns },
    transform,
  }));
}

const inBlock = blockFormats.mxfp4.elements;
const nibbles = inBlock / 2;

/**
 * The matrices [N, K] of a stack in MXFP4 as Hugging Face files hold it: `FILE_blocks` u8 [E, N, K/32, 16], with element 2i in the low
 * half of byte i and 2i + 1 in the high, and `FILE_scales` u8 [E, N, K/32]. They become blocks as ours, still of 4 bits. The rows of `turns`
 * matrices take turns.
 */
export function mxfp4Stack(file: string, [experts, rows, columns]: Shape, turns = 1): FilePart[] {
  const blocks = columns / inBlock;
  const shape = [experts, rows, blocks, nibbles];
  return Array.from({ length: experts }, (_, e) => ({
    file: `${file}_blocks`,
    shape: [rows, columns],
    from: { shape, start: e * rows * blocks * nibbles, size: rows * blocks * nibbles },
    transform: mxfp4Blocks(rows, blocks, turns, {
      file: `${file}_scales`,
      shape: shape.slice(0, 3),
      start: e * rows * blocks,
      size: rows * blocks,
    }),
  }));
}

function mxfp4Blocks(rows: number, blocks: number, turns: number, scales: FileRun): Transform {
  return {
    name: "MXFP4",
    dtypes: [["U8"], ["U8"]],
    beside: [scales],
    dtype: () => "mxfp4",
    make: ([packed, exponents]) =>
      mxfp4Rows(packed.view([rows, blocks, nibbles]), exponents.view([rows, blocks]), turns),
    write: null,
  };
}

/**
 * The layout of a model whose queries and keys turn in pairs (2i, 2i + 1) of a head's C features, as GGUF files have them, in files where
 * they are (i, i + C / 2): their rows go to other places when they are saved. Such files are not read into it.
 */
export function turningInHalves(layout: FileLayout, headDim: number): FileLayout {
  const write = (values: Float32Array<ArrayBuffer>, columns: number): Float32Array<ArrayBuffer> => {
    const out = values.slice();
    for (let row = 0; row < values.length / columns; row++) {
      const ours = row - (row % headDim) + stored(row % headDim, headDim, 2);
      out.set(values.subarray(ours * columns, (ours + 1) * columns), row * columns);
    }
    return out;
  };
  const moved = (rule: PartsRule): PartsRule => {
    return (layer, shape) => {
      const [[one]] = rule(layer, shape);
      const transform: Transform = {
        name: "halves",
        dtypes: [floats],
        beside: [],
        dtype: ([own]) => own,
        make: () => fail("state", `${one.file}: read for pairs of neighbours`),
        write: (values) => write(values, shape[1] ?? 1),
      };
      return [[{ ...one, transform }]];
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
