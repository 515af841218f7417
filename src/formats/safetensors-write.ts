import { fail } from "../errors.ts";
import { isPlainDType, type PlainDType, plainDTypes, type StoredDType, storedBytes } from "./dtypes.ts";
import { bytesOf, type TensorToStore } from "./store.ts";

const encoder = new TextEncoder();

/**
 * The pieces of a safetensors file in order: header, then each tensor's own bytes, not copied. Tensors stand as the
 * reference writer puts them, widest element first, then by name; the header is padded with spaces to 8 bytes. Equal
 * tensors thus give equal files.
 *
 * Errors: shape, where bytes and sizes disagree; dtype, for block formats; model, where a name is given twice or is not text.
 */
export async function* safetensorsPieces(
  tensors: readonly TensorToStore[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): AsyncGenerator<Uint8Array> {
  const rank = (dtype: StoredDType): number => plainDTypes.indexOf(dtype as PlainDType);
  const sorted = [...tensors].sort((a, b) => rank(a.dtype) - rank(b.dtype) || compareUtf8(a.name, b.name));
  yield headerOf(sorted, metadata);
  for (const tensor of sorted) yield await bytesOf(tensor);
}

/** A whole safetensors file in memory, for small ones. */
export async function encodeSafetensors(
  tensors: readonly TensorToStore[],
  metadata?: Readonly<Record<string, string>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for await (const piece of safetensorsPieces(tensors, metadata)) pieces.push(piece);
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

function headerOf(sorted: readonly TensorToStore[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries: string[] = [];
  const names = new Set(["__metadata__"]);
  if (Object.keys(metadata).length > 0) entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let begin = 0;
  for (const { name, dtype, shape } of sorted) {
    if (names.has(name)) fail("model", `the tensor name ${JSON.stringify(name)} is given twice or reserved`);
    if (/\p{Surrogate}/u.test(name))
      fail("model", `the tensor name ${JSON.stringify(name)} is not valid text`);
    if (!isPlainDType(dtype))
      fail("dtype", `${name}: a safetensors file cannot hold ${dtype}`, "write a GGUF file");
    names.add(name);
    const size = storedBytes(dtype, shape);
    if (Number.isNaN(size)) fail("shape", `${name}: ${dtype} [${shape}] takes no whole number of bytes`);
    const end = begin + size;
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  const json = encoder.encode(`{${entries.join(",")}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

/** Order of UTF-8 bytes, which is that of code points; UTF-16 order differs above U+FFFF. */
function compareUtf8(a: string, b: string): number {
  const [left, right] = [encoder.encode(a), encoder.encode(b)];
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) if (left[i] !== right[i]) return left[i]! - right[i]!;
  return left.length - right.length;
}
