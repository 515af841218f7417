/**
 * Eight-bit floats e4m3 (OFP8 specification 1.0): sign, four bits of exponent biased by 7, three of fraction; no infinities, and NaN
 * where all seven low bits are set. DeepSeek-V3's files hold matrices of them with an f32 scale for every 128 by 128 elements.
 */
import { fail } from "../../errors.ts";

const values = Float32Array.from({ length: 256 }, (_, code) => {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code >>> 3) & 15;
  const fraction = code & 7;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7));
});

export function decodeE4m3(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = values[bytes[i]!]!;
  return out;
}

/**
 * A matrix [rows, columns] of e4m3, each block of `block` by `block` elements times its scale; `scales` is the matrix
 * [ceil(rows / block), ceil(columns / block)]. Errors: shape.
 */
export function decodeScaledE4m3(
  bytes: Uint8Array,
  columns: number,
  scales: Float32Array,
  block: number,
): Float32Array<ArrayBuffer> {
  const rows = bytes.length / columns;
  const across = Math.ceil(columns / block);
  if (scales.length !== Math.ceil(rows / block) * across)
    fail("shape", `fp8: ${scales.length} scales for [${rows}, ${columns}] in blocks of ${block}`);
  const out = decodeE4m3(bytes);
  for (let row = 0; row < rows; row++) {
    const first = Math.floor(row / block) * across;
    for (let column = 0; column < columns; column++)
      out[row * columns + column]! *= scales[first + Math.floor(column / block)]!;
  }
  return out;
}
