import type { DType } from "../../../src/kernels/abi.ts";
import { type Case, exact, inout, input, kernelCase, output, type Place, sumOf } from "../harness.ts";
import { numbers, sizes } from "../inputs.ts";

const { floats, ints } = numbers(7);
const floatTypes: readonly DType[] = ["f32", "bf16"];

const gathers = [...sizes.map((n) => [11, n] as const), [300, 130] as const].flatMap(([rows, n]) =>
  floatTypes.flatMap((from) =>
    floatTypes.map((to) =>
      kernelCase(
        "gatherRows",
        `${rows} of 6 rows of ${n}, ${from} to ${to}`,
        {
          x: input(floats(6 * n), from),
          ids: input(ints(rows, -1, 5), "i32"),
          out: output(rows * n, to),
          rows,
          n,
        },
        exact,
      ),
    ),
  ),
);

const scatters = [...sizes.map((n): [number, number, number] => [11, n, 6]), [500, 65, 40] as const].map(
  ([rows, n, outRows]) =>
    kernelCase(
      "scatterAddRows",
      `${rows} into ${outRows} rows of ${n}`,
      {
        x: input(floats(rows * n)),
        ids: input(ints(rows, -2, outRows - 1), "i32"),
        out: inout(floats(outRows * n)),
        rows,
        n,
        outRows,
      },
      sumOf(rows),
    ),
);

/** Rows 0 to rows - 1 in any order over tokens*k places, each at most once; the places left over hold none. */
function places(tokens: number, k: number, rows: number): Place {
  const keys = floats(tokens * k);
  const order = Array.from(keys.keys()).sort((a, b) => keys[a]! - keys[b]!);
  return input(
    Float64Array.from({ length: tokens * k }, (_, i) => (order[i]! < rows ? order[i]! : -1)),
    "i32",
  );
}

const combines = [
  ...sizes.map((n): [number, number, number] => [5, 3, n]),
  [400, 2, 65] as const,
  [7, 1, 4] as const,
].flatMap(([tokens, k, n]) =>
  [true, false].flatMap((weighted) => {
    const rows = Math.max(1, tokens * k - 3);
    const common = {
      y: input(floats(rows * n)),
      row: places(tokens, k, rows),
      weight: weighted ? input(floats(tokens * k)) : null,
      tokens,
      k,
      n,
    };
    const name = `${k} for ${tokens} tokens of ${n}${weighted ? "" : ", no weights"}`;
    return [
      kernelCase("combineRows", name, { ...common, out: output(tokens * n) }, sumOf(k)),
      kernelCase(
        "combineRowsGrad",
        name,
        {
          ...common,
          dout: input(floats(tokens * n)),
          dy: output(rows * n),
          dweight: weighted ? output(tokens * k) : null,
          rows,
        },
        sumOf(n),
      ),
      kernelCase(
        "combineRowsGrad",
        `${name}, dy alone`,
        { ...common, dout: input(floats(tokens * n)), dy: output(rows * n), dweight: null, rows },
        sumOf(n),
      ),
    ];
  }),
);

// More rows than places, as under a capacity: rows that nobody holds get a gradient of zeros.
const spareRows = kernelCase(
  "combineRowsGrad",
  "rows that nobody holds",
  {
    y: input(floats(9 * 7)),
    row: input([8, -1, 2, 5], "i32"),
    weight: input(floats(4)),
    dout: input(floats(2 * 7)),
    dy: output(9 * 7),
    dweight: output(4),
    tokens: 2,
    k: 2,
    n: 7,
    rows: 9,
  },
  sumOf(7),
);

export const pickCases: readonly Case[] = [...gathers, ...scatters, ...combines, spareRows];
