/** Every flag of `conclave generate` has its effect: the built package on a golden model, in a child process. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const model = fileURLToPath(new URL("../golden/mixtral", import.meta.url));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function generate(...flags: string[]): Promise<Result> {
  const args = [cli, "--threads", "1", "generate", model, "--ids", "3,14,15,9", ...flags];
  return new Promise((resolve) => {
    execFile(process.execPath, args, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

interface Output {
  readonly ids: number[];
  readonly finish: string;
  readonly routes: { layer: number; experts: number[]; weights: number[] }[][];
  readonly logprobs: { logProbability: number; alternatives: { id: number; logProbability: number }[] }[];
}

async function json(...flags: string[]): Promise<Output> {
  const { code, stdout, stderr } = await generate("--max-tokens", "12", "--json", ...flags);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

const greedily = ["--temperature", "0"];
let greedy: number[];
beforeAll(async () => {
  const { ids, finish } = await json(...greedily);
  expect([ids.length, finish]).toEqual([12, "max-tokens"]);
  greedy = ids;
});

test.each([
  ["--top-k", "1"],
  ["--top-p", "0.000001"],
  ["--min-p", "1"],
])("%s %s leaves the likeliest token alone, at any temperature", async (...flag) => {
  expect((await json("--temperature", "2", ...flag)).ids).toEqual(greedy);
});

test("temperature and seed draw other tokens, the same seed the same", async () => {
  const hot = ["--temperature", "1.5", "--top-p", "1"];
  const { ids } = await json(...hot, "--seed", "3");
  expect(ids).not.toEqual(greedy);
  expect((await json(...hot, "--seed", "3")).ids).toEqual(ids);
  expect((await json(...hot, "--seed", "4")).ids).not.toEqual(ids);
});

test("--logit-bias forbids and favours tokens", async () => {
  const forbidden = await json(...greedily, "--logit-bias", `${greedy[0]}=-inf`);
  expect(forbidden.ids).not.toContain(greedy[0]);
  const both = await json(...greedily, "--logit-bias", "7=100", "--logit-bias", "8=150");
  expect(new Set(both.ids)).toEqual(new Set([8]));
});

test("penalties keep tokens from coming again", async () => {
  expect((await json(...greedily, "--repetition-penalty", "100")).ids).not.toEqual(greedy);
  for (const flag of ["--presence-penalty", "--frequency-penalty"]) {
    const { ids } = await json(...greedily, flag, "100");
    expect(new Set(ids).size).toBe(12);
  }
});

test("--active-experts and --mask-experts choose the experts that --routes tells", async () => {
  const plain = await json(...greedily, "--routes");
  expect(plain.ids).toEqual(greedy);
  expect(plain.routes.flat().map(({ experts }) => experts.length)).toEqual(new Array(24).fill(2));
  const one = await json(...greedily, "--routes", "--active-experts", "1");
  expect(one.routes.flat().map(({ experts }) => experts.length)).toEqual(new Array(24).fill(1));
  const masked = await json(...greedily, "--routes", "--mask-experts", "0,1:2");
  for (const { layer, experts } of masked.routes.flat()) {
    expect(experts).not.toContain(0);
    if (layer === 1) expect(experts).not.toContain(2);
  }
  expect(masked.routes.flat().some(({ layer, experts }) => layer === 0 && experts.includes(2))).toBe(true);
});

test("--logprobs tells the likeliest, which a greedy choice is one of", async () => {
  const { ids, logprobs } = await json(...greedily, "--logprobs", "2");
  expect(logprobs.map(({ alternatives }) => alternatives[0].id)).toEqual(ids);
  for (const { logProbability, alternatives } of logprobs) {
    expect(alternatives).toHaveLength(2);
    expect(logProbability).toBeCloseTo(alternatives[0].logProbability, 5);
    expect(alternatives[0].logProbability).toBeGreaterThanOrEqual(alternatives[1].logProbability);
  }
});

test.each([
  [["--routes"], /--routes is printed with --json/],
  [["--logit-bias", "5"], /--logit-bias takes id=number/],
  [["--mask-experts", "1:2:3"], /--mask-experts takes experts or block:expert/],
  [["--active-experts", "5"], /5 active experts/],
  [["--stop", "x"], /--stop: the model has no tokenizer/],
])("%j is refused", async (flags, message) => {
  const { code, stderr, stdout } = await generate(...flags);
  expect(stderr).toMatch(message);
  const [error, fix = "fix: none is needed", ...more] = stderr.trim().split("\n");
  expect(error).toMatch(/^error: /);
  expect(fix).toMatch(/^fix: /);
  expect(more).toEqual([]);
  expect(stdout).toBe("");
  expect(code).toBe(2);
});

test("--expert-cache changes no token and says how it went; a size must be one, and hold one token's experts", async () => {
  const { code, stdout, stderr } = await generate(
    ...["--max-tokens", "12", "--json", ...greedily, "--expert-cache", "1MiB"],
  );
  if (stderr.includes("not mapped")) return expect(code).toBe(1); // on WebAssembly
  expect(code, stderr).toBe(0);
  const { ids, expertCache } = JSON.parse(stdout);
  expect(ids).toEqual(greedy);
  expect(expertCache.used).toBeGreaterThan(0);
  expect(expertCache.bytesHeld).toBeLessThanOrEqual(2 ** 20);
  expect(await generate("--expert-cache", "lots")).toMatchObject({ code: 2 });
  expect(await generate("--expert-cache", "64")).toMatchObject({ code: 2 });
});
