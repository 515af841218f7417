import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { weightBytes } from "./counts.ts";
import { findPublished, publishedModels, rumouredModels } from "./published.ts";
import { countRumour, countShape, type ModelShape } from "./shape.ts";

/** Counted by transformers' own modules: test/golden/published.py. */
const golden: Record<string, Record<string, number>> = JSON.parse(
  readFileSync(new URL("../../test/golden/published.json", import.meta.url), "utf8"),
);

const vmoe = publishedModels["v-moe-15b"];
const shapes: Record<string, ModelShape> = {
  ...publishedModels,
  "v-moe-15b, dense": { ...vmoe, layers: [{ ...vmoe.layers[0], layers: 48 }] },
};

test.each(Object.keys(golden))(
  "%s has exactly the weights that transformers' module has, part by part",
  (name) => {
    const { total, byPart } = countShape(shapes[name]);
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
] as const)("%s: %d B in all, %d B active, as published", (name, total, active, embedding, within) => {
  const counts = countShape(publishedModels[name]);
  expect(Math.abs(counts.total / 1e9 - total)).toBeLessThanOrEqual(within);
  const mine = embedding === "with" ? counts.active : counts.activeWithoutEmbedding;
  expect(Math.abs(mine / 1e9 - active)).toBeLessThanOrEqual(within);
});

// In billions, as published, where no count of active weights is; the last number is how far off we may be, in per cent.
test.each([
  ["gpt-3", 174.6, 0.003], // Brown et al. 2020, table D.1: 174,600 M
  ["gpt-3.5", 175, 0.3], // as told
  ["switch-c-2048", 1571, 0.03], // Fedus et al. 2022, table 9
  ["gshard-600b", 600, 3.5], // Lepikhin et al. 2020, table 1; "beyond 600 billion parameters" in the abstract
  ["v-moe-15b", 14.7051, 0.0003], // Riquelme et al. 2021, table 7: 14,705.1 M
] as const)("%s: %d B in all, as published", (name, total, percent) => {
  const off = countShape(publishedModels[name]).total / (total * 1e9) - 1;
  expect(100 * Math.abs(off)).toBeLessThanOrEqual(percent);
});

test("a token of V-MoE 15B passes one network more than in the dense model, and a router, in 24 layers", () => {
  const { total, mlp } = golden["v-moe-15b, dense"];
  const router = 32 * 1408;
  expect(countShape(vmoe).active).toBe(total + 24 * (mlp / 48 + router));
});

test("of GPT-3 a token looks up a position; its embedding is the head too", () => {
  const { active, activeWithoutEmbedding } = countShape(publishedModels["gpt-3"]);
  expect(active - activeWithoutEmbedding).toBe(2048 * 12_288);
});

test("GPT-4 as told lies between one attention for all experts and one for each", () => {
  const { low, high } = countRumour(rumouredModels["gpt-4"]);
  expect(high.total).toBe(8 * 220e9);
  expect(high.active).toBe(2 * 220e9);
  expect(low.total / 1e9).toBeCloseTo(220 / 3 + (8 * 2 * 220) / 3, 6); // 1246.7
  expect(low.active / 1e9).toBeCloseTo(220 / 3 + (2 * 2 * 220) / 3, 6); // 366.7
  expect(low.byPart.attention.total / 1e9).toBeCloseTo(220 / 3, 6);
  for (const { byPart, total, active } of [low, high]) {
    const counts = Object.values(byPart);
    expect(counts.reduce((sum, part) => sum + part.total, 0)).toBe(total);
    expect(counts.reduce((sum, part) => sum + part.active, 0)).toBe(active);
  }
});

test("the share of feed-forward layers that GPT-4's range rests on is GPT-3's", () => {
  const { total, mlp } = golden["gpt-3"];
  expect(Math.abs(rumouredModels["gpt-4"].feedForwardShare - mlp / total)).toBeLessThan(0.003);
});

test("a published model is found in capitals, by a short name and by the name it once had", () => {
  expect(findPublished("Mixtral-8x7B")).toBe(publishedModels["mixtral-8x7b"]);
  expect(findPublished("v-moe")).toBe(vmoe);
  expect(findPublished("gpt-4-rumoured")).toBe(rumouredModels["gpt-4"]);
  expect(findPublished("constructor")).toBeUndefined();
});

test("Mixtral 8x7B in bf16 takes 93.4 GB with all experts and 25.8 GB for those of one token", () => {
  const bytes = weightBytes(countShape(publishedModels["mixtral-8x7b"]));
  expect(bytes.bf16.resident / 1e9).toBeCloseTo(93.4, 1);
  expect(bytes.bf16.active / 1e9).toBeCloseTo(25.8, 1);
  expect(bytes.int4.resident * 8).toBe(bytes.f32.resident);
});
