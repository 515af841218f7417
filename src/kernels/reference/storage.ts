import { type Buf, bytesOf, type Storage } from "../abi.ts";
import { decodeBlocks, isBlockFormat, toHalf } from "../blocks/index.ts";

/** Host memory: the reference and its tests look inside through `bytes`. */
export interface HostStorage extends Storage {
  readonly bytes: ArrayBuffer;
}

/** The `n` elements at `buf` as doubles, a copy: kernels compute on copies, so outputs may alias inputs. */
export function load(buf: Buf, n: number): Float64Array {
  if (isBlockFormat(buf.dtype)) {
    const bytes = new Uint8Array(bytesIn(buf), buf.offset, bytesOf(buf.dtype, n));
    return Float64Array.from(decodeBlocks(buf.dtype, bytes));
  }
  return buf.dtype === "bf16"
    ? Float64Array.from(words(buf, n), bf16ToNumber)
    : Float64Array.from(view(buf, n));
}

/** Writes `values` to `buf`, each rounded once to its dtype: nearest even for floats, toward zero for i32. */
export function store(buf: Buf, values: Float64Array): void {
  if (buf.dtype === "bf16") words(buf, values.length).set(Uint16Array.from(values, numberToBf16));
  else if (buf.dtype === "f16") words(buf, values.length).set(Uint16Array.from(values, toHalf));
  else view(buf, values.length).set(values);
}

/** The `n` f32 at `buf`, in place. */
export function f32(buf: Buf, n: number): Float32Array {
  return new Float32Array(bytesIn(buf), buf.offset, n);
}

/** The `n` i32 at `buf`, in place. */
export function i32(buf: Buf, n: number): Int32Array {
  return new Int32Array(bytesIn(buf), buf.offset, n);
}

const scratch = new DataView(new ArrayBuffer(4));

/** The bf16 bits nearest to `value` as f32, ties to even; NaN stays NaN. */
export function numberToBf16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The number that bf16 `bits` stand for: the upper half of an f32. */
export function bf16ToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The `n` bytes at `buf`, in place. */
export function u8(buf: Buf, n: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytesIn(buf), buf.offset, n);
}

function view(buf: Buf, n: number): Float32Array | Int32Array {
  return buf.dtype === "i32" ? i32(buf, n) : f32(buf, n);
}

function words(buf: Buf, n: number): Uint16Array {
  return new Uint16Array(bytesIn(buf), buf.offset, n);
}

function bytesIn(buf: Buf): ArrayBuffer {
  return (buf.storage as HostStorage).bytes;
}
