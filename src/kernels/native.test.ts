import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buf, Storage } from "./abi.ts";
import type { Kernels } from "./kernels.ts";
import { linearTable, slotCount } from "./linear.ts";
import { createNativeKernels } from "./native.ts";
import { listImplementations } from "./select.ts";

/** Kernels run later than they are called: nobody may notice. */

const here = (await listImplementations()).some(({ label, skip }) => label.startsWith("native") && !skip);

describe.runIf(here)("calls in a queue", () => {
  let kernels: Kernels;
  beforeAll(async () => {
    kernels = await createNativeKernels({ threads: 2 });
  });
  afterAll(() => kernels.dispose());

  const n = 1000;
  const floats = (value: number): Uint8Array => new Uint8Array(new Float32Array(n).fill(value).buffer);
  const make = (value = 0): Storage => {
    const storage = kernels.alloc(4 * n);
    kernels.write(storage, 0, floats(value));
    return storage;
  };
  const at = (storage: Storage): Buf => ({ storage, offset: 0, dtype: "f32" });
  const values = async (storage: Storage): Promise<Set<number>> =>
    new Set(new Float32Array((await kernels.read(storage, 0, 4 * n)).buffer));
  /** out = x + 1, after some tenths of a millisecond. */
  const slowlyAddOne = (x: Storage, out: Storage): void => {
    kernels.run.fmaChain({ x: at(x), out: at(out), n, rounds: 300, a: 1, b: 0 });
    kernels.run.unary({ op: "affine", x: at(out), out: at(out), n, alpha: 1, beta: 1 });
  };

  test("what the host writes and reads keeps its place among them", async () => {
    const [x, y] = [make(), make()];
    for (let round = 0; round < 50; round++) {
      slowlyAddOne(x, y);
      kernels.write(x, 0, floats(round)); // over what is still to be read
      expect(await values(y)).toEqual(new Set([Math.max(round, 1)]));
      expect(await values(x)).toEqual(new Set([round]));
    }
  });

  test("memory is freed after its last use, and taken again", async () => {
    const results: Storage[] = [];
    for (let round = 0; round < 20; round++) {
      const [x, y] = [make(round), make()];
      slowlyAddOne(x, y);
      kernels.free(x);
      results.push(y);
    }
    for (const [round, y] of results.entries()) expect(await values(y)).toEqual(new Set([round + 1]));
  });

  test("more calls than the queue holds, their lists of buffers with them", async () => {
    const x = make();
    const bump = { op: "affine", x: at(x), out: at(x), n, alpha: 1, beta: 1 } as const;
    for (let call = 0; call < 20_000; call++) kernels.run.unary(bump);
    expect(await values(x)).toEqual(new Set([20_000]));

    // out = x w^T of one element each; 300 weights to a list fill the queue many times over.
    const w = make(3);
    const list = Array.from({ length: 300 }, (_, i) => ({ ...at(w), offset: 4 * i }));
    const out = make();
    for (let call = 0; call < 1000; call++)
      kernels.run.linear({
        x: at(x),
        w: [...list],
        offsets: null,
        out: at(out),
        rows: 1,
        groups: 1,
        n: 300,
        k: 1,
        fast: false,
      });
    expect(new Float32Array((await kernels.read(out, 0, 1200)).buffer)).toEqual(
      new Float32Array(300).fill(60_000),
    );
  });

  const callWithoutMemory = (x: Storage): void =>
    kernels.run.combineRowsGrad({
      y: at(x),
      row: { ...at(x), dtype: "i32" },
      weight: null,
      dout: at(x),
      dy: at(x),
      dweight: null,
      tokens: 0,
      k: 1,
      n,
      rows: 2 ** 60,
    });

  test("a kernel without memory to work in says so to who looks next, and once", async () => {
    const x = make(1);
    callWithoutMemory(x);
    slowlyAddOne(x, x);
    await expect(kernels.read(x, 0, 4)).rejects.toMatchObject({ code: "memory" });
    expect(await values(x)).toEqual(new Set([1])); // what came after it was left out
    slowlyAddOne(x, x);
    expect(await values(x)).toEqual(new Set([2]));
    callWithoutMemory(x);
    expect(() => kernels.finish()).toThrow(/^combineRowsGrad: no memory for \d+ bytes to work in$/);
    kernels.finish();
  });

  test("what one set of kernels lacked is told to its own callers, and stops nobody else", async () => {
    const other = await createNativeKernels({ threads: 2 });
    const y = other.alloc(4 * n);
    other.write(y, 0, floats(1));
    callWithoutMemory(make());
    other.finish();
    other.run.unary({ op: "affine", x: at(y), out: at(y), n, alpha: 1, beta: 1 });
    expect(new Float32Array((await other.read(y, 0, 4)).buffer)).toEqual(Float32Array.of(2));
    expect(() => kernels.finish()).toThrow("no memory for");
    kernels.finish();
    other.dispose();
  });

  test("memory that nobody holds any more stays while its kernels may run", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const forgotten = async (): Promise<WeakRef<Storage>> => {
      const own = await createNativeKernels({ threads: 2 });
      const storage = own.alloc(4 * n);
      own.run.fmaChain({ x: at(storage), out: at(storage), n, rounds: 300, a: 1, b: 0 });
      return new WeakRef(storage);
    };
    const memory = await forgotten();
    await new Promise(setImmediate); // a weak reference holds until its job ends
    collect();
    expect(memory.deref()).toBeDefined();
  });

  /** A thread that calls a kernel without end: the add-on by itself, as native/napi.cc is called, since a thread starts without TypeScript. */
  async function startCaller(): Promise<Worker> {
    const [settings, memory] = [8, 2 ** 40]; // `memory` stands for the address, which the thread knows
    const slots = new Float64Array(slotCount);
    const workerData: Record<string, unknown> = { settings, memory, slots, bytes: 4 * n };
    const { fmaChain } = linearTable({
      address: () => memory,
      slots: () => slots,
      slotsAddress: 0,
      freed: () => 0,
      call: (kernel, count, list) => Object.assign(workerData, { kernel, head: [0, 0, 3, count, list] }),
    });
    fmaChain({ x: at(make()), out: at(make()), n, rounds: 300, a: 1, b: 0 });
    const library = `../../dist/native/conclave-${process.platform}-${process.arch}.node`;
    workerData.library = fileURLToPath(new URL(library, import.meta.url));
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      const { library, settings, memory, slots, bytes, kernel, head } = workerData;
      const addon = require(library);
      addon.retain();
      const own = new Float64Array(addon.slots(settings + slots.length));
      globalThis.held = new ArrayBuffer(bytes);
      const address = addon.address(held);
      own.set(head);
      own[1] = addon.isas().findIndex(({ runs }) => runs);
      own.set(slots.map((slot) => (slot === memory ? address : slot)), settings);
      for (let call = 0; ; call++) {
        addon.call(kernel);
        if (call === 500) parentPort.postMessage("well under way");
      }`;
    const worker = new Worker(code, { eval: true, workerData });
    await once(worker, "message");
    return worker;
  }

  test("threads that end while their calls are in the queue leave the others alone", async () => {
    const x = make();
    for (let round = 0; round < 3; round++) {
      const callers = await Promise.all([startCaller(), startCaller()]);
      for (let call = 0; call < 20; call++) slowlyAddOne(x, x);
      await Promise.all(callers.map((caller) => caller.terminate()));
      for (let call = 0; call < 20; call++) slowlyAddOne(x, x);
    }
    expect(await values(x)).toEqual(new Set([120]));
  });

  test("two sets of kernels with threads of their own share the queue in order", async () => {
    const one = await createNativeKernels({ threads: 1 });
    const x = make();
    for (let call = 0; call < 200; call++) {
      slowlyAddOne(x, x);
      one.run.unary({ op: "affine", x: at(x), out: at(x), n, alpha: 1, beta: 1 });
    }
    expect(await values(x)).toEqual(new Set([400]));
    one.dispose();
    expect(await values(x)).toEqual(new Set([400]));
  });
});
