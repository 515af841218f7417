import { philox4x32 } from "../kernels/philox.ts";

/**
 * Streams of Philox 4x32-10, a counter-based generator. The k-th number of a stream depends on (seed, stream, step, k) alone, so a resumed
 * run draws what an unbroken one would. On a device: ops/random.ts.
 */

/** 64 bits: a whole number of 0 or more, up to 2^53 - 1; what is larger, up to 2^64 - 1, in decimal digits. */
export type Seed = number | string;

/** 2^64 - 1. */
const largestSeed = 0xffffffffffffffffn;

/** Whether `value` is a {@link Seed}. */
export function isSeed(value: unknown): value is Seed {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0;
  return typeof value === "string" && /^(0|[1-9]\d{0,19})$/.test(value) && BigInt(value) <= largestSeed;
}

/** What a seed is, for messages. */
export const seedForm: string = "a whole number from 0 to 2^64 - 1 (beyond 2^53 - 1 as text)";

/** A seed that nobody gave, of 53 random bits. Tell it, so that its draws can be had again. */
export function drawSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}

/** Random numbers of one (seed, stream, step). Streams are named: "init:layers.0.gate", "noise:3", "sample". */
export class Random {
  private readonly key: SeedWords;
  private readonly stream: number;
  private readonly step: number;
  private block = 0;
  private used = 4;
  private readonly words = new Uint32Array(4);
  private spare: number | null = null;

  constructor(seed: Seed, stream: string, step = 0) {
    this.key = seedWords(seed);
    this.stream = streamWord(stream);
    this.step = step >>> 0;
  }

  /** An unsigned 32-bit integer. */
  word(): number {
    if (this.used === 4) {
      const { seed, seedHigh } = this.key;
      philox4x32(this.block++, this.step, this.stream, 0, seed, seedHigh, this.words);
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

/** A seed as the two words of a key. */
export interface SeedWords {
  readonly seed: number;
  readonly seedHigh: number;
}

/** The lower 32 bits of a seed, and those above. */
export function seedWords(seed: Seed): SeedWords {
  if (typeof seed === "string") {
    const all = BigInt(seed);
    return { seed: Number(all & 0xffffffffn), seedHigh: Number(all >> 32n) };
  }
  return { seed: seed >>> 0, seedHigh: Math.floor(seed / 2 ** 32) >>> 0 };
}

/** What a stream's name counts as: FNV-1a, 32 bits. */
export function streamWord(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
