import { expect, test } from "vitest";
import { drawSeed, isSeed, Random, type Seed, seedWords } from "./random.ts";

test("a stream is fixed by (seed, stream, step), and normals have mean 0 and variance 1", () => {
  expect(new Random(1, "a", 2).normals(5)).toEqual(new Random(1, "a", 2).normals(5));
  expect(new Random(1, "a", 2).word()).not.toBe(new Random(1, "a", 3).word());
  expect(new Random(1, "a", 2).word()).not.toBe(new Random(1, "b", 2).word());
  const n = 40_000;
  const values = new Random(7, "normal").normals(n);
  const mean = values.reduce((s, v) => s + v, 0) / n;
  const variance = values.reduce((s, v) => s + (v - mean) ** 2, 0) / n;
  // Four standard errors: 4/sqrt(n) and 4*sqrt(2/n).
  expect(Math.abs(mean)).toBeLessThan(0.02);
  expect(Math.abs(variance - 1)).toBeLessThan(0.0283);
});

test("every bit of a seed counts, below 2^32 as above", () => {
  const words = (seed: number) => [new Random(seed, "a").word(), new Random(seed, "a").word()];
  const seeds = [5, 2 ** 32 + 5, 2 ** 33 + 5, 2 ** 52 + 5, 6];
  expect(new Set(seeds.map((seed) => words(seed)[0])).size).toBe(seeds.length);
  expect(words(2 ** 52 + 5)).toEqual(words(2 ** 52 + 5));
});

test("a seed is 64 bits: beyond 2^53 it is given as text, and the same number is the same seed", () => {
  expect(seedWords("18446744073709551615")).toEqual({ seed: 0xffffffff, seedHigh: 0xffffffff });
  expect(seedWords("9223372036854775809")).toEqual({ seed: 1, seedHigh: 0x80000000 });
  for (const seed of [0, 7, 2 ** 32 + 5, 2 ** 53 - 1])
    expect(seedWords(String(seed))).toEqual(seedWords(seed));
  const seeds: Seed[] = [5, "9223372036854775813", "18446744073709551615", 2 ** 53 - 1];
  expect(new Set(seeds.map((seed) => new Random(seed, "a").word())).size).toBe(seeds.length);
  for (const good of [0, 2 ** 53 - 1, "0", "18446744073709551615"]) expect(isSeed(good)).toBe(true);
  for (const bad of [-1, 1.5, 2 ** 53, Number.NaN, "18446744073709551616", "-1", "01", "", "x", null, 5n])
    expect(isSeed(bad)).toBe(false);
  const drawn = Array.from({ length: 100 }, drawSeed);
  expect(drawn.every(isSeed)).toBe(true);
  expect(new Set(drawn).size).toBe(100);
  expect(Math.max(...drawn)).toBeGreaterThan(2 ** 51);
});
