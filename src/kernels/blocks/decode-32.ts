/**
 * Formats whose block is 32 elements (f16: one). A nibble array of 16 bytes holds element j in the low half of byte j and
 * element j + 16 in the high half.
 *
 * d scale, m minimum, q the whole number stored for an element. Every product here is exact in a double, so that
 * writing it to f32 rounds once, as f32 arithmetic would.
 */
import { halfTable } from "./half.ts";

const half = halfTable();

/** The f16 at byte `at`. */
export function halfAt(bytes: Uint8Array, at: number): number {
  return half[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

export function decodeF16(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  out[to] = halfAt(bytes, at);
}

/** d, nibbles: d * (q - 8). */
export function decodeQ4_0(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 2 + j]!;
    out[to + j] = d * ((pair & 15) - 8);
    out[to + j + 16] = d * ((pair >>> 4) - 8);
  }
}

/** d, m, nibbles: d * q + m. */
export function decodeQ4_1(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  const m = halfAt(bytes, at + 2);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 4 + j]!;
    out[to + j] = d * (pair & 15) + m;
    out[to + j + 16] = d * (pair >>> 4) + m;
  }
}

/** d, 32 fifth bits, nibbles: d * (q - 16). */
export function decodeQ5_0(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  for (let j = 0; j < 32; j++) out[to + j] = d * (fiveBits(bytes, at + 2, j) - 16);
}

/** d, m, 32 fifth bits, nibbles: d * q + m. */
export function decodeQ5_1(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  const m = halfAt(bytes, at + 2);
  for (let j = 0; j < 32; j++) out[to + j] = d * fiveBits(bytes, at + 4, j) + m;
}

/** Element j of four bytes of high bits followed by 16 bytes of nibbles. */
function fiveBits(bytes: Uint8Array, at: number, j: number): number {
  const high = (bytes[at + (j >> 3)]! >>> (j & 7)) & 1;
  return (high << 4) | ((bytes[at + 4 + (j & 15)]! >>> (j < 16 ? 0 : 4)) & 15);
}

/** d, 32 signed bytes: d * q. */
export function decodeQ8_0(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  for (let j = 0; j < 32; j++) out[to + j] = d * ((bytes[at + 2 + j]! << 24) >> 24);
}

/** Sixteen levels, closer together near zero. */
const iq4Levels = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** d, nibbles: d * level(q). */
export function decodeIq4Nl(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 2 + j]!;
    out[to + j] = d * iq4Levels[pair & 15]!;
    out[to + j + 16] = d * iq4Levels[pair >>> 4]!;
  }
}

/** The values of a four-bit float e2m1, by its bits. */
const e2m1 = Float32Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6);

/** e8m0 (a power of two by its exponent, biased by 127), nibbles: 2^(e - 127) * e2m1(q). 255 means 2^128, as in ggml. */
export function decodeMxfp4(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = 2 ** (bytes[at]! - 127);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 1 + j]!;
    out[to + j] = d * e2m1[pair & 15]!;
    out[to + j + 16] = d * e2m1[pair >>> 4]!;
  }
}
