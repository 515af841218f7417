import { fail } from "../errors.ts";
import { view } from "./dtypes.ts";

/**
 * NumPy's .npy format, version 1.0, C order: the magic "\x93NUMPY", version, a two-byte header length, a Python dict
 * literal padded with spaces to 64 bytes, then the elements. float32 and int32 only.
 */
export interface NpyArray {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
}

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0];
/** NumPy leaves room for the first size to grow in place to 21 digits. */
const growthDigits = 21;

/** The bytes `numpy.save` would write. Throws shape where data and shape disagree. */
export function encodeNpy({ shape, data }: NpyArray): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((product, size) => product * size, 1);
  if (count !== data.length)
    fail("shape", `encodeNpy: shape [${shape}] holds ${count} elements, ${data.length} were given`);
  const descr = data instanceof Float32Array ? "<f4" : "<i4";
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  let dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
  if (shape.length > 0) dict += " ".repeat(growthDigits - String(shape[0]).length);
  const start = Math.ceil((magic.length + 2 + dict.length + 1) / 64) * 64;
  const out = new Uint8Array(start + data.byteLength).fill(0x20, 0, start);
  out.set(magic);
  new DataView(out.buffer).setUint16(magic.length, start - magic.length - 2, true);
  out.set(new TextEncoder().encode(dict), magic.length + 2);
  out[start - 1] = 0x0a;
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return out;
}

const dictionary =
  /^\{'descr': '(<f4|<i4)', 'fortran_order': False, 'shape': \((|\d+,|\d+(?:, \d+)+)\), \} *\n$/;

/** Reads what {@link encodeNpy} or `numpy.save` wrote; throws file-damaged for anything else. */
export function decodeNpy(bytes: Uint8Array<ArrayBuffer>, name = "npy"): NpyArray {
  const damaged = (what: string): never =>
    fail("file-damaged", `${name}: ${what}`, "save it again as float32 or int32 with numpy.save");
  if (bytes.length < 10 || magic.some((byte, i) => bytes[i] !== byte))
    damaged("not a .npy file of version 1.0");
  const start = 10 + new DataView(bytes.buffer, bytes.byteOffset).getUint16(8, true);
  if (start > bytes.length) damaged(`the header should end at byte ${start}, the file at ${bytes.length}`);
  const header = String.fromCharCode(...bytes.subarray(10, start));
  const match = dictionary.exec(header);
  if (!match)
    return damaged(`only C-order float32 and int32 arrays are read; the header is ${header.trim()}`);
  const shape = match[2]!.split(",").filter(Boolean).map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  if (count * 4 !== bytes.length - start) {
    damaged(`shape [${shape}] takes ${count * 4} bytes, the file holds ${bytes.length - start}`);
  }
  const body = bytes.subarray(start);
  return { shape, data: match[1] === "<f4" ? view(Float32Array, body) : view(Int32Array, body) };
}
