import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { fromFloat32, toFloat32 } from "./dtypes.ts";

interface Floats {
  f32: number[];
  f16: number[];
  bf16: number[];
  halves: number[];
  halvesAsF32: number[];
}

const golden: Floats = JSON.parse(
  await readFile(new URL("../../test/golden/formats/floats.json", import.meta.url), "utf8"),
);
const values = new Float32Array(Uint32Array.from(golden.f32).buffer);

const isNaN32 = (word: number) => (word & 0x7fffffff) > 0x7f800000;
const isNaN16 = (word: number, infinity: number) => (word & 0x7fff) > infinity;

test.each([
  ["BF16", golden.bf16, 0x7f80],
  ["F16", golden.f16, 0x7c00],
] as const)("f32 is narrowed to %s as PyTorch narrows it", (dtype, expected, infinity) => {
  const words = new Uint16Array(fromFloat32(dtype, values).buffer);
  for (const [i, word] of words.entries()) {
    if (isNaN32(golden.f32[i]!)) expect(isNaN16(word, infinity)).toBe(true);
    else expect(`${golden.f32[i]} -> ${word}`).toBe(`${golden.f32[i]} -> ${expected[i]}`);
  }
});

test("f16 is widened as NumPy widens it", () => {
  const floats = toFloat32("F16", new Uint8Array(Uint16Array.from(golden.halves).buffer));
  const expected = new Float32Array(Uint32Array.from(golden.halvesAsF32).buffer);
  for (const [i, value] of floats.entries()) expect(value).toBe(expected[i]);
});

test("bf16 widens to the upper half of an f32, from unaligned bytes too", () => {
  const bytes = Uint8Array.of(9, 0x80, 0x3f, 0x20, 0xc1);
  expect([...toFloat32("BF16", bytes.subarray(1))]).toEqual([1, -10]);
  expect(() => toFloat32("BF16", bytes)).toThrow(/no whole number/);
  expect(() => toFloat32("U8", bytes)).toThrow(/no plain f32 form/);
});
