import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Device, linear, MappedFile, tensor } from "../tensor/index.ts";
import type { Kernels } from "./kernels.ts";
import { createNativeKernels } from "./native.ts";
import { createReferenceKernels } from "./reference/index.ts";

let folder = "";
let kernels: Kernels | null = null;
try {
  kernels = await createNativeKernels({ threads: 1 });
} catch {
  // No compiler here: the suite of the kernels says so.
}
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-map-"));
  // Seven bytes of something else, then [2, 3] in f32: no boundary of any kind.
  const values = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
  await writeFile(at("weights"), Uint8Array.from([...new Uint8Array(7), ...values]));
  await writeFile(at("empty"), "");
});
afterAll(async () => {
  kernels?.dispose();
  await rm(folder, { recursive: true });
});

describe.skipIf(kernels === null)("a mapped file", () => {
  test("is used where it lies, and given back with its last tensor", async () => {
    const device = new Device(kernels!);
    const file = new MappedFile(device, at("weights"));
    const w = file.tensor(7, [2, 3], "f32");
    file.dispose();
    expect(device.memory.mapped).toBe(31);
    expect([...(await w.data())]).toEqual([1, 2, 3, 4, 5, 6]);
    const y = linear(tensor(device, [1, 10, 100], [1, 3]), [w]);
    expect([...(await y.data())]).toEqual([321, 654]);
    expect(() => w.write(new Float32Array(6))).toThrow("read-only");
    w.dispose();
    expect(device.memory.mapped).toBe(0);
    expect(() => linear(tensor(device, [1, 10, 100], [1, 3]), [w])).toThrow("after it was freed");
  });

  test("that is missing, empty, a folder, out of reach or too short is an error that names it", async () => {
    const device = new Device(kernels!);
    const map = (name: string) => () => new MappedFile(device, at(name));
    expect(map("nowhere")).toThrow(expect.objectContaining({ code: "file-missing" }));
    expect(map("empty")).toThrow(expect.objectContaining({ code: "file-damaged" }));
    expect(map(".")).toThrow(expect.objectContaining({ code: "disk" }));
    expect(map("weights/within")).toThrow("not a directory");
    await truncate(at("weights"), 20);
    const file = new MappedFile(device, at("weights"));
    expect(() => file.tensor(7, [2, 3], "f32")).toThrow(`weights: f32 [2, 3] should end at byte 31`);
    expect(() => file.tensor(-4, [1], "f32")).toThrow("byte 0");
    file.dispose();
  });
});

test("kernels that cannot map say so", () => {
  const device = new Device(createReferenceKernels());
  expect(() => new MappedFile(device, "x")).toThrow(expect.objectContaining({ code: "kernels" }));
});
