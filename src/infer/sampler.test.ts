import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Random } from "../tensor/index.ts";
import { adjusted, TokenHistory } from "./penalties.ts";
import {
  candidates,
  checkSampling,
  type LogitFigures,
  type SamplingOptions,
  sample as sampleAfter,
} from "./sampler.ts";

const sample = (logits: Float32Array, options: SamplingOptions, random: Random) =>
  sampleAfter(logits, options, random, new TokenHistory());

/** Logits of the probabilities 0.1, 0.4, 0.2, 0.3. */
const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log);

/** Shares of each id in 10,000 draws. */
function shares(options: SamplingOptions): number[] {
  const draws = 10_000;
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < draws; i++) counts[sample(logits, options, new Random(9, "sample", i)).id]++;
  return counts.map((n) => n / draws);
}

// Expected shares by hand; four standard errors of a share of one half are 0.02.
test.each<[SamplingOptions, number[]]>([
  [{ temperature: 1 }, [0.1, 0.4, 0.2, 0.3]],
  [{ temperature: 0.5 }, [0.01 / 0.3, 0.16 / 0.3, 0.04 / 0.3, 0.09 / 0.3]],
  [{ temperature: 1, topK: 2 }, [0, 4 / 7, 0, 3 / 7]],
  [{ temperature: 1, topP: 0.75 }, [0, 4 / 9, 2 / 9, 3 / 9]],
  [{ temperature: 1, topP: 0.3 }, [0, 1, 0, 0]],
  [{ temperature: 1, topK: 3, topP: 0.7 }, [0, 4 / 7, 0, 3 / 7]],
  [{ temperature: 0 }, [0, 1, 0, 0]],
])("%j draws in the shares it should", (options, expected) => {
  const mine = shares(options);
  for (const [id, share] of expected.entries()) {
    if (share === 0 || share === 1) expect(mine[id]).toBe(share);
    else expect(Math.abs(mine[id] - share)).toBeLessThan(0.02);
  }
});

test("what is known of the logits changes no token", () => {
  const random = new Random(5, "logits");
  const many = Float32Array.from({ length: 5000 }, () => 12 * random.uniform() ** 3);
  const best = many.indexOf(Math.max(...many));
  for (const options of [
    { temperature: 1 },
    { temperature: 0.7 },
    { temperature: 1.5, topP: 0.9 },
    { temperature: 0.8, minP: 0.2 },
    { temperature: 0.8, topK: 7 },
    { temperature: 0 },
    { temperature: 1, logitBias: new Map([[best, -3]]) },
  ]) {
    const weights = Array.from(many, (logit) => Math.exp((logit - many[best]) / (options.temperature || 1)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const logSumExp = Math.log(many.reduce((sum, logit) => sum + Math.exp(logit), 0));
    for (let i = 0; i < 50; i++) {
      const draw = (figures?: LogitFigures) =>
        sampleAfter(many, options, new Random(i, "sample"), new TokenHistory(), figures);
      const known = draw({ best, logSumExp, total });
      expect(known.id).toBe(draw().id);
      expect(known.logProbability).toBeCloseTo(draw().logProbability, 9);
    }
  }
});

test("a tie goes to the lower id, and a temperature that is nearly 0 does not overflow", () => {
  const tied = Float32Array.of(1, 7, 7, 0);
  expect(sample(tied, { temperature: 0 }, new Random(0, "sample")).id).toBe(1);
  expect(sample(Float32Array.of(0, 50, 1, 2), { temperature: 1e-4 }, new Random(0, "sample")).id).toBe(1);
});

test("topP counts the tokens that are too unlikely to be sorted", () => {
  // 0.45 falls short of 0.5, so the second belongs to the set, whatever is left of the others.
  const logits = Float32Array.from([0.45, 0.31, 0.12, 0.12], Math.log);
  const drawn = Array.from({ length: 200 }, (_, i) =>
    sample(logits, { temperature: 1, topP: 0.5 }, new Random(3, "sample", i)),
  );
  expect(new Set(drawn.map(({ id }) => id))).toEqual(new Set([0, 1]));
});

test("the log-probability is the model's own, whatever was sampled from", () => {
  const { id, logProbability } = sample(logits, { temperature: 2, topK: 1 }, new Random(0, "sample"));
  expect(id).toBe(1);
  expect(logProbability).toBeCloseTo(Math.log(0.4), 6);
});

test("a logit that is not a number is an error", () => {
  expect(() => sample(Float32Array.of(0, Number.NaN), {}, new Random(0, "sample"))).toThrow(
    "logit of token 1 is not a number",
  );
  for (const worst of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const logits = Float32Array.of(Number.NEGATIVE_INFINITY, worst);
    expect(() => sample(logits, {}, new Random(0, "sample"))).toThrow(`highest logit is ${worst}`);
  }
});

interface GoldenCase {
  readonly options: SamplingOptions & { readonly bias?: Record<string, number> };
  readonly probabilities: Record<string, number>;
}
const golden: { logits: number[]; history: number[]; cases: GoldenCase[] } = JSON.parse(
  readFileSync(new URL("../../test/golden/sampling.json", import.meta.url), "utf8"),
);

test.each(golden.cases.map((one) => [JSON.stringify(one.options), one] as const))(
  "%s leaves the tokens, with the probabilities, that transformers' processors do",
  (_, { options: { bias = {}, ...options }, probabilities }) => {
    const logitBias = new Map(Object.entries(bias).map(([id, value]) => [Number(id), value]));
    const all = { ...options, logitBias };
    const logits = Float32Array.from(golden.logits);
    const { ids, weights } = candidates(adjusted(logits, all, new TokenHistory(golden.history)), all);
    const total = Array.from(weights).reduce((a, b) => a + b, 0);
    expect(Array.from(ids).sort((a, b) => a - b)).toEqual(Object.keys(probabilities).map(Number));
    Array.from(ids).forEach((id, i) => {
      expect(weights[i] / total).toBeCloseTo(probabilities[id], 5);
    });
  },
);

test("presence and frequency penalties count the answer's tokens, not the prompt's", () => {
  const history = new TokenHistory([0, 0, 1]);
  for (const id of [1, 2, 2]) history.add(id);
  const own = adjusted(
    Float32Array.of(5, 5, 5, 5),
    { presencePenalty: 0.5, frequencyPenalty: 0.25 },
    history,
  );
  expect([...own]).toEqual([5, 4.25, 4, 5]);
});

test("many of the highest come in the order that few do", () => {
  const random = new Random(2, "logits");
  const many = Float32Array.from({ length: 1000 }, () => random.integer(50)); // with ties
  const ids = (topK: number): number[] => Array.from(candidates(many, { temperature: 1, topK }).ids);
  expect(ids(400).slice(0, 200)).toEqual(ids(200));
  expect(ids(400)).toHaveLength(400);
});

test("what rounding leaves of a draw is the likeliest allowed token's", () => {
  const forbid = { temperature: 1, logitBias: new Map([[3, Number.NEGATIVE_INFINITY]]) };
  const most = { uniform: () => 1 } as Random; // past what any generator gives
  expect(sample(logits, forbid, most).id).toBe(1);
});

test("a bias that forbids every token is the caller's mistake, not the model's", () => {
  const logitBias = new Map([0, 1, 2, 3].map((id) => [id, Number.NEGATIVE_INFINITY]));
  for (const temperature of [0, 1])
    expect(() => sample(logits, { temperature, logitBias }, new Random(1, "sample"))).toThrow(
      expect.objectContaining({ code: "usage", message: "logitBias forbids every token" }),
    );
});

test("a forbidden token is never taken, and penalties and bias decide a greedy choice", () => {
  const forbid = { logitBias: new Map([[1, Number.NEGATIVE_INFINITY]]) };
  expect(sample(logits, forbid, new Random(0, "sample")).id).toBe(3);
  expect(sample(logits, { logitBias: new Map([[0, 9]]) }, new Random(0, "sample")).id).toBe(0);
  const history = new TokenHistory([1]);
  expect(sampleAfter(logits, { repetitionPenalty: 2 }, new Random(0, "sample"), history).id).toBe(3);
});

test("alternatives are the likeliest of the model, in order", () => {
  const { alternatives } = sample(
    logits,
    { alternatives: 3, ...{ temperature: 1 } },
    new Random(0, "sample"),
  );
  expect(alternatives.map(({ id }) => id)).toEqual([1, 3, 2]);
  expect(alternatives[2].logProbability).toBeCloseTo(Math.log(0.2), 6);
});

test.each<[SamplingOptions, string]>([
  [{ minP: 1.5 }, "minP 1.5"],
  [{ repetitionPenalty: 0 }, "repetitionPenalty 0"],
  [{ presencePenalty: Number.NaN }, "presencePenalty NaN"],
  [{ alternatives: -1 }, "alternatives -1"],
  [{ logitBias: new Map([[2, Number.NaN]]) }, "logitBias of token 2"],
])("%j is refused", (options, message) => {
  expect(() => checkSampling(options)).toThrow(message);
});
