import { type Case, exact, input, kernelCase, output } from "../harness.ts";
import { numbers } from "../inputs.ts";

const { floats, ints } = numbers(77);
const bytes = (n: number): Float64Array => ints(n, 0, 255);

const rearranged = [
  { rows: 1, k: 32, turns: 1 },
  { rows: 6, k: 96, turns: 2 },
  { rows: 400, k: 320, turns: 2 },
].map(({ rows, k, turns }) =>
  kernelCase(
    "mxfp4Rows",
    `[${rows}, ${k}], ${turns} in turns`,
    {
      nibbles: input(bytes((rows * k) / 2), "u8"),
      exponents: input(bytes((rows * k) / 32), "u8"),
      out: output((rows * k * 17) / 32, "u8"),
      rows,
      k,
      turns,
    },
    exact,
  ),
);

/** Every code, NaN too, in every lane and in squares that the sizes cut. */
const codes = (n: number): Float64Array => Float64Array.from({ length: n }, (_, i) => (i + (i >> 8)) % 256);

const scaled = [
  { rows: 1, k: 1, block: 128 },
  { rows: 10, k: 257, block: 128 },
  { rows: 300, k: 130, block: 128 },
  { rows: 7, k: 19, block: 4 },
].flatMap(({ rows, k, block }) =>
  (["f32", "bf16"] as const).map((dtype) =>
    kernelCase(
      "scaledE4m3",
      `[${rows}, ${k}] with a scale of ${dtype} for ${block} x ${block}`,
      {
        x: input(codes(rows * k), "u8"),
        scales: input(floats(Math.ceil(rows / block) * Math.ceil(k / block), -0.02, 0.02), dtype),
        out: output(rows * k, "bf16"),
        rows,
        k,
        block,
      },
      exact,
    ),
  ),
);

export const storedFormCases: readonly Case[] = [...rearranged, ...scaled];
