import { type Case, fewUlps, inout, input, kernelCase, output } from "../harness.ts";
import { numbers } from "../inputs.ts";

const { floats, ints } = numbers(6);
const positions = 20;

const shapes: readonly [tokens: number, heads: number, headDim: number, rotary: number][] = [
  [1, 1, 2, 2],
  [3, 1, 6, 4],
  [7, 3, 17, 10],
  [5, 2, 34, 34],
  [33, 4, 64, 64],
  [17, 5, 33, 32],
  [260, 4, 64, 64],
  [0, 2, 4, 4],
];

const cases = shapes.flatMap(([tokens, heads, headDim, rotary]) =>
  [false, true].flatMap((interleaved) =>
    [false, true].flatMap((inverse) => {
      const name = `[${tokens}, ${heads}, ${headDim}], ${rotary}${interleaved ? ", interleaved" : ""}${inverse ? ", inverse" : ""}`;
      const x = floats(tokens * heads * headDim);
      const angles = floats((positions * rotary) / 2, -3, 3);
      const rest = {
        cos: input(angles.map(Math.cos)),
        sin: input(angles.map(Math.sin)),
        position: input(ints(tokens, 0, positions - 1), "i32"),
        tokens,
        heads,
        headDim,
        rotary,
        interleaved,
        inverse,
      };
      return [
        kernelCase("rope", name, { x: input(x), out: output(x.length), ...rest }, fewUlps),
        kernelCase("rope", `${name}, in place`, { x: inout(x), out: { sameAs: "x" }, ...rest }, fewUlps),
      ];
    }),
  ),
);

export const ropeCases: readonly Case[] = cases;
