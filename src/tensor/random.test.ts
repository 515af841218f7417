import { expect, test } from "vitest";
import { philox4x32, Random } from "./random.ts";

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
test.each([
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
])("Philox 4x32-10 gives the published words for counter %j", ([a, b, c, d], [k0, k1], expected) => {
  const out = new Uint32Array(4);
  philox4x32(a, b, c, d, k0, k1, out);
  expect([...out]).toEqual(expected);
});

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
