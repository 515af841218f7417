import { blockOf, bytesOf, type DType } from "../../src/kernels/abi.ts";
import { toHalf } from "../../src/kernels/blocks/index.ts";
import { numberToBf16 } from "../../src/kernels/reference/storage.ts";

/** Sizes that fall before, on and after the widths of vectors and blocks. */
export const sizes: readonly number[] = [1, 3, 7, 17, 33, 65, 130];

/** Numbers for cases: the same every time for a seed. */
export interface Numbers {
  /** `n` f32 values, even between `low` and `high`. */
  floats(n: number, low?: number, high?: number): Float64Array;
  /** `n` integers from `low` to `high`, both possible. */
  ints(n: number, low: number, high: number): Float64Array;
}

export function numbers(seed: number): Numbers {
  let state = seed;
  // A Weyl sequence through the finaliser of MurmurHash3: equal seeds, equal numbers, on any machine.
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let h = state;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
  };
  return {
    floats: (n, low = -1, high = 1) =>
      Float64Array.from({ length: n }, () => Math.fround(low + (high - low) * next())),
    ints: (n, low, high) =>
      Float64Array.from({ length: n }, () => low + Math.floor((high - low + 1) * next())),
  };
}

/** Offsets of `experts` groups over `rows` rows: uneven, every third empty, `spare` rows past the last. */
export function unevenOffsets(rows: number, experts: number, spare: number): number[] {
  const share = Array.from({ length: experts }, (_, e) => (e % 3 === 1 ? 0 : 1 + (e % 4)));
  const total = share.reduce((sum, s) => sum + s, 0);
  let sum = 0;
  const offsets = share.map((s) => {
    const start = Math.round(((rows - spare) * sum) / total);
    sum += s;
    return start;
  });
  return [...offsets, rows - spare];
}

/** Where a block format keeps its f16 scales (and minima), in bytes from the block's start. */
const halves: Readonly<Partial<Record<DType, readonly number[]>>> = {
  q4_0: [0],
  q4_1: [0, 2],
  q5_0: [0],
  q5_1: [0, 2],
  q8_0: [0],
  iq4_nl: [0],
  q2_k: [80, 82],
  q3_k: [108],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
};

/** The bytes of `n` weights of any dtype, arbitrary but for scales that keep every value within a few units of zero. */
export function weightBytes({ floats, ints }: Numbers, dtype: DType, n: number): Uint8Array {
  if (dtype === "f32") return new Uint8Array(Float32Array.from(floats(n)).buffer);
  if (dtype === "bf16") return new Uint8Array(Uint16Array.from(floats(n), numberToBf16).buffer);
  if (dtype === "f16") return new Uint8Array(Uint16Array.from(floats(n), toHalf).buffer);
  const bytes = Uint8Array.from(ints(bytesOf(dtype, n), 0, 255));
  const block = blockOf(dtype);
  for (let at = 0; at < bytes.length; at += block.bytes) {
    if (dtype === "mxfp4") bytes[at] = 122 + (bytes[at]! % 5);
    for (const place of halves[dtype] ?? []) {
      const half = toHalf(floats(1, 0.1, 1)[0]! / mostOf(dtype));
      bytes[at + place] = half & 255;
      bytes[at + place + 1] = half >> 8;
    }
  }
  return bytes;
}

/** The same with every byte but the floats of a block set to `fill`: for the largest sums that there are. */
export function filledBytes(source: Numbers, dtype: DType, n: number, fill: number): Uint8Array {
  const bytes = weightBytes(source, dtype, n);
  const block = blockOf(dtype);
  const kept = new Set([
    ...(halves[dtype] ?? []).flatMap((at) => [at, at + 1]),
    ...(dtype === "mxfp4" ? [0] : []),
  ]);
  return bytes.map((byte, i) => (kept.has(i % block.bytes) ? byte : fill));
}

/** The largest value of a block whose scales are 1. */
function mostOf(dtype: DType): number {
  const { elements } = blockOf(dtype);
  if (elements === 32) return dtype === "q8_0" || dtype === "iq4_nl" ? 127 : 16;
  return { q2_k: 45, q3_k: 128, q4_k: 945, q5_k: 1953, q6_k: 4096 }[dtype as "q2_k"];
}
