import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { decodeNpy, encodeNpy, type NpyArray } from "./npy.ts";

const read = async (name: string) =>
  new Uint8Array(await readFile(new URL(`../../test/golden/formats/${name}.npy`, import.meta.url)));

test.each<[string, NpyArray]>([
  ["f4", { shape: [2, 3], data: Float32Array.of(-0.5, -0.25, 0, 0.25, 0.5, 0.75) }],
  ["i4", { shape: [5], data: Int32Array.of(1, -2, 2147483647, -2147483648, 0) }],
  ["scalar", { shape: [], data: Float32Array.of(1.5) }],
  ["empty", { shape: [0, 4], data: new Float32Array(0) }],
])("%s.npy is read and written as NumPy wrote it", async (name, array) => {
  const bytes = await read(name);
  expect(decodeNpy(bytes)).toEqual(array);
  expect([...encodeNpy(array)]).toEqual([...bytes]);
});

test("refuses what is not exactly such a file", async () => {
  const bytes = await read("f4");
  const damaged = { code: "file-damaged" };
  const swapped = new TextEncoder().encode(
    new TextDecoder("latin1").decode(bytes).slice(1).replace("<f4", ">f4"),
  );
  expect(() => decodeNpy(bytes.slice(0, 8))).toThrow(expect.objectContaining(damaged));
  expect(() => decodeNpy(bytes.slice(0, 60))).toThrow(/header should end/);
  expect(() => decodeNpy(bytes.slice(0, -1))).toThrow(/takes 24 bytes, the file holds 23/);
  expect(() => decodeNpy(Uint8Array.from([0x93, ...swapped]))).toThrow(/only C-order float32 and int32/);
  expect(() => encodeNpy({ shape: [2, 2], data: new Float32Array(3) })).toThrow(
    /holds 4 elements, 3 were given/,
  );
});
