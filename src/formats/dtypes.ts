import { fail } from "../errors.ts";
import {
  type BlockFormat,
  blockFormats,
  decodeBlocks,
  halfBits,
  halfTable,
  isBlockFormat,
} from "../kernels/blocks/index.ts";

/**
 * Element types of stored tensors, named as safetensors names them, with their size in bits. The order is that of
 * the reference writer: a file holds its widest types first, so that every tensor is aligned to its element.
 */
const bits = {
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
  F32: 32,
  U32: 32,
  I32: 32,
  BF16: 16,
  F16: 16,
  U16: 16,
  I16: 16,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  F8_E4M3: 8,
  F8_E5M2: 8,
  I8: 8,
  U8: 8,
  F6_E3M2: 6,
  F6_E2M3: 6,
  F4: 4,
  BOOL: 8,
} as const;

/** What safetensors files may hold. */
export type PlainDType = keyof typeof bits;

/** Block formats, as GGUF files hold them and name them. */
export type BlockDType = Uppercase<Exclude<BlockFormat, "f16">>;

export type StoredDType = PlainDType | BlockDType;

/** Every plain element type, in the order tensors of it stand in a safetensors file. */
export const plainDTypes: readonly PlainDType[] = Object.keys(bits) as PlainDType[];

export function isPlainDType(name: unknown): name is PlainDType {
  return typeof name === "string" && Object.hasOwn(bits, name);
}

/** The block format of a stored dtype; undefined for plain ones, f16 among them. */
export function blockFormatOf(dtype: StoredDType): BlockFormat | undefined {
  const name = dtype.toLowerCase();
  return isPlainDType(dtype) || !isBlockFormat(name) ? undefined : name;
}

/** Bytes of a tensor; NaN where its rows fill no whole bytes or blocks, or the size is beyond 2^53. */
export function storedBytes(dtype: StoredDType, shape: readonly number[]): number {
  const elements = shape.reduce((product, size) => product * size, 1);
  const block = blockFormatOf(dtype);
  const total = block
    ? ((shape.at(-1) ?? 1) % blockFormats[block].elements === 0 ? 1 : Number.NaN) *
      (elements / blockFormats[block].elements) *
      blockFormats[block].bytes
    : (elements * bits[dtype as PlainDType]) / 8;
  return Number.isSafeInteger(elements) && Number.isSafeInteger(total) ? total : Number.NaN;
}

// Files are little-endian, and so is every machine that JavaScript engines run on today.

/** The values of a stored F32, F16, BF16, F64 or block tensor as f32; a view where `bytes` are aligned F32, else a copy. */
export function toFloat32(dtype: StoredDType, bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  switch (dtype) {
    case "F32":
      return view(Float32Array, bytes);
    case "F64":
      return Float32Array.from(view(Float64Array, bytes));
    case "BF16": {
      const words = view(Uint16Array, bytes);
      const out = new Uint32Array(words.length);
      for (let i = 0; i < words.length; i++) out[i] = words[i]! << 16;
      return new Float32Array(out.buffer);
    }
    case "F16": {
      const words = view(Uint16Array, bytes);
      const table = halfTable();
      const out = new Float32Array(words.length);
      for (let i = 0; i < words.length; i++) out[i] = table[words[i]!]!;
      return out;
    }
    default: {
      const block = blockFormatOf(dtype);
      if (block) return decodeBlocks(block, bytes);
      return fail("dtype", `toFloat32: ${dtype} has no plain f32 form`, "give F32, F16, BF16, F64 or blocks");
    }
  }
}

/** The stored bytes of f32 values as F32 (a view), BF16 or F16; narrowing rounds to nearest even, NaN stays NaN. */
export function fromFloat32(dtype: StoredDType, values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (dtype === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (dtype !== "BF16" && dtype !== "F16") {
    return fail("dtype", `fromFloat32: f32 values cannot be stored as ${dtype}`, "give F32, BF16 or F16");
  }
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  const narrow = dtype === "BF16" ? bhalfBits : halfBits;
  for (let i = 0; i < words.length; i++) out[i] = narrow(words[i]!);
  return new Uint8Array(out.buffer);
}

type TypedArrayOf<T> = {
  new (buffer: ArrayBuffer, offset: number, length: number): T;
  BYTES_PER_ELEMENT: number;
};

/** Views bytes as elements, copying only where they do not start at a multiple of the element. */
export function view<T>(type: TypedArrayOf<T>, bytes: Uint8Array<ArrayBuffer>): T {
  const size = type.BYTES_PER_ELEMENT;
  if (bytes.length % size !== 0)
    fail("shape", `${bytes.length} bytes are no whole number of ${size}-byte elements`);
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer, aligned.byteOffset, aligned.length / size);
}

function bhalfBits(word: number): number {
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40; // keep a NaN whose payload is in the low bits
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}
