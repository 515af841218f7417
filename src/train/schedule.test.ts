import { expect, test } from "vitest";
import { learningRate } from "./schedule.ts";

const schedule = { lr: 1, minLr: 0.1, warmup: 4 };

test("the learning rate rises over the warm-up, falls by half a cosine, and ends at minLr", () => {
  const at = (step: number): number => learningRate(step, schedule, 12);
  expect([1, 2, 3, 4].map(at)).toEqual([0.25, 0.5, 0.75, 1]);
  expect(at(8)).toBeCloseTo(0.55, 12); // half-way: the mean of both ends
  expect(at(6)).toBeCloseTo(0.1 + 0.45 * (1 + Math.SQRT1_2), 12); // a quarter: cos 45 degrees
  expect(at(12)).toBeCloseTo(0.1, 12);
});

test("no warm-up starts near the top, and a run that is all warm-up ends at the top", () => {
  expect(learningRate(1, { ...schedule, warmup: 0 }, 1)).toBeCloseTo(0.1, 12);
  expect(learningRate(1, { ...schedule, warmup: 0 }, 1000)).toBeGreaterThan(0.9999);
  expect(learningRate(12, { ...schedule, warmup: 12 }, 12)).toBe(1);
});
