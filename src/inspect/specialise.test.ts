import { expect, test } from "vitest";
import { tokenKind } from "./kinds.ts";
import { logLikelihoodRatio, mutualInformation, Specialist } from "./specialise.ts";

test("token kinds", () => {
  const kinds = [" the", "ing", " Whale", "1851", " 7", "),", "\n\n", "<|endoftext|>", "x1"].map(tokenKind);
  expect(kinds).toEqual([
    "space + word",
    "word piece",
    "capitalised",
    "digits",
    "digits",
    "punctuation",
    "white space",
    "other",
    "other",
  ]);
});

test("an expert that takes one domain alone is seen to", () => {
  const specialist = new Specialist(["novel", "code"], (id) => ["a", "{"][id]);
  // Tokens 0 are novel and go to experts 0 then 2; tokens 1 are code and go to 1 then 2.
  const tokens = [0, 1, 0, 1];
  const ids_TK = Int32Array.from([0, 2, 1, 2, 0, 2, 1, -1]);
  specialist.add(tokens, [0, 1, 0, 1], [{ experts: 4, k: 2, ids_TK, weights_TK: new Float32Array(8) }]);
  const { layers, domainShares } = specialist.result();
  const [zero, one, two, three] = layers[0].experts;
  expect(domainShares).toEqual([0.5, 0.5]);
  expect([zero, one, two, three].map((e) => e.count)).toEqual([2, 2, 3, 0]);
  expect(zero.domains).toEqual([1, 0]);
  expect(one.domains).toEqual([0, 1]);
  expect(two.domains[0]).toBeCloseTo(2 / 3, 12);
  expect(three.domains).toEqual([0, 0]);
  expect(zero.typical.map((t) => t.text)).toEqual(["a"]);
  // Of 7 places 4 hold token 0; expert 0 took 2 of them where 4 * 2/7 were expected.
  expect(zero.typical[0].lift).toBeCloseTo(2 / (8 / 7), 12);
});

test("mutual information: independent 0, a bijection of two equal halves 1 bit", () => {
  expect(mutualInformation([1, 2, 2, 4], 2, 2)).toBeCloseTo(0, 12);
  expect(mutualInformation([5, 0, 0, 5], 2, 2)).toBeCloseTo(1, 12);
});

test("log-likelihood ratio of Dunning's definition, worked by hand", () => {
  // k1/n1 = 10/100, k2/n2 = 0/100, p = 0.05: 2*(10 ln 2 + 90 ln(90/95) + 100 ln(100/95)).
  const byHand = 2 * (10 * Math.log(2) + 90 * Math.log(90 / 95) + 100 * Math.log(100 / 95));
  expect(logLikelihoodRatio(10, 100, 0, 100)).toBeCloseTo(byHand, 10);
  expect(logLikelihoodRatio(5, 100, 5, 100)).toBeCloseTo(0, 10);
});
