import { philox4x32 } from "../kernels/philox.ts";

/**
 * Streams of Philox 4x32-10, a counter-based generator. The k-th number of a stream depends on (seed, stream, step, k) alone, so a resumed
 * run draws what an unbroken one would. On a device: ops/random.ts.
 */

/** Random numbers of one (seed, stream, step). Streams are named: "init:layers.0.gate", "noise:3", "sample". */
export class Random {
  private readonly key: SeedWords;
  private readonly stream: number;
  private readonly step: number;
  private block = 0;
  private used = 4;
  private readonly words = new Uint32Array(4);
  private spare: number | null = null;

  constructor(seed: number, stream: string, step = 0) {
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

/** The lower 32 bits of a whole number, and those above. */
export function seedWords(seed: number): SeedWords {
  return { seed: seed >>> 0, seedHigh: Math.floor(seed / 2 ** 32) >>> 0 };
}

/** What a stream's name counts as: FNV-1a, 32 bits. */
export function streamWord(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
