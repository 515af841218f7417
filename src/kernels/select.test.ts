import { describe, expect, test } from "vitest";
import type { Buf, Storage } from "./abi.ts";
import type { Kernels } from "./kernels.ts";
import { listImplementations, selectKernels } from "./select.ts";
import { createWasmKernels } from "./wasm.ts";

const f32 = (storage: Storage): Buf => ({ storage, offset: 0, dtype: "f32" });

test("the environment chooses, options go before it, and the report says what was tried", async () => {
  const { kernels, report } = await selectKernels({
    env: { CONCLAVE_KERNELS: "wasm", CONCLAVE_THREADS: "1" },
  });
  expect(kernels.name).toBe("wasm");
  expect(kernels.threads).toBe(1);
  expect(report.attempts.map(({ kernels, state }) => [kernels, state])).toEqual([
    ["native", "not tried"],
    ["wasm", "loaded"],
    ["reference", "not tried"],
  ]);
  kernels.dispose();

  const other = await selectKernels({ kernels: "reference", env: { CONCLAVE_KERNELS: "wasm" } });
  expect(other.kernels.name).toBe("reference");
});

test.each([
  [{ CONCLAVE_KERNELS: "fast" }, "usage", '"fast"'],
  [{ CONCLAVE_THREADS: "0" }, "usage", "not 0"],
  [{ CONCLAVE_THREADS: "two" }, "usage", "not two"],
  [{ CONCLAVE_KERNELS: "wasm", CONCLAVE_ISA: "avx2" }, "kernels", '"avx2"'],
  [{ CONCLAVE_KERNELS: "reference", CONCLAVE_ISA: "avx2" }, "usage", '"avx2"'],
  [{ CONCLAVE_ISA: "mmx" }, "kernels", "mmx"],
])("%o is refused", async (env, code, text) => {
  await expect(selectKernels({ env })).rejects.toMatchObject({
    code,
    message: expect.stringContaining(text),
  });
});

describe.each(await listImplementations())("$label", ({ label, skip, make }) => {
  const check = skip === null ? test : test.skip;

  check(skip === null ? "freed and foreign memory is refused" : `not run: ${skip}`, async () => {
    const kernels = await make();
    const x = kernels.alloc(64);
    kernels.free(x);
    const useFreed = (): void => kernels.run.fill({ out: f32(x), n: 16, value: 1 });
    expect(useFreed).toThrow(expect.objectContaining({ code: "state" }));
    expect(() => kernels.free(x)).toThrow(expect.objectContaining({ code: "state" }));
    const useForeign = (): void => kernels.run.fill({ out: f32({ byteLength: 64 }), n: 16, value: 1 });
    expect(useForeign).toThrow(expect.objectContaining({ code: "state" }));
    kernels.dispose();
    expect(label).toContain(kernels.isa);
  });
});

test("wasm memory that grows keeps what it held", async () => {
  const kernels = await createWasmKernels({ threads: 1 });
  const small = kernels.alloc(64);
  kernels.run.fill({ out: f32(small), n: 16, value: 3 });
  const large = kernels.alloc(32 << 20);
  kernels.run.fill({ out: f32(large), n: 8 << 20, value: 5 });
  expect(await floats(kernels, small, 0, 16)).toEqual(new Float32Array(16).fill(3));
  expect(await floats(kernels, large, (32 << 20) - 8, 2)).toEqual(new Float32Array([5, 5]));
  kernels.dispose();
});

test("wasm memory that cannot grow is an error, and what there is stays usable", async () => {
  const kernels = await createWasmKernels({ threads: 1 });
  expect(() => kernels.alloc(5 * 2 ** 30)).toThrow(expect.objectContaining({ code: "memory" }));
  const small = kernels.alloc(64);
  kernels.run.fill({ out: f32(small), n: 16, value: 3 });

  // Scratch of 2^33 bytes: combineRowsGrad wants one for each of `rows` before it looks at anything.
  const empty = {
    y: f32(small),
    row: f32(small),
    weight: null,
    dout: f32(small),
    dy: f32(small),
    dweight: null,
  };
  const grow = (rows: number): void => kernels.run.combineRowsGrad({ ...empty, tokens: 0, k: 1, n: 0, rows });
  for (let again = 0; again < 3; again++)
    expect(() => grow(2 ** 33)).toThrow(expect.objectContaining({ code: "memory" }));
  grow(1000);
  expect(await floats(kernels, small, 0, 16)).toEqual(new Float32Array(16).fill(3));
  kernels.dispose();
});

async function floats(kernels: Kernels, storage: Storage, offset: number, n: number): Promise<Float32Array> {
  return new Float32Array((await kernels.read(storage, offset, n * 4)).buffer);
}
