import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ConclaveError } from "../errors.ts";
import { plainDTypes } from "./dtypes.ts";
import { openSafetensors, openShards } from "./safetensors.ts";
import { encodeSafetensors } from "./safetensors-write.ts";
import { bytesSource } from "./source.ts";
import type { TensorToStore } from "./store.ts";

const golden = new URL("../../test/golden/formats/every-dtype.safetensors", import.meta.url);

const goldenBytes = async () => new Uint8Array(await readFile(golden));

/** A file with this header and so many data bytes. */
function fileOf(header: string, dataBytes = 0): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(header);
  const out = new Uint8Array(8 + json.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

const open = (bytes: Uint8Array<ArrayBuffer>) => openSafetensors(bytesSource(bytes, "x.safetensors"));

test("reads every dtype of a file that the reference library wrote", async () => {
  const store = await open(await goldenBytes());
  expect(store.metadata.get("format")).toBe("pt");
  expect(store.tensors.get("a.float32")).toEqual({
    name: "a.float32",
    dtype: "F32",
    shape: [],
    byteLength: 4,
  });
  expect([...(await store.read("a.float32"))]).toEqual([0, 0, 192, 63]);
  expect(store.tensors.get("empty é😀")?.shape).toEqual([0, 7]);
  // The script counts bytes up from 1 over the dtypes in its own order: bool 1..3, uint8 4..6, int8 7..9.
  expect([...(await store.read("t.bool"))]).toEqual([1, 2, 3]);
  expect([...(await store.read("t.int8"))]).toEqual([7, 8, 9]);
  expect([...(await store.read("t.int8", 1, 2))]).toEqual([8]);
  const dtypes = new Set([...store.tensors.values()].map((tensor) => tensor.dtype));
  expect(plainDTypes.filter((dtype) => !dtypes.has(dtype))).toEqual(["F6_E3M2", "F6_E2M3", "F4"]); // no NumPy form
});

test("writes the bytes that the reference library writes, whatever order the tensors come in", async () => {
  const bytes = await goldenBytes();
  const store = await open(bytes);
  const tensors: TensorToStore[] = await Promise.all(
    [...store.tensors.values()]
      .reverse()
      .map(async ({ name, dtype, shape }) => ({ name, dtype, shape, bytes: await store.read(name) })),
  );
  expect(Buffer.from(await encodeSafetensors(tensors)).equals(Buffer.from(bytes))).toBe(true);
});

const f32 = (begin: number, end: number, shape = "[1]") =>
  `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;

test.each([
  ["too short for a header", new Uint8Array(5), "at least 8 bytes"],
  ["a header past the end", fileOf("{}").subarray(0, 9), "should have 2 bytes"],
  ["an absurd header length", Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127, 1), "at most 100000000"],
  ["not an object", fileOf("[]"), 'does not start with "{"'],
  ["not JSON", fileOf('{"a" 1}'), 'line 1, column 6: ":" is expected'],
  ["a name given twice", fileOf(`{"a":${f32(0, 4)},"a":${f32(4, 8)}}`, 8), '"a" is given twice'],
  [
    "an unknown dtype",
    fileOf('{"a":{"dtype":"toString","shape":[],"data_offsets":[0,0]}}'),
    'unknown dtype "toString"',
  ],
  [
    "an unknown field",
    fileOf('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"b":1}}'),
    'unknown field "b"',
  ],
  ["a negative size", fileOf('{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}'), "shape must be"],
  ["a size that overflows", fileOf(`{"a":${f32(0, 4, "[4294967296,4294967296,4]")}}`, 4), "takes NaN bytes"],
  ["sizes against offsets", fileOf(`{"a":${f32(0, 4, "[2]")}}`, 4), "takes 8 bytes"],
  ["half a byte", fileOf('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', 2), "takes NaN bytes"],
  ["an overlap", fileOf(`{"a":${f32(0, 4)},"b":${f32(0, 4)}}`, 8), "overlaps"],
  ["a hole", fileOf(`{"a":${f32(0, 4)},"b":${f32(8, 12)}}`, 12), "hole"],
  ["bytes left over", fileOf(`{"a":${f32(0, 4)}}`, 5), "the file holds 5"],
  ["data cut off", fileOf(`{"a":${f32(0, 4)}}`, 3), "the file holds 3"],
  ["metadata that is no text", fileOf('{"__metadata__":{"a":1}}'), "only strings"],
])("refuses %s", async (_, bytes, message) => {
  await expect(open(bytes)).rejects.toMatchObject({
    code: "file-damaged",
    message: expect.stringContaining(message),
  });
});

test("a tensor may be called __proto__", async () => {
  const store = await open(fileOf(`{"__proto__":${f32(0, 4)}}`, 4));
  expect([...store.tensors.keys()]).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
});

test("damage of any kind gives a ConclaveError or a file whose tensors can all be read", async () => {
  const whole = await goldenBytes();
  const damaged = fc.oneof(
    fc.nat(whole.length - 1).map((length) => whole.slice(0, length)),
    fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }).map((flips) => {
      const bytes = whole.slice();
      for (const [at, value] of flips) bytes[at] = value;
      return bytes;
    }),
    fc.bigInt(0n, 2n ** 64n - 1n).map((length) => {
      const bytes = whole.slice();
      new DataView(bytes.buffer).setBigUint64(0, length, true);
      return bytes;
    }),
    fc.json().map((json) => fileOf(json, 16)),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Uint8Array.from(bytes)),
  );
  await fc.assert(
    fc.asyncProperty(damaged, async (bytes) => {
      try {
        const store = await open(bytes);
        for (const { name, byteLength } of store.tensors.values())
          expect((await store.read(name)).length).toBe(byteLength);
      } catch (error) {
        expect(error).toBeInstanceOf(ConclaveError);
      }
    }),
    { numRuns: 600, seed: 11 },
  );
});

test("metadata that is null says nothing", async () => {
  const { metadata, tensors } = await open(fileOf('{"__metadata__":null}'));
  expect([metadata.size, tensors.size]).toEqual([0, 0]);
});

const one = (name: string): TensorToStore => ({
  name,
  dtype: "U8",
  shape: [1],
  bytes: Uint8Array.of(name.length),
});

async function shards(weightMap: Record<string, string>) {
  const files = new Map([
    ["1.safetensors", await encodeSafetensors([one("a")])],
    ["2.safetensors", await encodeSafetensors([one("bb"), one("ccc")])],
  ]);
  const index = JSON.stringify({ metadata: {}, weight_map: weightMap });
  return openShards(index, "index.json", async (file) => bytesSource(files.get(file)!, file));
}

test("shards are read as one", async () => {
  const store = await shards({ a: "1.safetensors", bb: "2.safetensors", ccc: "2.safetensors" });
  expect([...store.tensors.keys()].sort()).toEqual(["a", "bb", "ccc"]);
  expect([...(await store.read("ccc"))]).toEqual([3]);
});

test.each([
  [{ a: "1.safetensors", bb: "2.safetensors" }, "the index places elsewhere"],
  [{ a: "1.safetensors", d: "1.safetensors" }, '"d" is not in'],
  [{ a: "../1.safetensors" }, "no file name"],
])("refuses a wrong index of shards %#", async (weightMap, message) => {
  await expect(shards(weightMap as unknown as Record<string, string>)).rejects.toMatchObject({
    code: "file-damaged",
    message: expect.stringContaining(message),
  });
});

test("the writer refuses bytes that do not fit the shape, and names given twice", async () => {
  const wrong: TensorToStore = { name: "w", dtype: "F32", shape: [2], bytes: () => new Uint8Array(4) };
  await expect(encodeSafetensors([wrong])).rejects.toMatchObject({ code: "shape" });
  await expect(encodeSafetensors([one("a"), one("a")])).rejects.toMatchObject({ code: "model" });
  await expect(encodeSafetensors([one("__metadata__")])).rejects.toMatchObject({ code: "model" });
  const blocks: TensorToStore = { name: "q", dtype: "Q4_0", shape: [32], bytes: new Uint8Array(18) };
  await expect(encodeSafetensors([blocks])).rejects.toMatchObject({ code: "dtype" });
});
