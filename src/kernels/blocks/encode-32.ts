/**
 * f32 values into blocks of 32, with the f32 arithmetic of ggml's quantize_row_*_ref, so that the bytes are its own.
 *
 * d scale, q the whole number stored for an element.
 */
import { fail } from "../../errors.ts";
import { toHalf } from "./half.ts";

const f32 = Math.fround;

/** 1 / d in f32, and 0 for 0. */
function inverse(d: number): number {
  return d === 0 ? 0 : f32(1 / d);
}

/** Writes a scale as f16. Errors: dtype, where f16 does not reach so far. */
export function putHalf(out: Uint8Array, at: number, value: number): void {
  const bits = toHalf(value);
  if ((bits & 0x7fff) >= 0x7c00)
    fail(
      "dtype",
      "blocks: the values are too large, f16 cannot hold their scale",
      "store the tensor as BF16 or F32",
    );
  out[at] = bits & 255;
  out[at + 1] = bits >>> 8;
}

/** The value farthest from zero takes q = -8, so that the scale bears its sign, turned. */
export function encodeQ4_0(x: Float32Array, from: number, out: Uint8Array, at: number): void {
  let extreme = 0;
  for (let j = from; j < from + 32; j++) if (Math.abs(x[j]!) > Math.abs(extreme)) extreme = x[j]!;
  const d = extreme / -8;
  const id = inverse(d);
  const level = (value: number): number =>
    Math.max(0, Math.min(15, Math.trunc(f32(f32(value * id) + 8.5)))) || 0; // a subnormal d has no finite inverse
  putHalf(out, at, d);
  for (let j = 0; j < 16; j++) {
    out[at + 2 + j] = level(x[from + j]!) | (level(x[from + j + 16]!) << 4);
  }
}

/** The value farthest from zero takes q = 127 or -127. */
export function encodeQ8_0(x: Float32Array, from: number, out: Uint8Array, at: number): void {
  let largest = 0;
  for (let j = from; j < from + 32; j++) largest = Math.max(largest, Math.abs(x[j]!));
  const d = f32(largest / 127);
  const id = inverse(d);
  putHalf(out, at, d);
  for (let j = 0; j < 32; j++) {
    const scaled = f32(x[from + j]! * id);
    const q = Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5); // ties away from zero
    out[at + 2 + j] = Math.max(-127, Math.min(127, q));
  }
}
