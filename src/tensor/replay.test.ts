import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kernels } from "../kernels/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { listImplementations } from "../kernels/select.ts";
import { add, Device, linear, matmul, mul, scope, type Tensor, tensor } from "./index.ts";

/** Of each kind, the first that runs here, on two threads. */
const implementations = (await listImplementations()).filter(({ skip }) => skip === null);
const chosen = ["native", "wasm"].flatMap((kind) => {
  const ours = implementations.filter(({ label }) => label.startsWith(kind));
  return ours.slice(1, 2).map((one) => [kind, one.make] as const);
});

describe.each(chosen)("a replay on %s kernels", (_, make) => {
  let kernels: Kernels;
  beforeAll(async () => {
    kernels = await make();
  });
  afterAll(() => kernels.dispose());

  const numbers = (n: number, from: number): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length: n }, (_, i) => Math.sin(from + i));

  test("does the work again on what its inputs hold now, and leaves others' memory alone", async () => {
    const here = new Device(kernels);
    const x = tensor(here, numbers(12, 0), [3, 4]);
    const w = tensor(here, numbers(16, 5), [4, 4]);
    const work = (): Tensor => scope(() => add(mul(matmul(x, w), matmul(x, w)), matmul(x, w)));
    const { result, replay } = here.record(work);
    const bystander = work(); // takes memory that the work gave back, if that were anybody's
    const before = await bystander.data();
    for (const from of [10, 20, 30]) {
      x.write(numbers(12, from));
      replay!.run();
      expect(await result.data()).toEqual(await work().data());
    }
    expect(await bystander.data()).toEqual(before);
    replay!.dispose();
  });

  test("takes lists of buffers along", async () => {
    const here = new Device(kernels);
    const x = tensor(here, numbers(8, 0), [2, 4]);
    const experts = [1, 2].map((from) => tensor(here, numbers(12, from), [3, 4]));
    const offsets = tensor(here, Int32Array.of(0, 1, 2));
    const work = (): Tensor => linear(x, experts, { offsets, groups: 2 });
    work(); // so that the list is known before
    const { result, replay } = here.record(work);
    x.write(numbers(8, 40));
    offsets.write(Int32Array.of(0, 2, 2));
    replay!.run();
    expect(await result.data()).toEqual(await work().data());
    experts[0].dispose();
    expect(replay!.usable).toBe(false);
  });

  test("ends with a tensor that it uses, and gives its memory back", async () => {
    const here = new Device(kernels);
    const x = tensor(here, numbers(8, 0), [2, 4]);
    const live = here.memory.live;
    const { result, replay } = here.record(() => scope(() => mul(add(x, x), add(x, x))));
    result.dispose();
    expect(here.memory.live).toBeGreaterThan(live);
    expect(replay!.usable).toBe(true);
    x.dispose();
    expect(replay!.usable).toBe(false);
    expect(() => replay!.run()).toThrow("something that it uses was freed");
    expect(here.memory.live).toBeLessThan(live);
  });

  test("is not to be had of work that looks at memory, writes to it or frees what it did not make", async () => {
    const here = new Device(kernels);
    const x = tensor(here, numbers(4, 0));
    const other = tensor(here, numbers(4, 1));
    const reads = here.record(() => {
      const y = add(x, x);
      void y.data();
      return y;
    });
    const writes = here.record(() => add(x, tensor(here, numbers(4, 2))));
    const frees = here.record(() => {
      const y = add(x, other);
      other.dispose();
      return y;
    });
    for (const { replay, result } of [reads, writes, frees]) {
      expect(replay).toBeNull();
      expect(result.size).toBe(4); // it ran all the same
    }
    expect(() => here.record(() => here.record(() => x))).toThrow("another recording is under way");
    expect(here.record(() => add(x, x)).replay).not.toBeNull(); // the failed one is over
  });
});

test("kernels that do not record run the work all the same", async () => {
  const here = new Device(createReferenceKernels());
  const x = tensor(here, [1, 2]);
  const { result, replay } = here.record(() => add(x, x));
  expect([...(await result.data())]).toEqual([2, 4]);
  expect(replay).toBeNull();
});
