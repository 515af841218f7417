/** f16 (IEEE binary16) as bits, both ways. */

let halves: Float32Array | undefined;

/** The value of every f16 bit pattern, made at first use. */
export function halfTable(): Float32Array {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let word = 0; word < 65536; word++) {
    const sign = word & 0x8000 ? -1 : 1;
    const exponent = (word >>> 10) & 31;
    const fraction = word & 0x3ff;
    if (exponent === 31) halves[word] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else if (exponent === 0) halves[word] = sign * fraction * 2 ** -24;
    else halves[word] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return halves;
}

/** The f16 nearest to an f32 given by its bits, ties to even; NaN stays NaN. */
export function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and above, infinity too; 65520..65535 round up below
  const exponent = magnitude >>> 23;
  if (exponent < 102) return sign; // below half of the smallest subnormal, 2^-25
  const fraction = exponent >= 113 ? magnitude - (112 << 23) : (magnitude & 0x7fffff) | 0x800000;
  const shift = exponent >= 113 ? 13 : 126 - exponent; // subnormals keep fewer bits
  const half = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const midpoint = 1 << (shift - 1);
  return sign | (half + (rest > midpoint || (rest === midpoint && half % 2 === 1) ? 1 : 0));
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The f16 nearest to `value`, which is first rounded to f32. */
export function toHalf(value: number): number {
  scratch[0] = value;
  return halfBits(scratchBits[0]!);
}
