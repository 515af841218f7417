import fc from "fast-check";
import { expect, test } from "vitest";
import { Heap } from "./heap.ts";

/** A heap over [64, ...) that grows by exactly what is asked, with the sum of what it asked for. */
function countedHeap(): { heap: Heap; grown: () => number } {
  let grown = 0;
  const heap = new Heap(10, (bytes) => {
    grown += bytes;
    return bytes;
  });
  return { heap, grown: () => grown };
}

test("blocks are aligned, apart from each other, and all come back as one", () => {
  const step = fc.record({ bytes: fc.integer({ min: 0, max: 5000 }), free: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { heap, grown } = countedHeap();
      const live: { address: number; bytes: number }[] = [];
      for (const { bytes, free } of steps) {
        if (live.length > 0 && free % 3 === 0) {
          expect(heap.give(live.splice(free % live.length, 1)[0]!.address)).toBe(true);
          continue;
        }
        const block = { address: heap.take(bytes), bytes };
        expect(block.address % 64).toBe(0);
        expect(block.address).toBeGreaterThanOrEqual(64);
        for (const other of live) {
          const apart =
            block.address + bytes <= other.address || other.address + other.bytes <= block.address;
          expect(apart).toBe(true);
        }
        live.push(block);
      }
      for (const { address } of live) heap.give(address);
      expect(heap.used).toBe(0);
      const before = grown();
      if (before > 0) expect(heap.take(before)).toBe(64);
      expect(grown()).toBe(before);
    }),
  );
});

test("an address that is no block is not given back", () => {
  const { heap } = countedHeap();
  const address = heap.take(100);
  expect(heap.give(address + 64)).toBe(false);
  expect(heap.give(address)).toBe(true);
  expect(heap.give(address)).toBe(false);
});
