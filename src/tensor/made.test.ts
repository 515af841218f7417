import { expect, test } from "vitest";
import { fail } from "../errors.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "./device.ts";
import { MadeTensor, makeTensors } from "./made.ts";
import { linear, permute } from "./ops/index.ts";
import { keep, scope } from "./scope.ts";
import { tensor } from "./tensor.ts";

const stored = [1, 2, 3, 4, 5, 6];

/** A matrix [3, 2] that is stored as [2, 3], and how often it was made. */
function turned(device: Device): { made: MadeTensor; times: () => number } {
  let times = 0;
  const source = keep(tensor(device, Float32Array.from(stored)));
  const made = new MadeTensor(device, [3, 2], "f32", {
    name: "w",
    sources: [source],
    make([x]) {
      times++;
      return permute(x.view([2, 3]), [1, 0]);
    },
  });
  return { made: keep(made), times: () => times };
}

test("contents are made when they are read, once, and again after they were let go of", async () => {
  const device = new Device(createReferenceKernels());
  const { made, times } = turned(device);
  const { live } = device.memory;
  expect([made.there, times(), made.sourceBytes]).toEqual([false, 0, 24]);
  for (const expected of [1, 2]) {
    expect([...(await made.data())]).toEqual([1, 4, 2, 5, 3, 6]);
    const row = made.view([2], 2);
    expect([...(await row.data())]).toEqual([2, 5]);
    expect([made.there, times()]).toEqual([true, expected]);
    made.letGo();
    expect([...(await row.data())]).toEqual([2, 5]); // a view keeps what it shows
    row.dispose();
    expect([made.there, device.memory.live]).toEqual([false, live]);
  }
  made.dispose();
  expect(device.memory.live).toBe(0);
  await expect(made.data()).rejects.toThrow("was used after it was freed");
});

test("a list of weights finds one that was made anew, in a scope too", async () => {
  const device = new Device(createReferenceKernels());
  const { made, times } = turned(device);
  const x = tensor(device, [1, 10]);
  const weights = [made];
  const product = async (): Promise<number[]> => [...(await scope(() => linear(x, weights)).data())];
  expect(await product()).toEqual([41, 52, 63]);
  made.letGo();
  const other = tensor(device, [7, 7, 7, 7, 7, 7]); // in the memory that it had
  expect(await product()).toEqual([41, 52, 63]);
  expect(await product()).toEqual([41, 52, 63]);
  expect(times()).toBe(2);
  other.dispose();
});

test("where one cannot be made, none is, and the error names it", () => {
  const device = new Device(createReferenceKernels());
  const { made } = turned(device);
  const broken = new MadeTensor(device, [2], "f32", {
    name: "v",
    sources: [],
    make: () => fail("memory", "none left"),
  });
  const { live } = device.memory;
  expect(() => makeTensors([made, broken])).toThrow(
    expect.objectContaining({ code: "memory", message: "making v: none left" }),
  );
  expect([made.there, broken.there, device.memory.live]).toEqual([false, false, live]);
});

test("work that makes something is not done again without it", () => {
  const device = new Device(createReferenceKernels());
  const record = device.kernels.record.bind(device.kernels);
  const recording = { storages: new Set<never>(), replay: () => {} };
  const recorder = new Device({
    ...device.kernels,
    record: (body) => {
      record(body);
      return recording;
    },
  });
  const { made } = turned(recorder);
  expect(recorder.record(() => made.buf).replay).toBeNull();
  expect(recorder.record(() => made.buf).replay).not.toBeNull();
});
