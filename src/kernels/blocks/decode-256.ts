/**
 * Formats whose block is 256 elements in groups of 16 or 32, each group with a small whole-number scale (and minimum) of
 * the block's d (and dmin).
 *
 * g group, j element of the block, q the whole number stored for an element. Every product here is exact in a double, so
 * that writing it to f32 rounds once, as f32 arithmetic would.
 */
import { halfAt } from "./decode-32.ts";

/** Two bits of element j: each 32 bytes hold 128 elements, 32 in each pair of bits. */
function twoBits(bytes: Uint8Array, at: number, j: number): number {
  return (bytes[at + (j >> 7) * 32 + (j & 31)]! >>> (((j >> 5) & 3) * 2)) & 3;
}

/** One bit of element j: 32 bytes, 32 elements in each bit. */
function oneBit(bytes: Uint8Array, at: number, j: number): number {
  return (bytes[at + (j & 31)]! >>> (j >> 5)) & 1;
}

/** Four bits of element j: each 32 bytes hold 64 elements, 32 in each nibble. */
function fourBits(bytes: Uint8Array, at: number, j: number): number {
  return (bytes[at + (j >> 6) * 32 + (j & 31)]! >>> (((j >> 5) & 1) * 4)) & 15;
}

/** 16 bytes of (4-bit scale, 4-bit minimum), 64 bytes of two bits, d, dmin: d * scale * q - dmin * minimum. */
export function decodeQ2K(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at + 80);
  const dmin = halfAt(bytes, at + 82);
  for (let g = 0; g < 16; g++) {
    const scales = bytes[at + g]!;
    const scale = d * (scales & 15);
    const minimum = dmin * (scales >>> 4);
    for (let j = g * 16; j < g * 16 + 16; j++) out[to + j] = scale * twoBits(bytes, at + 16, j) - minimum;
  }
}

/** 32 bytes of third bits, 64 of two bits, 12 of 6-bit scales, d: d * (scale - 32) * (q - 4). */
export function decodeQ3K(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at + 108);
  for (let g = 0; g < 16; g++) {
    const low = (bytes[at + 96 + (g & 7)]! >>> (g < 8 ? 0 : 4)) & 15;
    const high = (bytes[at + 104 + (g & 3)]! >>> ((g >> 2) * 2)) & 3;
    const scale = d * ((low | (high << 4)) - 32);
    for (let j = g * 16; j < g * 16 + 16; j++) {
      out[to + j] = scale * (twoBits(bytes, at + 32, j) + 4 * oneBit(bytes, at, j) - 4);
    }
  }
}

/** The 6-bit scale of group g of 8, in the 12 bytes that q4_k and q5_k share: bits 0-3 and 4-5 apart for g of 4 and up. */
function scaleOf(bytes: Uint8Array, at: number, g: number): number {
  if (g < 4) return bytes[at + g]! & 63;
  return (bytes[at + 4 + g]! & 15) | ((bytes[at + g - 4]! >>> 6) << 4);
}

/** The 6-bit minimum of group g, in the same 12 bytes. */
function minimumOf(bytes: Uint8Array, at: number, g: number): number {
  if (g < 4) return bytes[at + 4 + g]! & 63;
  return (bytes[at + 4 + g]! >>> 4) | ((bytes[at + g]! >>> 6) << 4);
}

/** d, dmin, 12 bytes of scales and minima, 128 bytes of nibbles: d * scale * q - dmin * minimum. */
export function decodeQ4K(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  const dmin = halfAt(bytes, at + 2);
  for (let g = 0; g < 8; g++) {
    const scale = d * scaleOf(bytes, at + 4, g);
    const minimum = dmin * minimumOf(bytes, at + 4, g);
    for (let j = g * 32; j < g * 32 + 32; j++) out[to + j] = scale * fourBits(bytes, at + 16, j) - minimum;
  }
}

/** As q4_k, with 32 bytes of fifth bits before the nibbles. */
export function decodeQ5K(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at);
  const dmin = halfAt(bytes, at + 2);
  for (let g = 0; g < 8; g++) {
    const scale = d * scaleOf(bytes, at + 4, g);
    const minimum = dmin * minimumOf(bytes, at + 4, g);
    for (let j = g * 32; j < g * 32 + 32; j++) {
      const q = fourBits(bytes, at + 48, j) | (oneBit(bytes, at + 16, j) << 4);
      out[to + j] = scale * q - minimum;
    }
  }
}

/**
 * 128 bytes of low nibbles (each 64 bytes hold 128 elements, 64 in each nibble), 64 of two high bits, 16 signed scales, d:
 * d * scale * (q - 32).
 */
export function decodeQ6K(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
  const d = halfAt(bytes, at + 208);
  for (let g = 0; g < 16; g++) {
    const scale = d * ((bytes[at + 192 + g]! << 24) >> 24);
    for (let j = g * 16; j < g * 16 + 16; j++) {
      const low = (bytes[at + (j >> 7) * 64 + (j & 63)]! >>> (((j >> 6) & 1) * 4)) & 15;
      out[to + j] = scale * ((low | (twoBits(bytes, at + 128, j) << 4)) - 32);
    }
  }
}
