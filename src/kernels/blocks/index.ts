import { fail } from "../../errors.ts";
import { encodeQ4_0, encodeQ8_0 } from "./encode-32.ts";
import { encodeQ4K } from "./encode-256.ts";
import {
  type BlockFormat,
  type BlockLayout,
  blockFormatNames,
  blockFormats,
  type DecodeBlock,
} from "./formats.ts";

export { decodeE4m3, decodeScaledE4m3 } from "./e4m3.ts";
export { halfBits, halfTable, toHalf } from "./half.ts";
export { type BlockFormat, type BlockLayout, blockFormatNames, blockFormats, type DecodeBlock };

/** The formats that f32 values can be turned into here. */
export type EncodableFormat = "q4_0" | "q8_0" | "q4_k";

export function isBlockFormat(name: string): name is BlockFormat {
  return Object.hasOwn(blockFormats, name);
}

/** Bytes of `elements` elements. Errors: shape, where they fill no whole number of blocks. */
export function blockBytes(format: BlockFormat, elements: number): number {
  const { elements: inBlock, bytes } = blockFormats[format];
  if (elements % inBlock !== 0)
    fail("shape", `${format}: ${elements} elements are no whole number of blocks of ${inBlock}`);
  return (elements / inBlock) * bytes;
}

/**
 * The f32 values of blocks; `out`, where given, takes them. These functions define what the formats mean: other kernels
 * agree with them bit for bit. Errors: shape, where the bytes are no whole number of blocks or `out` has another length.
 */
export function decodeBlocks(
  format: BlockFormat,
  bytes: Uint8Array,
  out?: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  const { elements, bytes: blockSize, decode } = blockFormats[format];
  if (bytes.length % blockSize !== 0)
    fail("shape", `${format}: ${bytes.length} bytes are no whole number of blocks of ${blockSize}`);
  const blocks = bytes.length / blockSize;
  const values = out ?? new Float32Array(blocks * elements);
  if (values.length !== blocks * elements)
    fail("shape", `${format}: ${blocks * elements} values do not fit an array of ${values.length}`);
  for (let b = 0; b < blocks; b++) decode(bytes, b * blockSize, values, b * elements);
  return values;
}

const encoders = { q4_0: encodeQ4_0, q8_0: encodeQ8_0, q4_k: encodeQ4K } as const;

/**
 * f32 values as blocks: q8_0 and q4_0 by ggml's rule, byte for byte; q4_k by a search of our own, whose error is at
 * most that of ggml's. Errors: shape, where the values fill no whole number of blocks; dtype, where one is NaN, infinite,
 * or so large that the block's scale is beyond f16.
 */
export function encodeBlocks(format: EncodableFormat, values: Float32Array): Uint8Array<ArrayBuffer> {
  const { elements, bytes } = blockFormats[format];
  const out = new Uint8Array(blockBytes(format, values.length));
  const unfit = values.findIndex((value) => !Number.isFinite(value));
  if (unfit >= 0)
    fail("dtype", `${format}: value ${unfit} is ${values[unfit]}; blocks hold finite numbers only`);
  for (let b = 0; b * elements < values.length; b++) encoders[format](values, b * elements, out, b * bytes);
  return out;
}
