import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ConclaveError } from "../../errors.ts";
import { toFloat32 } from "../dtypes.ts";
import { bytesSource } from "../source.ts";
import { GgufArray } from "./metadata.ts";
import { openGguf } from "./read.ts";
import { openGgufParts } from "./split.ts";
import { encodeGguf, type TypedValue } from "./write.ts";

const golden = async (name: string) =>
  new Uint8Array(await readFile(new URL(`../../../test/golden/formats/${name}`, import.meta.url)));
const open = (bytes: Uint8Array<ArrayBuffer>) => openGguf(bytesSource(bytes, "x.gguf"));

test("reads every value type of a file that gguf-py wrote", async () => {
  const { gguf, version, metadata } = await open(await golden("every-type.gguf"));
  expect(version).toBe(3);
  const numbers = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "i64", "f64"];
  expect(numbers.map((type) => gguf.number(`v.${type}`))).toEqual([
    200,
    -100,
    60000,
    -30000,
    4_000_000_000,
    -2_000_000_000,
    Math.fround(0.1),
    -5,
    0.1,
  ]);
  expect(gguf.get("v.u64")).toBe(2n ** 64n - 1n);
  expect(gguf.boolean("v.bool")).toBe(true);
  expect(gguf.string("v.string")).toBe("café 😀");
  expect(metadata.get("general.architecture")).toBe("golden");
  expect(gguf.strings("a.strings")).toEqual(["", "the", "日本", "a string beyond the short ones"]);
  expect(gguf.numbers("a.i32")).toEqual([1, -2, 3]);
  expect(gguf.numbers("a.f32")).toEqual([0.5, -1.5]);
  expect(gguf.booleans("a.bool")).toEqual([true, false]);
  const nested = (await open(await golden("nested.gguf"))).gguf.get("a.nested") as GgufArray;
  expect(nested.values().map((inner) => (inner as GgufArray).values())).toEqual([[1, 2], [3]]);
  expect(gguf.string("absent")).toBeUndefined();
  expect(() => gguf.number("v.string")).toThrow("x.gguf: the metadata key v.string is not a number");
  expect(() => gguf.numbers("a.strings")).toThrow("is not an array of numbers");
});

test("reads tensors of every plain type and of blocks, at the file's own alignment", async () => {
  const store = await open(await golden("every-type.gguf"));
  for (const [type, of] of [
    ["f32", Float32Array],
    ["f64", Float64Array],
    ["i8", Int8Array],
    ["i16", Int16Array],
    ["i32", Int32Array],
  ] as const) {
    expect(store.tensors.get(`t.${type}`)!.shape).toEqual([2, 3]);
    expect([...new of((await store.read(`t.${type}`)).slice().buffer)]).toEqual([1, 2, 3, 4, 5, 6]);
  }
  expect([...toFloat32("F16", await store.read("t.f16"))]).toEqual([1, 2, 3, 4, 5, 6]);
  expect(store.tensors.get("t.q4_0")).toEqual({
    name: "t.q4_0",
    dtype: "Q4_0",
    shape: [2, 1, 64],
    byteLength: 72,
  });
  expect(store.tensors.get("t.bf16")).toMatchObject({ dtype: "BF16", shape: [2, 1, 64] });
});

test("writes the bytes that gguf-py writes", async () => {
  const bytes = await golden("every-type.gguf");
  const store = await open(bytes);
  // The file's own types of its values are not kept once it is read; the golden keys end in them.
  const types: Record<string, string> = { "general.architecture": "string", "general.alignment": "u32" };
  const metadata = Object.fromEntries(
    store.gguf.keys().map((key) => {
      const value = store.gguf.get(key)!;
      if (value instanceof GgufArray) return [key, { type: "array", of: value.type, values: value.values() }];
      return [key, { type: types[key] ?? key.slice(2), value }];
    }),
  ) as Record<string, TypedValue>;
  const tensors = await Promise.all(
    [...store.tensors.values()].map(async (tensor) => ({ ...tensor, bytes: await store.read(tensor.name) })),
  );
  expect(Buffer.from(await encodeGguf(tensors, metadata)).equals(Buffer.from(bytes))).toBe(true);
});

const zeros = (name: string) => ({
  name,
  dtype: "F32" as const,
  shape: [4],
  bytes: new Uint8Array(16),
});

/** A valid small file of two tensors, its bytes changed by `change`. */
async function changed(change: (bytes: Buffer, at: (text: string) => number) => void) {
  const bytes = await encodeGguf([zeros("first"), zeros("second")], {
    "general.architecture": { type: "string", value: "test" },
    flag: { type: "bool", value: true },
    "general.alignment": { type: "u32", value: 32 },
    words: { type: "array", of: "string", values: ["a", "bc"] },
  });
  const buffer = Buffer.from(bytes);
  change(buffer, (text) => buffer.indexOf(text) + text.length);
  return new Uint8Array(buffer);
}

test.each<[string, string, (bytes: Buffer, at: (text: string) => number) => void]>([
  ["the wrong magic", 'begins with "GGML"', (b) => b.write("GGML", 0)],
  ["version 1", "version 1 of GGUF", (b) => b.writeUInt32LE(1, 4)],
  [
    "an absurd count of tensors",
    "the count of tensors is 1099511627776",
    (b) => b.writeBigUInt64LE(2n ** 40n, 8),
  ],
  ["a count beyond 2^53", "is 18446744073709551615", (b) => b.writeBigUInt64LE(2n ** 64n - 1n, 8)],
  ["an absurd count of keys", "the count of metadata keys is", (b) => b.writeBigUInt64LE(2n ** 33n, 16)],
  [
    "an absurd string",
    "should take 68719476736 bytes",
    (b, at) => b.writeBigUInt64LE(2n ** 36n, at("architecture") + 4),
  ],
  [
    "an absurd array",
    'the length of the value of "words" is',
    (b, at) => b.writeBigUInt64LE(2n ** 36n, at("words") + 8),
  ],
  [
    "a value type that is none",
    'the value of "flag" has the unknown type 99',
    (b, at) => b.writeUInt32LE(99, at("flag")),
  ],
  ["a bool that is none", "is the bool 7", (b, at) => b.writeUInt8(7, at("flag") + 4)],
  [
    "an alignment that is none",
    "must be a power of two; it is 48",
    (b, at) => b.writeUInt32LE(48, at("alignment") + 4),
  ],
  [
    "an alignment that is no whole number",
    "must be a power of two; it is 1.5",
    (b, at) => {
      b.writeUInt32LE(6, at("alignment")); // f32
      b.writeFloatLE(1.5, at("alignment") + 4);
    },
  ],
  [
    "a tensor type that is none",
    'tensor "first" has the unknown type 4',
    (b, at) => b.writeUInt32LE(4, at("first") + 12),
  ],
  ["five dimensions", "has 5 dimensions", (b, at) => b.writeUInt32LE(5, at("first"))],
  ["a size that overflows", "or too large", (b, at) => b.writeBigUInt64LE(2n ** 52n, at("first") + 4)],
  ["half a block", "no whole number of blocks", (b, at) => b.writeUInt32LE(8, at("first") + 12)],
  [
    "a tensor outside the file",
    'tensor "second" at 4096 takes 16 bytes',
    (b, at) => b.writeBigUInt64LE(4096n, at("second") + 16),
  ],
  [
    "a tensor out of alignment",
    "not at a multiple of the alignment, 32",
    (b, at) => b.writeBigUInt64LE(33n, at("second") + 16),
  ],
  ["an overlap", 'overlaps tensor "', (b, at) => b.writeBigUInt64LE(0n, at("second") + 16)],
  [
    "a key that is not text",
    "metadata key 0 is not UTF-8",
    (b, at) => b.writeUInt8(0xff, at("architecture") - 1),
  ],
])("refuses %s", async (_, message, change) => {
  await expect(open(await changed(change))).rejects.toMatchObject({
    code: "file-damaged",
    message: expect.stringContaining(message),
  });
});

test("names given twice are named", async () => {
  const bytes = Buffer.from(
    await encodeGguf([zeros("aa"), zeros("ab")], {
      k1: { type: "u8", value: 1 },
      k2: { type: "u8", value: 2 },
    }),
  );
  const twice = (from: string, to: string) => {
    const copy = Buffer.from(bytes);
    copy.write(to, copy.indexOf(from));
    return open(new Uint8Array(copy));
  };
  await expect(twice("ab", "aa")).rejects.toThrow('tensor "aa" is given twice');
  await expect(twice("k2", "k1")).rejects.toThrow('the metadata key "k1" is given twice');
});

test("a big-endian file, and a type that ggml has and we do not, are named", async () => {
  await expect(open(await golden("big-endian.gguf"))).rejects.toMatchObject({
    code: "file-damaged",
    message: expect.stringContaining("big-endian"),
  });
  const iq2 = await changed((b, at) => b.writeUInt32LE(22, at("first") + 12));
  await expect(open(iq2)).rejects.toMatchObject({ code: "dtype", message: expect.stringContaining("IQ2_S") });
});

test("damage of any kind gives a ConclaveError or a file whose tensors and values can all be read", async () => {
  const whole = await golden("every-type.gguf");
  const header = 1100; // most flips go where the structure is
  const damaged = fc.oneof(
    fc.nat(whole.length - 1).map((length) => whole.slice(0, length)),
    fc.array(fc.tuple(fc.nat(header), fc.nat(255)), { minLength: 1, maxLength: 3 }).map((flips) => {
      const bytes = whole.slice();
      for (const [at, value] of flips) bytes[at] = value;
      return bytes;
    }),
    fc.tuple(fc.nat(header), fc.bigInt(0n, 2n ** 64n - 1n)).map(([at, value]) => {
      const bytes = whole.slice();
      new DataView(bytes.buffer).setBigUint64(at, value, true);
      return bytes;
    }),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Uint8Array.from([...whole.subarray(0, 24), ...bytes])),
  );
  const decodeAll = (array: GgufArray): void => {
    for (const value of array.values()) if (value instanceof GgufArray) decodeAll(value);
  };
  await fc.assert(
    fc.asyncProperty(damaged, async (bytes) => {
      try {
        const { tensors, read, gguf } = await open(bytes);
        for (const { name, byteLength } of tensors.values())
          expect((await read(name)).length).toBe(byteLength);
        for (const key of gguf.keys()) {
          const value = gguf.get(key);
          if (value instanceof GgufArray) decodeAll(value);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(ConclaveError);
      }
    }),
    { numRuns: 1500, seed: 7 },
  );
});

test("a vocabulary beyond the first read is found whole, and its strings are decoded only when asked for", async () => {
  const values = Array.from({ length: 60_000 }, (_, i) => (i % 7 === 0 ? `▁wörd${i}` : `token${i}`));
  const bytes = await encodeGguf([zeros("t")], { tokens: { type: "array", of: "string", values } });
  let read = 0;
  const source = bytesSource(bytes, "big.gguf");
  const store = await openGguf({
    ...source,
    read: (offset, length) => {
      read += length;
      return source.read(offset, length);
    },
  });
  expect(read).toBe(bytes.length);
  expect(store.gguf.strings("tokens")).toEqual(values);
});

test("split files are read as one, and only together", async () => {
  const openPart = async (name: string) => bytesSource(await golden(name), name);
  const first = "split-00001-of-00003.gguf";
  const store = await openGgufParts(await openPart(first), first, openPart);
  expect([...store.tensors.keys()]).toEqual(["t0", "t1", "t2", "t3", "t4"]);
  expect([...toFloat32("F32", await store.read("t4"))]).toEqual([4, 4, 4, 4]);

  const second = "split-00002-of-00003.gguf";
  const asked: string[] = [];
  await openGgufParts(await openPart(first), "split-00001-of-00003.GGUF", (name) => {
    asked.push(name);
    return openPart(name.replace(".GGUF", ".gguf"));
  });
  expect(asked).toEqual(["split-00002-of-00003.GGUF", "split-00003-of-00003.GGUF"]);
  await expect(openGgufParts(await openPart(second), second, openPart)).rejects.toMatchObject({
    code: "usage",
    remedy: `give the first part, ${first}`,
  });
  await expect(openGgufParts(await openPart(first), "renamed.gguf", openPart)).rejects.toThrow(
    "is one of 3 parts",
  );
  await expect(openGgufParts(await openPart(first), first, () => openPart(second))).rejects.toThrow(
    "split-00003-of-00003.gguf does not say that it is part 3 of 3",
  );
});

test("files that were joined end to end are refused by what they are, whether or not they say that they are parts", async () => {
  const part = (n: number) =>
    encodeGguf([zeros(`t${n}`)], {
      "split.no": { type: "u16", value: n },
      "split.count": { type: "u16", value: 2 },
    });
  const joined = async (files: readonly Uint8Array[]): Promise<unknown> =>
    openGguf(bytesSource(concatenated(files), "all.gguf"));
  await expect(joined([await part(0), await part(1)])).rejects.toMatchObject({
    code: "file-damaged",
    message: expect.stringMatching(/^all\.gguf: the 2 parts of a split model were joined end to end/),
    remedy: expect.stringContaining("llama-gguf-split --merge"),
  });
  const alone = await encodeGguf([zeros("t")], {});
  await expect(joined([alone, alone])).rejects.toThrow("all.gguf: several GGUF files were joined end to end");
  const empty = await encodeGguf([], {});
  await expect(joined([empty, alone])).rejects.toThrow("joined end to end");
});

function concatenated(files: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(files.reduce((sum, file) => sum + file.length, 0));
  let at = 0;
  for (const file of files) {
    all.set(file, at);
    at += file.length;
  }
  return all;
}
