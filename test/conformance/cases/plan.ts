import { type Case, exact, input, kernelCase, output } from "../harness.ts";
import { numbers } from "../inputs.ts";

const { ints } = numbers(23);

/** Tokens, picks a token, experts, and the least id: with -1 some places have none. */
const shapes = [
  [1, 1, 1, 0],
  [7, 3, 5, -1],
  [64, 2, 8, 0],
  [500, 8, 64, -1],
  [5, 2, 3, -1],
] as const;

const plans = shapes.map(([tokens, k, experts, least]) =>
  kernelCase(
    "planRows",
    `${tokens} tokens, ${k} of ${experts} experts${least < 0 ? ", some none" : ""}`,
    {
      ids: input(ints(tokens * k, least, experts - 1), "i32"),
      offsets: output(experts + 1, "i32"),
      token: output(tokens * k, "i32"),
      row: output(tokens * k, "i32"),
      tokens,
      k,
      experts,
    },
    exact,
  ),
);

const nobody = kernelCase(
  "planRows",
  "no place has an expert",
  {
    ids: input([-1, -1, -1, -1], "i32"),
    offsets: output(4, "i32"),
    token: output(4, "i32"),
    row: output(4, "i32"),
    tokens: 2,
    k: 2,
    experts: 3,
  },
  exact,
);

const counts = [0, 1, 400].map((n) =>
  kernelCase(
    "countIds",
    `${n} ids`,
    { ids: input(ints(n, -1, 8), "i32"), counts: output(9, "i32"), n, experts: 9 },
    exact,
  ),
);

export const planCases: readonly Case[] = [...plans, nobody, ...counts];
