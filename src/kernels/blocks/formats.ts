/**
 * Block formats: weights in blocks of 32 or 256 with a scale each, byte for byte as GGUF files hold them (ggml's
 * block_q4_0 and so on; MXFP4 of the OCP Microscaling specification 1.0). f16 is the one whose block is one element.
 */
import {
  decodeF16,
  decodeIq4Nl,
  decodeMxfp4,
  decodeQ4_0,
  decodeQ4_1,
  decodeQ5_0,
  decodeQ5_1,
  decodeQ8_0,
} from "./decode-32.ts";
import { decodeQ2K, decodeQ3K, decodeQ4K, decodeQ5K, decodeQ6K } from "./decode-256.ts";

/** Decodes the block at byte `at` into `out` from element `to` on. */
export type DecodeBlock = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

export interface BlockLayout {
  /** A block holds so many elements, all of one row. */
  readonly elements: number;
  /** A block takes so many bytes. */
  readonly bytes: number;
  readonly decode: DecodeBlock;
}

/** Every block format: its name here, as GGUF names it in lower case. */
export type BlockFormat =
  | "f16"
  | "q4_0"
  | "q4_1"
  | "q5_0"
  | "q5_1"
  | "q8_0"
  | "q2_k"
  | "q3_k"
  | "q4_k"
  | "q5_k"
  | "q6_k"
  | "iq4_nl"
  | "mxfp4";

export const blockFormats: Readonly<Record<BlockFormat, BlockLayout>> = {
  f16: { elements: 1, bytes: 2, decode: decodeF16 },
  q4_0: { elements: 32, bytes: 18, decode: decodeQ4_0 },
  q4_1: { elements: 32, bytes: 20, decode: decodeQ4_1 },
  q5_0: { elements: 32, bytes: 22, decode: decodeQ5_0 },
  q5_1: { elements: 32, bytes: 24, decode: decodeQ5_1 },
  q8_0: { elements: 32, bytes: 34, decode: decodeQ8_0 },
  q2_k: { elements: 256, bytes: 84, decode: decodeQ2K },
  q3_k: { elements: 256, bytes: 110, decode: decodeQ3K },
  q4_k: { elements: 256, bytes: 144, decode: decodeQ4K },
  q5_k: { elements: 256, bytes: 176, decode: decodeQ5K },
  q6_k: { elements: 256, bytes: 210, decode: decodeQ6K },
  iq4_nl: { elements: 32, bytes: 18, decode: decodeIq4Nl },
  mxfp4: { elements: 32, bytes: 17, decode: decodeMxfp4 },
};

export const blockFormatNames: readonly BlockFormat[] = Object.keys(blockFormats) as BlockFormat[];
