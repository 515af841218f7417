import { type Case, input, kernelCase, output, type Place, sumOf, type Tolerance } from "../harness.ts";
import { numbers, sizes } from "../inputs.ts";

const { floats } = numbers(5);

const shapes: readonly [rows: number, n: number][] = [
  [0, 5],
  ...sizes.map((n): [number, number] => [5, n]),
  [1025, 33],
  [3, 1025],
];

/** The row's mean is a sum of n over n, so n rounds it only as the square root; the rest is a few roundings. */
const rowTolerance: Tolerance = { abs: 4e-6, rel: 4e-6 };

const cases = shapes.flatMap(([rows, n]) =>
  [true, false].flatMap((weighted) => {
    const name = `[${rows}, ${n}]${weighted ? "" : ", no weight"}`;
    const vector = (): Place | null => (weighted ? input(floats(n)) : null);
    const gradient = (): Place | null => (weighted ? output(n) : null);
    // A mean far from 0 against the spread: where E[x^2] - mean^2 would lose its digits.
    const x = input(floats(rows * n, 2, 5));
    const weight = vector();
    const [rstd, mean, dy] = [
      input(floats(rows, 0.2, 1)),
      input(floats(rows, 3, 4)),
      input(floats(rows * n)),
    ];
    const common = { x, weight, rows, n };
    const gradients = { ...common, rstd, dy, dx: output(rows * n), dweight: gradient() };
    const backward = sumOf(2 * rows + 20, 3);
    return [
      kernelCase(
        "rmsNorm",
        name,
        { ...common, out: output(rows * n), rstd: output(rows), eps: 1e-5 },
        rowTolerance,
      ),
      kernelCase("rmsNormGrad", name, gradients, backward),
      kernelCase(
        "layerNorm",
        name,
        {
          ...common,
          bias: vector(),
          out: output(rows * n),
          mean: output(rows),
          rstd: output(rows),
          eps: 1e-2,
        },
        { abs: 4e-5, rel: 4e-5 },
      ),
      kernelCase("layerNormGrad", name, { ...gradients, mean, dbias: gradient() }, backward),
      // Each of weight, bias and their gradients may be absent by itself.
      kernelCase(
        "layerNormGrad",
        `${name}, dbias alone`,
        { ...gradients, mean, dweight: null, dbias: output(n) },
        backward,
      ),
      kernelCase("rmsNormGrad", `${name}, dx alone`, { ...gradients, dweight: null }, backward),
    ];
  }),
);

export const normCases: readonly Case[] = cases;
