import { fail } from "../../errors.ts";
import { type StoredDType, storedBytes } from "../dtypes.ts";
import { bytesOf, type TensorToStore } from "../store.ts";
import {
  aligned,
  defaultAlignment,
  type GgufValueType,
  magic,
  mostDimensions,
  tensorTypes,
  valueBytes,
  valueTypes,
} from "./types.ts";

/** A metadata value with its type. */
export type TypedValue =
  | { readonly type: Exclude<GgufValueType, "array">; readonly value: string | number | bigint | boolean }
  | {
      readonly type: "array";
      readonly of: Exclude<GgufValueType, "array">;
      readonly values: readonly (string | number | bigint | boolean)[];
    };

const version = 3;

/**
 * The pieces of a GGUF file (version 3) in order: header, then the tensors as they are given, each followed by zeros up to the
 * alignment (general.alignment of `metadata`, else 32).
 *
 * Errors: shape, where bytes and sizes disagree; dtype, where GGUF has no such type; model, where a name is given twice.
 */
export async function* ggufPieces(
  tensors: readonly TensorToStore[],
  metadata: Readonly<Record<string, TypedValue>> = {},
): AsyncGenerator<Uint8Array> {
  const stated = metadata["general.alignment"];
  const alignment = stated && stated.type === "u32" ? Number(stated.value) : defaultAlignment;
  yield headerOf(tensors, metadata, alignment);
  for (const tensor of tensors) {
    const bytes = await bytesOf(tensor);
    yield bytes;
    const padding = aligned(bytes.length, alignment) - bytes.length;
    if (padding > 0) yield new Uint8Array(padding);
  }
}

function headerOf(
  tensors: readonly TensorToStore[],
  metadata: Readonly<Record<string, TypedValue>>,
  alignment: number,
): Uint8Array {
  const out = new Writer();
  out.bytes(new TextEncoder().encode(magic));
  out.number("u32", version);
  out.number("u64", tensors.length);
  out.number("u64", Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    out.string(key);
    out.typed(value);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) fail("model", `the tensor name ${JSON.stringify(name)} is given twice`);
    names.add(name);
    const size = storedBytes(dtype, shape);
    if (Number.isNaN(size)) fail("shape", `${name}: ${dtype} [${shape}] takes no whole number of blocks`);
    if (shape.length > mostDimensions)
      fail("shape", `${name}: [${shape}] has more than ${mostDimensions} dimensions`);
    out.string(name);
    out.number("u32", shape.length);
    for (const length of [...shape].reverse()) out.number("u64", length);
    out.number("u32", typeNumber(name, dtype));
    out.number("u64", offset);
    offset += aligned(size, alignment);
  }
  return out.padded(alignment);
}

function typeNumber(name: string, dtype: StoredDType): number {
  for (const [number, type] of tensorTypes) if (type === dtype) return number;
  return fail("dtype", `${name}: a GGUF file cannot hold ${dtype}`, "write a safetensors file");
}

/** A whole GGUF file in memory, for small ones. */
export async function encodeGguf(
  tensors: readonly TensorToStore[],
  metadata?: Readonly<Record<string, TypedValue>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const out = new Writer();
  for await (const piece of ggufPieces(tensors, metadata)) out.bytes(piece);
  return out.padded(1).slice();
}

/** Little-endian values one after the other into a buffer that grows. */
class Writer {
  private buffer: Uint8Array<ArrayBuffer> = new Uint8Array(1024);
  private length = 0;

  private room(bytes: number): DataView {
    if (this.length + bytes > this.buffer.length) {
      const larger = new Uint8Array(Math.max(this.length + bytes, 2 * this.buffer.length));
      larger.set(this.buffer);
      this.buffer = larger;
    }
    this.length += bytes;
    return new DataView(this.buffer.buffer, this.length - bytes, bytes);
  }

  bytes(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.buffer.set(bytes, this.length - bytes.length);
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.number("u64", bytes.length);
    this.bytes(bytes);
  }

  number(type: Exclude<GgufValueType, "array" | "string" | "bool">, value: number | bigint): void {
    const view = this.room(valueBytes[type]);
    const number = Number(value);
    if (type === "u64") view.setBigUint64(0, BigInt(value), true);
    else if (type === "i64") view.setBigInt64(0, BigInt(value), true);
    else if (type === "f64") view.setFloat64(0, number, true);
    else if (type === "f32") view.setFloat32(0, number, true);
    else if (type === "u32" || type === "i32") view.setUint32(0, number, true);
    else if (type === "u16" || type === "i16") view.setUint16(0, number, true);
    else view.setUint8(0, number);
  }

  typed(value: TypedValue): void {
    this.number("u32", valueTypes.indexOf(value.type));
    if (value.type !== "array") {
      this.value(value.type, value.value);
      return;
    }
    this.number("u32", valueTypes.indexOf(value.of));
    this.number("u64", value.values.length);
    for (const element of value.values) this.value(value.of, element);
  }

  private value(type: Exclude<GgufValueType, "array">, value: string | number | bigint | boolean): void {
    if (type === "string") this.string(String(value));
    else this.number(type === "bool" ? "u8" : type, typeof value === "bigint" ? value : Number(value));
  }

  /** All that was written, with zeros up to the alignment. */
  padded(alignment: number): Uint8Array<ArrayBuffer> {
    this.room(aligned(this.length, alignment) - this.length);
    return this.buffer.subarray(0, this.length);
  }
}
