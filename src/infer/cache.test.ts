import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { loadModel } from "../models/index.ts";
import { attention, context, Device, Random, scope, type Tensor, tensor } from "../tensor/index.ts";
import { type CachedSequence, PagedCache } from "./cache.ts";
import { logits } from "./generate.ts";

const device = new Device(createReferenceKernels());
const folder = fileURLToPath(new URL("../../test/golden/mixtral", import.meta.url));
const prompt: number[] = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")).ids[0];
const plain = { window: 0, chunk: 0, scale: 0.25, sinks_H: null };

function worstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);
}

/** Queries [T, 4, 6], keys and values [T, 2, 6]. */
function qkv(stream: string, tokens: number): Tensor[] {
  return [4, 2, 2].map((heads, i) => {
    const random = new Random(5, `${stream}:${i}`);
    return tensor(device, random.normals(tokens * heads * 6), [tokens, heads, 6]);
  });
}

const rowsOf = (x: Tensor, start: number, count: number): Tensor => {
  const [, heads, dim] = x.shape;
  return x.view([count, heads, dim], start * heads * dim);
};

test.each([0, 3])(
  "two sequences, fed by turns over pages, attend as each does alone (window %i)",
  async (window) => {
    const cache = new PagedCache(device, 1, 4);
    const options = { ...plain, window };
    const sequences = [cache.open(), cache.open()];
    const inputs = [qkv("a", 11), qkv("b", 7)];
    const fed = [0, 0];
    // Rows of both in one pass; pieces that end within pages, at their ends and past the pool's first room.
    for (const counts of [
      [3, 1],
      [5, 0],
      [1, 2],
      [2, 4],
    ]) {
      const rows = counts.flatMap((count, i) =>
        count > 0 ? [{ sequence: sequences[i], count, part: i, start: fed[i] }] : [],
      );
      const pass = cache.pass(rows);
      const joined = [0, 1, 2].map((which) => {
        const parts = rows.map(({ part, start, count }) => rowsOf(inputs[part][which], start, count));
        return concatenated(parts);
      });
      const [q, k, v] = await Promise.all(joined);
      const got = await pass.layers[0].attend(q, k, v, options).data();
      let at = 0;
      for (const { part, start, count } of rows) {
        const [q1, k1, v1] = inputs[part].map((x) => rowsOf(x, 0, start + count));
        const whole = (x: Tensor): Tensor => x.view([1, ...x.shape]);
        const alone = await attention(whole(q1), whole(k1), whole(v1), { window, scale: 0.25 }).data();
        const size = count * 4 * 6;
        expect(worstDifference(got.subarray(at, at + size), alone.subarray(start * 4 * 6))).toBeLessThan(
          1e-6,
        );
        at += size;
        fed[part] += count;
      }
    }
    expect(sequences.map(({ length }) => length)).toEqual([11, 7]);
  },
);

async function concatenated(parts: readonly Tensor[]): Promise<Tensor> {
  const values: number[] = [];
  for (const part of parts) values.push(...(await part.data()));
  const rows = parts.reduce((sum, { shape }) => sum + shape[0], 0);
  return tensor(device, Float32Array.from(values), [rows, ...parts[0].shape.slice(1)]);
}

test("values may be the leading features of the keys", async () => {
  const cache = new PagedCache(device, 2, 4);
  const [q, k] = qkv("latent", 5);
  const sequence = cache.open();
  const pass = cache.pass([{ sequence, count: 5 }]);
  const latent = await pass.layers[0].attend(q, k, null, { ...plain, valueWidth: 4 }).data();
  const own = tensor(
    device,
    (await k.data()).filter((_, i) => i % 6 < 4),
    [5, 2, 4],
  );
  expect(worstDifference(latent, await pass.layers[1].attend(q, k, own, plain).data())).toBe(0);
});

test("a prompt fed in pieces, with a piece taken back, gives the logits of one pass", async () => {
  const model = await loadModel(folder, device);
  const long = Array.from({ length: 100 }, (_, i) => prompt[i % prompt.length]);
  const whole = await logits(model, long);
  const before = device.memory.live;
  const cache = new PagedCache(device, model.config.layers, 8);
  const sequence: CachedSequence = cache.open();
  const feed = async (part: number[]): Promise<ArrayLike<number>> => {
    const logits_TV = scope(() => {
      const pass = cache.pass([{ sequence, count: part.length }]);
      return model.forward(tensor(device, Int32Array.from(part)), context(), { pass }).logits_TV;
    });
    const values = await logits_TV.data();
    logits_TV.dispose();
    return values;
  };
  await feed(long.slice(0, 40));
  await feed([1, 2, 3]);
  sequence.truncate(40);
  const last = await feed(long.slice(40));
  expect(sequence.length).toBe(100);
  expect(worstDifference(last, whole.subarray(40 * model.config.vocabulary))).toBeLessThan(1e-4);
  cache.dispose();
  expect(device.memory.live).toBe(before);
});

test("pages of a sequence that ended serve the next", () => {
  const cache = new PagedCache(device, 1, 4);
  const use = (count: number): CachedSequence => {
    const sequence = cache.open();
    const [q, k, v] = qkv("reuse", count);
    scope(() => void cache.pass([{ sequence, count }]).layers[0].attend(q, k, v, plain));
    return sequence;
  };
  use(16).dispose();
  const { bytes } = cache;
  use(9);
  use(4);
  expect(cache.bytes).toBe(bytes);
});

test("a pool that could not grow is not written past its end", () => {
  let memory = true;
  const kernels = createReferenceKernels();
  const alloc: typeof kernels.alloc = (bytes) => {
    if (!memory) throw new Error("no memory");
    return kernels.alloc(bytes);
  };
  const cache = new PagedCache(new Device({ ...kernels, alloc }), 1, 4);
  const sequence = cache.open();
  const [q, k, v] = qkv("small", 1);
  const step = (count: number): void =>
    scope(() => {
      const pass = cache.pass([{ sequence, count }]);
      if (count === 1) pass.layers[0].attend(q, k, v, plain);
    });
  step(1);
  const { bytes } = cache;
  memory = false;
  for (let attempt = 0; attempt < 2; attempt++) {
    expect(() => step(100)).toThrow("no memory");
    sequence.truncate(1);
  }
  expect(cache.bytes).toBe(bytes);
});

test("a cache that could not grow holds what it held, and grows when there is memory again", async () => {
  const budget = { bytes: Number.POSITIVE_INFINITY };
  let used = 0;
  const kernels = createReferenceKernels();
  const limited = new Device({
    ...kernels,
    alloc(bytes) {
      if (used + bytes > budget.bytes) throw new Error("no memory");
      used += bytes;
      return kernels.alloc(bytes);
    },
    free(storage) {
      used -= storage.byteLength;
      kernels.free(storage);
    },
  });
  const layers = 3;
  const cache = new PagedCache(limited, layers, 4);
  const sequence = cache.open();
  const values = new Random(5, "grown");
  const [q, k, v] = [4, 2, 2].map((heads) => {
    const size = 100 * heads * 6;
    return tensor(limited, values.normals(size), [100, heads, 6]);
  });
  const feed = async (start: number, count: number): Promise<ArrayLike<number>[]> => {
    const pass = cache.pass([{ sequence, count }]);
    const parts = [q, k, v].map((x) => rowsOf(x, start, count));
    return await Promise.all(
      pass.layers.map((layer) => layer.attend(parts[0], parts[1], parts[2], plain).data()),
    );
  };
  await feed(0, 3);
  limited.trim();
  const { bytes } = cache;
  const live = limited.memory.live;
  // Room for one layer's larger pools, but not for those of all three: each time as the first.
  budget.bytes = used + 26 * 4 * 2 * 6 * 4 * 2 * 2;
  for (let attempt = 0; attempt < 3; attempt++) {
    expect(() => cache.place([{ sequence, count: 97 }])).toThrow("no memory");
    expect([sequence.length, cache.bytes, limited.memory.live]).toEqual([3, bytes, live]);
  }
  // A request of ordinary size goes on meanwhile.
  await feed(3, 2);
  budget.bytes = Number.POSITIVE_INFINITY;
  const rest = await feed(5, 95);
  const whole = (x: Tensor): Tensor => x.view([1, ...x.shape]);
  const alone = await attention(whole(q), whole(k), whole(v), { window: 0, scale: 0.25 }).data();
  for (const got of rest) expect(worstDifference(got, alone.subarray(5 * 4 * 6))).toBeLessThan(1e-6);
  cache.dispose();
});

test("what a cache cannot do is said", () => {
  const cache = new PagedCache(device, 1);
  const sequence = cache.open();
  expect(() => sequence.truncate(1)).toThrow("holds 0 positions, not 1");
  expect(() => new PagedCache(device, 1).pass([{ sequence, count: 1 }])).toThrow("not one it opened");
  const pass = cache.pass([{ sequence, count: 2 }]);
  const [q, k, v] = qkv("wrong", 3);
  expect(() => pass.layers[0].attend(q, k, v, plain)).toThrow("[3, 2, 6], not [2, 2, 6]");
});
