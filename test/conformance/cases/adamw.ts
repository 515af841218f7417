import { type Case, inout, input, kernelCase } from "../harness.ts";
import { numbers, sizes } from "../inputs.ts";

const { floats } = numbers(10);

const cases = [...sizes, 40_001].flatMap((n) =>
  [1, 1000].flatMap((step) =>
    [0, Math.floor(n / 2), n].flatMap((decayed) =>
      [true, false].map((scaled) =>
        kernelCase(
          "adamw",
          `${n} parameters, ${decayed} decayed, step ${step}${scaled ? ", scaled" : ""}`,
          {
            param: inout(floats(n)),
            grad: input(floats(n)),
            m: inout(floats(n, -0.1, 0.1)),
            v: inout(floats(n, 0, 0.1)),
            gradScale: scaled ? input([0.37]) : null,
            n,
            decayed,
            step,
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            decay: 0.1,
          },
          { abs: 2e-7, rel: 1e-6 },
        ),
      ),
    ),
  ),
);

/** Without gradients means decay; below 2^-126 (1.18e-38) they end at 0. */
const fading = Float64Array.from({ length: 37 }, (_, i) => (i % 2 === 0 ? 1.2e-38 : 1.4e-38));
const decays = kernelCase(
  "adamw",
  "means that fade away",
  {
    param: inout(floats(37)),
    grad: input(new Float64Array(37)),
    m: inout(fading.map((x, i) => (i % 3 === 0 ? -x : x))),
    v: inout(fading),
    gradScale: null,
    n: 37,
    decayed: 0,
    step: 1000,
    lr: 1e-3,
    beta1: 0.9,
    beta2: 0.9,
    eps: 1e-8,
    decay: 0,
  },
  { abs: 0, rel: 1e-6 },
);

export const adamwCases: readonly Case[] = [...cases, decays];
