import type { KernelTable } from "../abi.ts";
import { blockFormats, decodeScaledE4m3 } from "../blocks/index.ts";
import { load, store, u8 } from "./storage.ts";

const { elements, bytes: blockBytes } = blockFormats.mxfp4;
const half = elements / 2;

/** Weights from forms that files have and products do not take. */
export const storedForms: Pick<KernelTable, "mxfp4Rows" | "scaledE4m3"> = {
  mxfp4Rows({ nibbles, exponents, out, rows, k, turns }) {
    const blocks = k / elements;
    const stored = u8(nibbles, rows * blocks * half).slice();
    const exponent = u8(exponents, rows * blocks).slice();
    const nibble = (block: number, e: number): number =>
      (stored[block * half + (e >> 1)]! >> (4 * (e & 1))) & 15;
    const made = u8(out, rows * blocks * blockBytes);
    for (let row = 0; row < rows; row++) {
      const from = (row % (rows / turns)) * turns + Math.floor(row / (rows / turns));
      for (let b = 0; b < blocks; b++) {
        const block = from * blocks + b;
        const to = (row * blocks + b) * blockBytes;
        made[to] = exponent[block]!;
        for (let j = 0; j < half; j++) made[to + 1 + j] = nibble(block, j) | (nibble(block, j + half) << 4);
      }
    }
  },

  scaledE4m3({ x, scales, out, rows, k, block }) {
    const count = Math.ceil(rows / block) * Math.ceil(k / block);
    const values = decodeScaledE4m3(u8(x, rows * k), k, Float32Array.from(load(scales, count)), block);
    store(out, Float64Array.from(values));
  },
};
