import { expect, test } from "vitest";
import { peakGflops } from "./machine.ts";

const machine = { cpu: "", kernels: "", threads: 1, fmaGflops: 100, readGBs: 10 };

test("only bf16 products are measured by the matrix unit, and only where there is one", () => {
  const amx = { ...machine, matrixGflops: 900 };
  expect([peakGflops(amx, "bf16"), peakGflops(amx, "f32")]).toEqual([900, 100]);
  expect(peakGflops({ ...machine, matrixGflops: null }, "bf16")).toBe(100);
});
