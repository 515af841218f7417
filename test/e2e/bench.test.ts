/** The benchmarks of the built package: what they print adds up, and wrong usage is told. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, "--threads", "1", "bench", ...args], (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

async function json(...args: string[]): Promise<{ machine: Record<string, number>; results: Figures[] }> {
  const { code, stdout, stderr } = await bench(...args, "--runs", "2", "--json");
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

type Figures = Record<string, number> & {
  readonly pass: string;
  readonly profile: { ms: number; parts: { name: string; ms: number; share: number }[] };
};

test("moe: rates follow from times, and backward holds more than forward", async () => {
  const { machine, results } = await json("moe", "--shape", "32,48,4,2,64", "--dtype", "f32");
  expect(results.map(({ pass }) => pass)).toEqual(["forward", "forward+backward"]);
  const forwardFlops = 3 * 2 * 32 * 48 * 64 * 2;
  results.forEach(({ medianMs, minMs, gflops, shareOfPeak, threads }, i) => {
    expect(minMs).toBeLessThanOrEqual(medianMs);
    expect(gflops).toBeCloseTo(((i === 0 ? 1 : 3) * forwardFlops) / medianMs / 1e6, 6);
    expect(shareOfPeak).toBeCloseTo(gflops / machine.fmaGflops, 6);
    expect(threads).toBe(1);
  });
  expect(machine).toHaveProperty("matrixGflops");
  // Routed rows of gate and up alone: 128 rows of 96 floats.
  expect(results[0].peakBytes).toBeGreaterThan(128 * 96 * 4);
  expect(results[1].peakBytes).toBeGreaterThan(results[0].peakBytes);
});

test("gemm: one entry a shape", async () => {
  const { results } = await json("gemm", "--shape", "16,32,8", "--shape", "8,8,8");
  expect(results.map(({ m, n, k }) => [m, n, k])).toEqual([
    [16, 32, 8],
    [8, 8, 8],
  ]);
});

test("train: a step's parts add up to the step", async () => {
  const { results } = await json("train", "--model", "small", "--batch", "1", "--profile");
  const [{ batch, sequence, tokensPerSecond, medianMs, parameters, stateBytes, profile }] = results;
  expect([batch, sequence]).toEqual([1, 128]);
  expect(tokensPerSecond).toBeCloseTo((1000 * 128) / medianMs, 6);
  expect(stateBytes).toBeGreaterThanOrEqual(4 * 4 * parameters);
  expect(profile.parts.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(profile.ms, 6);
  const names = profile.parts.map(({ name }) => name);
  for (const name of ["products", "attention", "norms", "cross-entropy", "optimizer"])
    expect(names).toContain(name);
});

test.each([
  [["moe", "--shape", "32,48,4"], "takes 5 numbers D,F,E,K,T"],
  [["moe", "--shape", "32,48,4,5,64"], "K (5) is above E (4)"],
  [["gemm", "--dtype", "f64"], "--dtype takes bf16 or f32"],
  [["train", "--model", "huge"], "--model takes small or deep"],
])("wrong usage: %j", async (args, message) => {
  const { code, stderr } = await bench(...args);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});

test("generate: what a step reads bounds its rate, and grows with the distinct experts of more sequences", async () => {
  const model = fileURLToPath(new URL("../golden/mixtral", import.meta.url));
  const sizes = ["--prompt-tokens", "9", "--tokens", "4", "--batch", "1", "--batch", "3"];
  const { code, stdout, stderr } = await bench("generate", model, ...sizes, "--runs", "1", "--json");
  expect(code, stderr).toBe(0);
  const { batches, machine, model: about, ...top } = JSON.parse(stdout);
  expect(batches.map(({ batch }: Figures) => batch)).toEqual([1, 3]);
  const { weightBytes } = about;
  for (const one of batches) {
    const { batch, bytesPerStep, boundTokensPerSecond, tokensPerSecond, shareOfBandwidth, shareOfPeak } = one;
    expect(boundTokensPerSecond).toBeCloseTo((batch * machine.readGBs * 1e9) / bytesPerStep, 6);
    expect(shareOfBandwidth).toBeCloseTo(tokensPerSecond / boundTokensPerSecond, 6);
    expect(shareOfPeak).toBeGreaterThan(0);
    expect(bytesPerStep).toBeLessThan(1.5 * weightBytes);
  }
  expect(batches[1].bytesPerStep).toBeGreaterThan(batches[0].bytesPerStep);
  expect(top).toMatchObject({ promptTokens: 9, tokens: 4, dtype: "bf16" });
  for (const name of ["promptTokensPerSecond", "tokensPerSecond", "openMs", "residentBytes"])
    expect(top[name], name).toBeGreaterThan(0);
});
