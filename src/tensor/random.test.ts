import { expect, test } from "vitest";
import { Random } from "./random.ts";

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
