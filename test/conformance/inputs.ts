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
