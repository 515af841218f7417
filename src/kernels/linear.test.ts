import { expect, test } from "vitest";
import { abi, abiHash, type Storage } from "./abi.ts";
import { checkAbi, linearTable, slotCount } from "./linear.ts";

/** A host that keeps what was called. */
function recorder(): { run: ReturnType<typeof linearTable>; calls: { kernel: number; slots: number[] }[] } {
  const calls: { kernel: number; slots: number[] }[] = [];
  const slots = new Float64Array(slotCount).fill(-7);
  const run = linearTable({
    address: (storage: Storage) => storage.byteLength * 1000,
    slots: () => slots,
    slotsAddress: 500,
    freed: () => 0,
    call: (kernel) => calls.push({ kernel, slots: [...slots] }),
  });
  return { run, calls };
}

test("arguments stand in the table's order: buffers as address and dtype, dims as four, enums by place", () => {
  const { run, calls } = recorder();
  const buf = (byteLength: number, offset: number) =>
    ({ storage: { byteLength }, offset, dtype: "bf16" }) as const;
  // Keys in another order than the table's, on purpose.
  run.binary({
    bStrides: [0, 0, 3, 1],
    aStrides: [9, 8, 7, 6],
    dims: [1, 2, 3, 4],
    op: "max",
    out: buf(3, 12),
    b: buf(2, 8),
    a: buf(1, 4),
  });
  run.rmsNorm({
    x: buf(1, 0),
    weight: null,
    out: buf(1, 0),
    rstd: buf(1, 0),
    rows: 5,
    n: 6,
    eps: 0.5,
  });
  const [binary, rmsNorm] = calls;
  const kernelNames = Object.keys(abi);
  expect(kernelNames[binary!.kernel]).toBe("binary");
  expect(binary!.slots.slice(0, 20)).toEqual([
    4, 1004, 1, 2008, 1, 3012, 1, 1, 2, 3, 4, 9, 8, 7, 6, 0, 0, 3, 1, -7,
  ]);
  expect(kernelNames[rmsNorm!.kernel]).toBe("rmsNorm");
  expect(rmsNorm!.slots.slice(0, 11)).toEqual([1000, 1, 0, 0, 1000, 1, 1000, 1, 5, 6, 0.5]);
});

test("kernels built from another table are refused", () => {
  expect(() => checkAbi("the library", abiHash ^ 1)).toThrow(expect.objectContaining({ code: "kernels" }));
  expect(() => checkAbi("the library", abiHash | 0)).not.toThrow();
});
