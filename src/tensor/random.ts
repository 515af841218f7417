/**
 * Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter-based generator. The k-th number of a
 * stream depends on (seed, stream, step, k) alone, so a resumed run draws what an unbroken one would.
 */

const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;

/** The upper 32 bits of a * b, both unsigned 32-bit. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const rest = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(rest / 65536)) >>> 0;
}

/** One block: four 32-bit words for a 4-word counter and a 2-word key, into `out`. */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  key0: number,
  key1: number,
  out: Uint32Array,
): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(multiplier0, c0);
    const low0 = Math.imul(multiplier0, c0) >>> 0;
    const high1 = mulHigh(multiplier1, c2);
    const low1 = Math.imul(multiplier1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ key0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ key1) >>> 0;
    c3 = low0;
    key0 = (key0 + weyl0) >>> 0;
    key1 = (key1 + weyl1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** Random numbers of one (seed, stream, step). Streams are named: "init:layers.0.gate", "noise:3", "sample". */
export class Random {
  private readonly seed: number;
  private readonly stream: number;
  private readonly step: number;
  private block = 0;
  private used = 4;
  private readonly words = new Uint32Array(4);
  private spare: number | null = null;

  constructor(seed: number, stream: string, step = 0) {
    this.seed = seed >>> 0;
    this.stream = hash(stream);
    this.step = step >>> 0;
  }

  /** An unsigned 32-bit integer. */
  word(): number {
    if (this.used === 4) {
      philox4x32(this.block++, this.step, this.stream, 0, this.seed, 0, this.words);
      this.used = 0;
    }
    return this.words[this.used++];
  }

  /** In [0, 1), 24 bits. */
  uniform(): number {
    return (this.word() >>> 8) / 16777216;
  }

  /** A whole number in [0, n). */
  integer(n: number): number {
    return Math.floor((this.word() / 4294967296) * n);
  }

  /** From N(0, 1) (Box and Muller 1958). */
  normal(): number {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log((this.word() + 1) / 4294967296));
    const angle = (2 * Math.PI * this.word()) / 4294967296;
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  normals(n: number, std = 1): Float32Array<ArrayBuffer> {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = std * this.normal();
    return out;
  }

  uniforms(n: number, low = 0, high = 1): Float32Array<ArrayBuffer> {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = low + (high - low) * this.uniform();
    return out;
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
