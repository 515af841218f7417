import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { decodeE4m3, decodeScaledE4m3 } from "./e4m3.ts";

interface Golden {
  table: (number | null)[];
  columns: number;
  block: number;
  weights: number[];
  scales: number[];
  scaled: number[];
}

const golden: Golden = JSON.parse(
  await readFile(new URL("../../../test/golden/formats/fp8.json", import.meta.url), "utf8"),
);

test("every e4m3 code has PyTorch's value", () => {
  const values = decodeE4m3(Uint8Array.from({ length: 256 }, (_, code) => code));
  expect([...values].map((value) => (Number.isNaN(value) ? null : value))).toEqual(golden.table);
});

test("blocks at the edges have scales too", () => {
  const { weights, scales, columns, block, scaled } = golden;
  const decoded = decodeScaledE4m3(Uint8Array.from(weights), columns, Float32Array.from(scales), block);
  expect([...decoded]).toEqual(scaled);
  expect(() => decodeScaledE4m3(Uint8Array.from(weights), columns, new Float32Array(5), block)).toThrow(
    "fp8: 5 scales for [6, 10] in blocks of 4",
  );
});
