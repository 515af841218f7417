import {
  type Buf,
  blockOf,
  bytesOf,
  type DType,
  type KernelArgs,
  type KernelName,
} from "../../src/kernels/abi.ts";
import { decodeBlocks, toHalf } from "../../src/kernels/blocks/index.ts";
import type { Kernels } from "../../src/kernels/kernels.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { bf16ToNumber, load, numberToBf16 } from "../../src/kernels/reference/storage.ts";

/**
 * Kernel calls as data, and the one way they are run: every buffer in a storage of its own, at an odd offset, between
 * guard bytes. A run fails if anything but the outputs has changed.
 */

/** What a case puts into one buffer. Only the bytes of `out` and `inout` may change. */
export interface Place {
  readonly role: "in" | "out" | "inout";
  readonly dtype: DType;
  readonly values: Float64Array;
}

/** Weights as their bytes, in any dtype. */
export interface Weights {
  readonly role: "in";
  readonly dtype: DType;
  readonly raw: Uint8Array;
}

/** The same buffer as another argument's, where the contract lets an output overwrite an input. */
export interface Alias {
  readonly sameAs: string;
}

type CaseValue<V> = [V] extends [Buf]
  ? Place | Weights | Alias
  : [V] extends [Buf | null]
    ? Place | null
    : [V] extends [readonly Buf[]]
      ? readonly Weights[]
      : V;
export type CaseArgs<N extends KernelName> = {
  readonly [A in keyof KernelArgs<N>]: CaseValue<KernelArgs<N>[A]>;
};

/** |got - want| <= abs + rel * |want|. */
export interface Tolerance {
  readonly abs: number;
  readonly rel: number;
}

/** One call of a kernel, and how far an implementation may be from the reference. */
export interface Case {
  readonly name: string;
  readonly kernel: KernelName;
  readonly args: Readonly<Record<string, unknown>>;
  readonly tolerance: Tolerance;
}

export function kernelCase<N extends KernelName>(
  kernel: N,
  name: string,
  args: CaseArgs<N>,
  tolerance: Tolerance,
): Case {
  return { name, kernel, args, tolerance };
}

export function input(values: ArrayLike<number>, dtype: DType = "f32"): Place {
  return { role: "in", dtype, values: Float64Array.from(values) };
}

export function weights(dtype: DType, raw: Uint8Array): Weights {
  return { role: "in", dtype, raw };
}

export function inout(values: ArrayLike<number>, dtype: DType = "f32"): Place {
  return { role: "inout", dtype, values: Float64Array.from(values) };
}

/** A buffer the kernel must write all of: it starts as huge numbers, which no tolerance lets pass. */
export function output(n: number, dtype: DType = "f32"): Place {
  const start = dtype === "i32" ? 0x7f7f7f7f : dtype === "u8" ? 0xa5 : 3.2e38;
  return { role: "out", dtype, values: new Float64Array(n).fill(start) };
}

/** Outputs by argument name; the bytes as well, to tell results apart to the last bit. */
export interface Outcome {
  readonly values: Readonly<Record<string, Float64Array>>;
  readonly bytes: Readonly<Record<string, Uint8Array>>;
}

const guardBytes = 64;
/** Read past an end, it shows: NaN as a float, and as an id a row that no buffer has. */
const guardByte = (dtype: DType): number => (dtype === "i32" ? 0x7f : 0xff);

/** Runs `test` on `kernels`; throws when a byte outside the outputs changed. */
export async function runCase(kernels: Kernels, test: Case): Promise<Outcome> {
  const outcome = { values: {} as Record<string, Float64Array>, bytes: {} as Record<string, Uint8Array> };
  for (const { name, place, bytes: before, buf } of launch(kernels, test)) {
    const after = await kernels.read(buf.storage, 0, before.length);
    kernels.free(buf.storage);
    const end = "raw" in place ? 0 : buf.offset + bytesOf(place.dtype, place.values.length);
    const kept: readonly [number, number][] =
      place.role === "in"
        ? [[0, before.length]]
        : [
            [0, buf.offset],
            [end, before.length],
          ];
    for (const [from, to] of kept)
      if (Buffer.compare(before.subarray(from, to), after.subarray(from, to)) !== 0)
        throw new Error(
          `${test.kernel}, ${test.name}: bytes of ${name} that are not the output's were overwritten`,
        );
    if (place.role === "in") continue;
    outcome.bytes[name] = after.slice(buf.offset, end);
    outcome.values[name] = decode(outcome.bytes[name], place.dtype);
  }
  return outcome;
}

/** What the reference gives for `test`, for cases whose inputs are another kernel's results. */
export function outputsOfReference(test: Case): Outcome["values"] {
  const outputs = launch(createReferenceKernels(), test).flatMap(({ name, place, buf }) =>
    place.role === "in" ? [] : [[name, load(buf, place.values.length)] as const],
  );
  return Object.fromEntries(outputs);
}

interface Laid {
  readonly name: string;
  readonly place: Place | Weights;
  /** What the storage held before the call. */
  readonly bytes: Uint8Array;
  readonly buf: Buf;
}

/** Lays out every buffer of `test` and calls its kernel. */
function launch(kernels: Kernels, test: Case): Laid[] {
  const laid: Laid[] = [];
  const lay = (name: string, place: Place | Weights): Buf => {
    const { bytes, offset } = surround(place);
    const storage = kernels.alloc(bytes.length);
    kernels.write(storage, 0, bytes);
    const buf: Buf = { storage, offset, dtype: place.dtype };
    laid.push({ name, place, bytes, buf });
    return buf;
  };
  const args = Object.entries(test.args).map(([name, value]) => {
    if (isAlias(value)) return [name, laid.find((one) => one.name === value.sameAs)!.buf];
    if (isPlace(value)) return [name, lay(name, value)];
    if (Array.isArray(value) && value.every(isPlace))
      return [name, value.map((place, i) => lay(`${name}[${i}]`, place))];
    return [name, value];
  });
  (kernels.run[test.kernel] as (args: unknown) => void)(Object.fromEntries(args));
  return laid;
}

/** One line for each output that is further from `want` than the tolerance, with its worst element; none if all fit. */
export function mismatches(test: Case, got: Outcome["values"], want: Outcome["values"]): string[] {
  return Object.keys(want).flatMap((name) => {
    const dtype = (test.args[name] as Place).dtype;
    const { abs, rel } = dtype === "i32" ? exact : test.tolerance;
    let worst = -1;
    let worstExcess = 0;
    want[name]!.forEach((w, i) => {
      const g = got[name]![i]!;
      if (Object.is(g, w) || g === w) return;
      const excess = Math.abs(g - w) - (abs + rel * Math.abs(w));
      if (excess <= worstExcess) return;
      worst = i;
      worstExcess = Number.isNaN(excess) ? Infinity : excess;
    });
    return worst < 0
      ? []
      : [`${test.kernel}, ${test.name}: ${name}[${worst}] = ${got[name]![worst]}, not ${want[name]![worst]}`];
  });
}

/** Distance from 1 to the next f32. */
const eps = 2 ** -23;

/** Results that IEEE f32 arithmetic gives exactly rounded. */
export const exact: Tolerance = { abs: 0, rel: 0 };
/** A few roundings, or a transcendental function good to a few units in the last place. */
export const fewUlps: Tolerance = { abs: 8 * eps, rel: 8 * eps };

/** A sum of `n` terms of about `scale` at most, in f32: partial sums near sqrt(n), n roundings that partly cancel. */
export function sumOf(n: number, scale = 1): Tolerance {
  return { abs: scale * eps * (4 + n / 2), rel: 8 * eps };
}

/** Stored as bf16: two values that f32 tells apart may round to neighbours, 2^-7 apart. */
export function storedBf16({ abs, rel }: Tolerance): Tolerance {
  return { abs, rel: rel + 2 ** -7 };
}

/** Values from the bytes of a dtype. */
export function decode(bytes: Uint8Array, dtype: DType): Float64Array {
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case "bf16":
      return Float64Array.from(new Uint16Array(buffer), bf16ToNumber);
    case "f16":
      return Float64Array.from(decodeBlocks("f16", new Uint8Array(buffer)));
    case "u8":
      return Float64Array.from(new Uint8Array(buffer));
    default:
      return Float64Array.from(dtype === "f32" ? new Float32Array(buffer) : new Int32Array(buffer));
  }
}

function encode(values: Float64Array, dtype: DType): Uint8Array {
  switch (dtype) {
    case "bf16":
      return new Uint8Array(Uint16Array.from(values, numberToBf16).buffer);
    case "f16":
      return new Uint8Array(Uint16Array.from(values, toHalf).buffer);
    case "u8":
      return Uint8Array.from(values);
    default:
      return new Uint8Array((dtype === "f32" ? Float32Array.from(values) : Int32Array.from(values)).buffer);
  }
}

/** The bytes of a storage for `place`: the values start one element past a guard, so that they are not aligned. */
function surround(place: Place | Weights): { bytes: Uint8Array; offset: number } {
  const content = "raw" in place ? place.raw : encode(place.values, place.dtype);
  const offset = guardBytes + blockOf(place.dtype).bytes;
  const bytes = new Uint8Array(offset + content.length + guardBytes).fill(guardByte(place.dtype));
  bytes.set(content, offset);
  return { bytes, offset };
}

function isPlace(value: unknown): value is Place | Weights {
  return typeof value === "object" && value !== null && "role" in value;
}

function isAlias(value: unknown): value is Alias {
  return typeof value === "object" && value !== null && "sameAs" in value;
}
