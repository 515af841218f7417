import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import {
  type BlockFormat,
  blockBytes,
  blockFormatNames,
  blockFormats,
  decodeBlocks,
  type EncodableFormat,
  encodeBlocks,
} from "./index.ts";

interface Golden {
  decode: Record<string, { bytes: string; values: string }>;
  encode: Record<EncodableFormat, { bytes: string; values: string }>;
}

const golden: Golden = JSON.parse(
  await readFile(new URL("../../../test/golden/blocks.json", import.meta.url), "utf8"),
);
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, "base64"));
const floatsOf = (text: string) => new Float32Array(bytesOf(text).buffer);
const bitsOf = (values: Float32Array) => [
  ...new Uint32Array(values.buffer, values.byteOffset, values.length),
];
/** A zero may bear either sign. */
const plainZeros = (values: Float32Array) => values.map((value) => (value === 0 ? 0 : value));

describe("decode", () => {
  test.each(Object.entries(golden.decode))("%s gives gguf-py's values, bit for bit", (format, sample) => {
    const decoded = decodeBlocks(format as BlockFormat, bytesOf(sample.bytes));
    expect(bitsOf(plainZeros(decoded))).toEqual(bitsOf(plainZeros(floatsOf(sample.values))));
  });

  test("every format has a golden sample or is f16, which formats/dtypes.test.ts checks", () => {
    expect(blockFormatNames.filter((format) => !(format in golden.decode))).toEqual(["f16"]);
    expect([...decodeBlocks("f16", Uint8Array.of(0, 0x3c, 0, 0xc1))]).toEqual([1, -2.5]);
  });
});

describe("encode", () => {
  test.each(["q8_0", "q4_0"] as const)("%s gives gguf-py's bytes", (format) => {
    const { values, bytes } = golden.encode[format];
    expect([...encodeBlocks(format, floatsOf(values))]).toEqual([...bytesOf(bytes)]);
  });

  const errorOf = (row: Float32Array, blocks: Uint8Array, weighted: boolean) => {
    const rms = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / row.length);
    return decodeBlocks("q4_k", blocks).reduce((sum, value, i) => {
      const weight = weighted ? rms + Math.abs(row[i]!) : 1;
      return sum + weight * (value - row[i]!) ** 2;
    }, 0);
  };

  test("q4_k leaves no more error than ggml's, plain or weighted, over rows of many sizes", () => {
    const values = floatsOf(golden.encode.q4_k.values);
    const theirs = bytesOf(golden.encode.q4_k.bytes);
    const ours = encodeBlocks("q4_k", values);
    const { bytes } = blockFormats.q4_k;
    const relative = (blocks: Uint8Array, weighted: boolean) => {
      let sum = 0;
      for (let row = 0; row * 256 < values.length; row++) {
        const x = values.subarray(row * 256, row * 256 + 256);
        sum +=
          errorOf(x, blocks.subarray(row * bytes, (row + 1) * bytes), weighted) /
          (errorOf(x, new Uint8Array(bytes), weighted) || 1); // an all-zero row is decoded exactly
      }
      return sum;
    };
    expect(relative(ours, true)).toBeLessThan(relative(theirs, true));
    expect(relative(ours, false)).toBeLessThan(relative(theirs, false));
  });

  test("values at the ends of f16's range: a scale rounded far down costs what it must, one too large is refused", () => {
    // A d of 1.4 steps of the smallest f16 is stored as one step, so that levels end at 1 / 1.4 of the largest value at worst.
    const small = Float32Array.from({ length: 256 }, (_, i) => Math.sin(1.7 * i) * 1.4 * 2 ** -24 * 63 * 7);
    const decoded = decodeBlocks("q4_k", encodeBlocks("q4_k", small));
    const squares = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);
    expect(squares(decoded.map((value, i) => value - small[i]!))).toBeLessThan(0.1 * squares(small));
    const large = new Float32Array(256).fill(1e9);
    large[0] = -1e9;
    for (const format of ["q8_0", "q4_0", "q4_k"] as const)
      expect(() => encodeBlocks(format, large), format).toThrow("f16 cannot hold their scale");
  });

  test("values no block can hold are named", () => {
    const values = new Float32Array(32);
    values[5] = Number.NaN;
    expect(() => encodeBlocks("q8_0", values)).toThrow("value 5 is NaN");
    expect(() => encodeBlocks("q4_k", values)).toThrow("32 elements are no whole number of blocks of 256");
  });
});

test("sizes that are no whole number of blocks are refused", () => {
  expect(blockBytes("q6_k", 512)).toBe(420);
  expect(() => decodeBlocks("q4_0", new Uint8Array(19))).toThrow(
    "19 bytes are no whole number of blocks of 18",
  );
});
