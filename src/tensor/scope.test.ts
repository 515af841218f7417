import { expect, test } from "vitest";
import type { Storage } from "../kernels/abi.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { sizeClass } from "./device.ts";
import { add, Device, empty, full, keep, reshape, scope, slice, type Tensor, tensor } from "./index.ts";

const make = (): Device => new Device(createReferenceKernels());

test("what the result holds survives, however nested; all else is freed", async () => {
  const device = make();
  const made: Tensor[] = [];
  const note = (t: Tensor): Tensor => {
    made.push(t);
    return t;
  };
  class Holder {
    readonly inner = note(full(device, [1], 3));
  }
  const result = scope(() => {
    note(full(device, [1], 0));
    return {
      one: note(full(device, [1], 1)),
      map: new Map([["two", [note(full(device, [1], 2))]]]),
      holder: new Holder(),
    };
  });
  expect(() => made[0].buf).toThrow("a tensor of shape [1] was used after it was freed");
  const kept = [result.one, ...result.map.get("two")!, result.holder.inner];
  expect(await Promise.all(kept.map((t) => t.item()))).toEqual([1, 2, 3]);
});

test("a survivor belongs to the enclosing scope; `keep` takes it out of all of them", async () => {
  const device = make();
  const escaped = scope(() => {
    const inner = scope(() => full(device, [1], 1));
    const outer = full(device, [1], 2);
    scope(() => keep(outer));
    return () => [inner, outer];
  });
  const [inner, outer] = escaped();
  expect(() => inner.buf).toThrow("was used after it was freed");
  expect(await outer.item()).toBe(2);
});

test("an error frees everything; an asynchronous body is refused", () => {
  const device = make();
  const { live } = device.memory;
  expect(() =>
    scope(() => {
      full(device, [1], 1);
      throw new Error("stop");
    }),
  ).toThrow("stop");
  expect(() => scope(async () => full(device, [1], 1))).toThrow("scope: the body is asynchronous");
  expect(device.memory.live).toBe(live);
});

test("memory is freed with its last view, and used again", async () => {
  const device = make();
  const whole = tensor(device, [1, 2, 3, 4, 5, 6], [3, 2]);
  const row = slice(whole, 0, 2, 1);
  const flat = reshape(row, [2]);
  const { storage } = whole.buf;
  expect(row.buf.storage).toBe(storage);
  const { live } = device.memory;
  whole.dispose();
  whole.dispose();
  row.dispose();
  expect(device.memory.live).toBe(live);
  expect([...(await flat.data())]).toEqual([5, 6]);
  flat.dispose();
  expect(device.memory.live).toBe(live - sizeClass(24));
  expect(empty(device, [6]).buf.storage).toBe(storage);
  expect(device.memory.pooled).toBe(0);
});

test("a size class wastes at most an eighth", () => {
  for (const bytes of [0, 1, 64, 65, 513, 1000, 4097, 1_000_003, 2 ** 31 + 1]) {
    const size = sizeClass(bytes);
    expect(size).toBeGreaterThanOrEqual(bytes);
    expect(size % 64).toBe(0);
    expect(size - bytes).toBeLessThanOrEqual(Math.max(64, bytes / 8));
  }
});

test("where memory has run out, the pool is given back first", () => {
  const base = createReferenceKernels();
  let used = 0;
  const tight: Kernels = {
    ...base,
    alloc(bytes) {
      if (used + bytes > 1024) throw new Error("out of memory");
      used += bytes;
      return base.alloc(bytes);
    },
    free(storage: Storage) {
      used -= storage.byteLength;
    },
  };
  const device = new Device(tight);
  empty(device, [128]).dispose(); // 512 bytes, pooled
  const large = empty(device, [192]); // 768 bytes: only without the pool
  expect(device.memory).toMatchObject({ live: 768, pooled: 0 });
  expect(() => empty(device, [128])).toThrow("out of memory");
  large.dispose();
});

test("host values are checked against the tensor", () => {
  const device = make();
  expect(() => tensor(device, [1, 2, 3], [2, 2])).toThrow("tensor: 3 values for shape [2, 2]");
  expect(() => empty(device, [2], "i32").write(new Float32Array(2))).toThrow(
    "write: Float32Array for a tensor of i32",
  );
  expect(() => empty(device, [2]).write(new Float32Array(3))).toThrow("write: 3 values for shape [2]");
  expect(() => empty(device, [2, -1])).toThrow("sizes are whole numbers of 0 or more");
  expect(() => add(full(device, [1], 1), full(make(), [1], 1))).toThrow(
    "add: inputs are on different devices",
  );
});
