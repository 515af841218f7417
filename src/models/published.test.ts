import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { weightBytes } from "./counts.ts";
import { type PublishedName, publishedModels } from "./published.ts";
import { countShape } from "./shape.ts";

/** Counted by transformers' own modules: test/golden/published.py. */
const golden: Record<string, Record<string, number>> = JSON.parse(
  readFileSync(new URL("../../test/golden/published.json", import.meta.url), "utf8"),
);

test.each(Object.keys(golden))(
  "%s has exactly the weights that transformers' module has, part by part",
  (name) => {
    const { total, byPart } = countShape(publishedModels[name as PublishedName]);
    const { total: expectedTotal, ...expected } = golden[name];
    expect(total).toBe(expectedTotal);
    const mine = Object.entries(byPart).map(([part, count]) => [part, count.total] as const);
    expect(Object.fromEntries(mine.filter(([, n]) => n > 0))).toEqual(expected);
  },
);

// In billions, as published; `active` with or without the input embedding, whichever the publisher counts.
test.each([
  ["mixtral-8x7b", 46.7, 12.9, "with", 0.05],
  ["mixtral-8x22b", 141, 39, "with", 0.5],
  ["olmoe-1b-7b", 6.9, 1.3, "with", 0.05],
  ["qwen3-30b-a3b", 30.5, 3.3, "with", 0.055], // 3.353: cut, not rounded
  ["gpt-oss-20b", 20.91, 3.61, "without", 0.005],
  ["gpt-oss-120b", 116.83, 5.13, "without", 0.005],
  ["deepseek-v3", 671, 37, "without", 0.5],
  ["llama-4-scout", 109, 17, "with", 0.5],
  ["gpt-4-rumoured", 1760, 440, "with", 0],
] as const)("%s: %d B in all, %d B active, as published", (name, total, active, embedding, within) => {
  const counts = countShape(publishedModels[name]);
  expect(Math.abs(counts.total / 1e9 - total)).toBeLessThanOrEqual(within);
  const mine = embedding === "with" ? counts.active : counts.activeWithoutEmbedding;
  expect(Math.abs(mine / 1e9 - active)).toBeLessThanOrEqual(within);
});

test("Mixtral 8x7B in bf16 takes 93.4 GB with all experts and 25.8 GB for those of one token", () => {
  const bytes = weightBytes(countShape(publishedModels["mixtral-8x7b"]));
  expect(bytes.bf16.resident / 1e9).toBeCloseTo(93.4, 1);
  expect(bytes.bf16.active / 1e9).toBeCloseTo(25.8, 1);
  expect(bytes.int4.resident * 8).toBe(bytes.f32.resident);
});
