import { afterEach, expect, test, vi } from "vitest";
import { paramsCommand } from "./commands/params.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

async function printed(...words: string[]): Promise<string> {
  const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  await paramsCommand().parseAsync(words, { from: "user" });
  return write.mock.calls.map(([text]) => text).join("");
}

test("a model whose shape is known has numbers in its JSON", async () => {
  const counts = JSON.parse(await printed("mixtral-8x7b", "--json"));
  expect(counts.total).toBe(46_702_792_704);
  expect(counts.byPart.experts.total).toBe(45_097_156_608);
  expect(counts.bytes.bf16.resident).toBe(2 * 46_702_792_704);
  expect(counts).not.toHaveProperty("bounds");
});

test("a model known by hearsay has {low, high} for each number, and says what they rest on", async () => {
  const counts = JSON.parse(await printed("gpt-4", "--json"));
  expect(counts.total.high).toBe(1_760_000_000_000);
  expect(counts.active.high).toBe(440_000_000_000);
  expect(counts.total.low / 1e9).toBeCloseTo(1246.67, 2);
  expect(counts.bytes.int8.resident).toEqual(counts.total);
  expect(counts.bounds).toEqual({ low: expect.stringContaining("share"), high: expect.any(String) });
});

test("the range is in the first line that is printed", async () => {
  const [first, low, high] = (await printed("gpt-4")).split("\n");
  expect(first).toContain("1.25 T to 1.76 T parameters, 367 B to 440 B active a token");
  expect(low).toMatch(/^ {2}low: /);
  expect(high).toMatch(/^ {2}high: /);
});

test("GPT-3.5's shape is said to be GPT-3's", async () => {
  expect(await printed("gpt-3.5")).toMatch(/as told.*GPT-3's shape.*never published.*: 175 B parameters/);
});
