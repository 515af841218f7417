import { compileWasm, defaultThreads, mayWait, startWorker, whyNoThreads } from "#threads";
import { ConclaveError, fail } from "../errors.ts";
import type { Storage } from "./abi.ts";
import { Heap } from "./heap.ts";
import type { Kernels } from "./kernels.ts";
import { checkAbi, linearTable, slotCount } from "./linear.ts";
import { Recorder } from "./recording.ts";
import type { WorkerStart } from "./worker-start.ts";

/**
 * The C++ kernels as WebAssembly, in Node and in browsers. One shared linear memory holds everything; workers run the same
 * module on it. Where memory cannot be shared with workers there is one thread.
 */

export interface WasmOptions {
  /** "simd128" or "relaxed-simd"; the better one the engine takes when absent. */
  isa?: string;
  /** Threads that compute, the caller included; the machine's when absent. */
  threads?: number;
}

/** What native/pool_wasm.cc and native/wasm.cc export. */
interface Exports {
  cv_setup(threads: number, mayWait: number): void;
  cv_call(kernel: number, slots: number): void;
  cv_quit(): void;
  cv_abi(): number;
  readonly __heap_base: WebAssembly.Global;
  readonly __stack_pointer: WebAssembly.Global;
}

const pageBytes = 65536;
const maxPages = 65536;
const stackBytes = 1 << 20;

class WasmStorage implements Storage {
  readonly byteLength: number;
  /** 0 once freed. */
  address: number;
  readonly owner: Heap;

  constructor(owner: Heap, bytes: number) {
    this.byteLength = bytes;
    this.owner = owner;
    this.address = owner.take(bytes);
  }
}

/**
 * Compiles the wasm kernels and starts their workers.
 * @throws ConclaveError "kernels" when the file is missing or the engine lacks the instructions.
 */
export async function createWasmKernels(options: WasmOptions = {}): Promise<Kernels> {
  const isa =
    options.isa ??
    wasmIsas()[0] ??
    fail(
      "kernels",
      "this JavaScript engine has no WebAssembly SIMD",
      "use a newer one: every browser since 2023 has it",
    );
  if (!wasmIsas().includes(isa)) {
    return fail(
      "kernels",
      `this JavaScript engine runs no wasm "${isa}"; it runs ${wasmIsas().join(", ") || "none"}`,
      "name one of those with CONCLAVE_ISA, or leave it unset for the best",
    );
  }
  const threads = whyNoThreads() === null ? (options.threads ?? defaultThreads()) : 1;
  const module = await compileWasm(isa);
  const memory = newMemory();
  const { exports, heap } = instantiate(module, memory);
  checkAbi(`conclave-${isa}.wasm`, exports.cv_abi());
  exports.cv_setup(threads, mayWait ? 1 : 0);

  const slotsAddress = heap.take(slotCount * 8);
  const workers = await startWorkers(
    Array.from({ length: threads - 1 }, () => {
      return { module, memory, stack: heap.take(stackBytes) + stackBytes };
    }),
  );

  // Memory that grew is a new buffer; views on the old one see only the old length.
  let slots = new Float64Array(memory.buffer, slotsAddress, slotCount);
  const freshSlots = (): Float64Array => {
    if (slots.buffer !== memory.buffer) slots = new Float64Array(memory.buffer, slotsAddress, slotCount);
    return slots;
  };
  let freed = 0;
  let looks = 0;
  const address = (storage: Storage): number => addressOf(storage, heap);
  const at = (storage: Storage, offset: number): number => {
    looks++;
    return address(storage) + offset;
  };
  const stackTop: unknown = exports.__stack_pointer.value;
  const call = (kernel: number): void => {
    try {
      exports.cv_call(kernel, slotsAddress);
    } finally {
      exports.__stack_pointer.value = stackTop; // a kernel that finds no scratch memory never returns to put it back
    }
  };

  const recorder = new Recorder({
    address,
    slots: freshSlots,
    slotsAddress,
    freed: () => freed,
    looks: () => looks,
    call,
  });

  return {
    name: "wasm",
    isa,
    threads,
    run: linearTable(recorder),
    record: (body) => recorder.record(body),
    alloc: (bytes) => new WasmStorage(heap, bytes),
    free(storage) {
      heap.give(address(storage));
      freed++;
      (storage as WasmStorage).address = 0;
    },
    write: (storage, offset, bytes) =>
      new Uint8Array(memory.buffer, at(storage, offset), bytes.length).set(bytes),
    async read(storage, offset, length) {
      const copy = new Uint8Array(length);
      copy.set(new Uint8Array(memory.buffer, at(storage, offset), length));
      return copy;
    },
    finish() {},
    mapping: null,
    dispose() {
      exports.cv_quit();
      for (const worker of workers) worker.terminate();
    },
  };
}

/** All of the workers, or an error and none: a page's policy may forbid them. */
async function startWorkers(starts: readonly WorkerStart[]): Promise<{ terminate(): void }[]> {
  const results = await Promise.allSettled(starts.map(async (start) => startWorker(start)));
  const workers = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failure = results.find((result) => result.status === "rejected");
  if (failure === undefined) return workers;
  for (const worker of workers) worker.terminate();
  throw new ConclaveError("kernels", `a wasm worker did not start: ${(failure.reason as Error).message}`, {
    remedy: "one thread (CONCLAVE_THREADS=1) needs no workers",
    cause: failure.reason,
  });
}

/** An instance on the calling thread, with the allocator of its memory. */
function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): { exports: Exports; heap: Heap } {
  let heap: Heap | undefined;
  const scratch = (address: number, bytes: number): number => {
    if (address !== 0) heap?.give(address >>> 0);
    return heap?.take(bytes) ?? 0;
  };
  const instance = new WebAssembly.Instance(module, { env: { memory, scratch } });
  const exports = instance.exports as unknown as Exports;
  let end = Math.ceil((exports.__heap_base.value as number) / 64) * 64; // of what the heap has
  heap = new Heap(end, (bytes) => {
    if (end + bytes > memory.buffer.byteLength) growTo(memory, end + bytes);
    const more = memory.buffer.byteLength - end;
    end += more;
    return more;
  });
  return { exports, heap };
}

/** Shared memory of the largest kind to be had: some browsers refuse to set aside 4 GiB of addresses. */
function newMemory(): WebAssembly.Memory {
  for (let maximum = maxPages; maximum > 4096; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: 64, maximum, shared: true });
    } catch {
      // Ask for less, then give up below.
    }
  }
  return fail(
    "kernels",
    "this JavaScript engine gives WebAssembly no shared memory",
    "free memory; in a browser close other pages",
  );
}

/** Grows to at least `bytes`, by a quarter where that is more. */
function growTo(memory: WebAssembly.Memory, bytes: number): void {
  const now = memory.buffer.byteLength / pageBytes;
  const needed = Math.ceil(bytes / pageBytes);
  const wished = Math.max(needed, Math.min(maxPages, Math.ceil(now * 1.25)));
  for (const pages of [wished, needed]) {
    try {
      memory.grow(pages - now);
      return;
    } catch {
      // Ask for less, then give up below.
    }
  }
  throw new ConclaveError(
    "memory",
    `alloc: WebAssembly memory cannot grow from ${now * pageBytes} to ${bytes} bytes`,
    { remedy: "use a smaller model, batch or context, or the native kernels, which are not held to 4 GiB" },
  );
}

function addressOf(storage: Storage, heap: Heap): number {
  if (!(storage instanceof WasmStorage) || storage.owner !== heap) {
    return fail("state", "a wasm kernel was given memory of another implementation");
  }
  if (storage.address === 0)
    return fail("state", `a wasm kernel was given ${storage.byteLength} bytes of freed memory`);
  return storage.address;
}

/** The wasm builds this JavaScript engine runs, better first. */
export function wasmIsas(): string[] {
  if (
    typeof WebAssembly === "undefined" ||
    (typeof SharedArrayBuffer === "undefined" && !sharedMemoryWorks())
  )
    return [];
  const probes = { "relaxed-simd": relaxedProbe, simd128: simdProbe };
  return Object.entries(probes)
    .filter(([, code]) => WebAssembly.validate(code))
    .map(([isa]) => isa);
}

function sharedMemoryWorks(): boolean {
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer.byteLength === pageBytes;
  } catch {
    return false;
  }
}

// Modules of one function, (func (result v128) ...): i32.const 0, i8x16.splat, and for relaxed SIMD f32x4.relaxed_madd on three.
const probe = (...body: number[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array([
    0,
    0x61,
    0x73,
    0x6d,
    1,
    0,
    0,
    0,
    1,
    5,
    1,
    0x60,
    0,
    1,
    0x7b,
    3,
    2,
    1,
    0,
    10,
    body.length + 4,
    1,
    body.length + 2,
    0,
    ...body,
    0x0b,
  ]);
const splat = [0x41, 0, 0xfd, 0x0f];
const simdProbe = probe(...splat);
const relaxedProbe = probe(...splat, ...splat, ...splat, 0xfd, 0x85, 0x02);
