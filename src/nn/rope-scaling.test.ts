import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type RotaryScaling, rotaryAngles, yarnMagnitude } from "./rope-scaling.ts";

interface Golden {
  readonly parameters: Readonly<Record<string, number>> & {
    readonly rope_type: "linear" | "llama3" | "yarn";
    readonly truncate?: boolean;
  };
  readonly dims: number;
  readonly theta: number;
  readonly frequencies: readonly number[];
  readonly amplitude: number;
}

// Made by test/golden/rope_scaling.py.
const golden: readonly Golden[] = JSON.parse(
  readFileSync(new URL("../../test/golden/rope_scaling.json", import.meta.url), "utf8"),
);

function scalingOf({ rope_type, truncate, ...said }: Golden["parameters"]): RotaryScaling {
  const { factor, original_max_position_embeddings: originalPositions } = said;
  switch (rope_type) {
    case "linear":
      return { kind: "linear", factor };
    case "llama3":
      return {
        kind: "llama3",
        factor,
        lowFrequency: said.low_freq_factor,
        highFrequency: said.high_freq_factor,
        originalPositions,
      };
    case "yarn": {
      const { mscale = 0, mscale_all_dim: all = 0 } = said;
      const ratio =
        mscale && all ? yarnMagnitude(factor, mscale) / yarnMagnitude(factor, all) : yarnMagnitude(factor);
      return {
        kind: "yarn",
        factor,
        attentionFactor: said.attention_factor ?? ratio,
        betaFast: said.beta_fast,
        betaSlow: said.beta_slow,
        originalPositions,
        truncate: truncate ?? true,
      };
    }
  }
}

test.each(golden)("$parameters over $dims features is what transformers computes", (one) => {
  const { dims, theta } = one;
  const scaling = scalingOf(one.parameters);
  const { frequencies_I, amplitude } = rotaryAngles({ dims, theta, scaling, interleaved: false });
  expect(frequencies_I).toHaveLength(dims / 2);
  one.frequencies.forEach((frequency, i) => {
    expect(Math.abs(frequencies_I[i] / frequency - 1)).toBeLessThan(2e-6);
  });
  expect(amplitude).toBeCloseTo(one.amplitude, 6);
});

test("each pair may be slowed by a factor of its own", () => {
  const scaling: RotaryScaling = { kind: "factors", factors: [1, 4], attentionFactor: 1.5 };
  const { frequencies_I, amplitude } = rotaryAngles({ dims: 4, theta: 100, scaling, interleaved: false });
  expect([...frequencies_I]).toEqual([1, 0.1 / 4]);
  expect(amplitude).toBe(1.5);
});
