import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fail } from "../errors.ts";
import type { Kernels } from "../kernels/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { listImplementations } from "../kernels/select.ts";
import { sizeClass } from "./device.ts";
import { add, Device, empty, linear, matmul, mul, scope, type Tensor, tensor } from "./index.ts";

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

  test.each(["reads", "gives"])("ends with a tensor that it %s, and gives its memory back", (which) => {
    const here = new Device(kernels);
    const x = tensor(here, numbers(8, 0), [2, 4]);
    const { result, replay } = here.record(() => scope(() => mul(add(x, x), add(x, x))));
    expect(here.memory.live).toBe(4 * sizeClass(32)); // the two sums too
    (which === "reads" ? x : result).dispose();
    expect(replay!.usable).toBe(false);
    expect(() => replay!.run()).toThrow("something that it uses was freed");
    expect(here.memory.live).toBe(sizeClass(32));
  });

  test("ends with the result of another that it uses", () => {
    const here = new Device(kernels);
    const x = tensor(here, numbers(8, 0));
    const first = here.record(() => add(x, x));
    const second = here.record(() => mul(first.result, x));
    first.result.dispose();
    expect([first.replay!.usable, second.replay!.usable]).toEqual([false, false]);
  });

  /** A device with room for as many vectors of 8. */
  function roomFor(vectors: number): Device {
    let free = vectors * sizeClass(32);
    return new Device({
      ...kernels,
      alloc(bytes) {
        if (bytes > free) fail("memory", `${free} bytes are left`);
        free -= bytes;
        return kernels.alloc(bytes);
      },
      free(storage) {
        free += storage.byteLength;
        kernels.free(storage);
      },
    });
  }

  test("lets go of its memory where there is no other", async () => {
    const here = roomFor(3);
    const x = tensor(here, numbers(8, 0));
    const { result, replay } = here.record(() => scope(() => mul(add(x, x), x)));
    const before = await result.data();
    const y = add(x, x);
    expect(replay!.usable).toBe(false);
    expect(await y.data()).toEqual(numbers(8, 0).map((value) => 2 * value));
    expect(await result.data()).toEqual(before);
    expect(here.memory).toMatchObject({ live: 3 * sizeClass(32), pooled: 0 });
    expect(() => add(x, x)).toThrow("0 bytes are left");
  });

  test("takes no more memory to make than its work does without", () => {
    const here = roomFor(3);
    const x = tensor(here, numbers(8, 0));
    const { result, replay } = here.record(() => {
      scope(() => void add(x, x));
      return empty(here, [32]); // of two vectors' size class
    });
    expect([result.size, replay]).toEqual([32, null]);
    expect(here.memory).toMatchObject({ live: 3 * sizeClass(32), pooled: 0 });
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
    const { replay } = here.record(() => add(x, x));
    expect(() => here.record(() => replay!.run())).toThrow("a recording is under way");
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
