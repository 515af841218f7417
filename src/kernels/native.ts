import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { getSystemErrorMap } from "node:util";
import { ConclaveError, fail } from "../errors.ts";
import { abi, type Buf, type Storage } from "./abi.ts";
import type { Kernels } from "./kernels.ts";
import { checkAbi, linearTable, slotCount } from "./linear.ts";
import { Recorder } from "./recording.ts";

/** The C++ kernels as a Node add-on (native/napi.cc). Node only. */

/** What native/napi.cc exports. */
interface Addon {
  /** The array of `count` doubles that call() reads: `settings`, then the kernel's arguments. */
  slots(count: number): ArrayBuffer;
  /** Queues a kernel; it runs on another thread while this one goes on, or once this one waits. With one thread it runs at once. */
  call(kernel: number): void;
  /** Returns when the calls up to `call`, counted from 1, are done. */
  wait(call: number): void;
  /** Bytes that a kernel needed and did not get, once; it and those after it were left out. Which one is then in the array's head. */
  missing(): number;
  address(buffer: ArrayBuffer): number;
  /** Frees an array's memory at once. */
  detach(buffer: ArrayBuffer): void;
  /** A whole file as read-only memory; `error` is an errno, 0 where it went well. */
  map(path: string): { address: number; bytes: number; error: number };
  unmap(address: number, bytes: number): void;
  advise(address: number, bytes: number, wanted: boolean): void;
  /** Fills `into` from memory at `address`. */
  copy(address: number, into: ArrayBuffer): void;
  /** Threads run while somebody holds them. */
  retain(): void;
  release(): void;
  /** Hash of the abi table it was built from. */
  abi(): number;
  isas(): { name: string; runs: boolean }[];
}

export interface NativeOptions {
  /** Instruction set; the best the machine has when absent. "wide" and those "_emulated" are test builds, never chosen by themselves. */
  isa?: string;
  /** Threads that compute, the caller included; the CPUs this process may run on when absent. */
  threads?: number;
}

/** Places in the head of the slots: see native/napi.cc. */
const at = { added: 0, isa: 1, threads: 2, count: 3, list: 4, lacking: 5 } as const;
const settingSlots = 8;

const kernelNames = Object.keys(abi);

const alignment = 64;

class NativeStorage implements Storage {
  readonly byteLength: number;
  readonly buffer: ArrayBuffer;
  /** Of the first aligned byte; 0 once freed. */
  address: number;
  /** The last call that was given this memory. */
  lastCall = 0;
  /** The first aligned byte's place in `buffer`. */
  readonly start: number;

  constructor(addon: Addon, bytes: number) {
    this.byteLength = bytes;
    this.buffer = new ArrayBuffer(bytes + alignment);
    const first = addon.address(this.buffer);
    this.address = Math.ceil(first / alignment) * alignment;
    this.start = this.address - first;
  }
}

/** A file as read-only memory. */
class MappedStorage implements Storage {
  readonly byteLength: number;
  /** 0 once unmapped. */
  address: number;
  lastCall = 0;

  constructor(addon: Addon, path: string) {
    const { address, bytes, error } = addon.map(path);
    if (address === 0) throw mapError(path, bytes, error);
    this.byteLength = bytes;
    this.address = address;
  }
}

const memoryRemedy = "free memory on this machine, or use a smaller model, batch or context";

function mapError(path: string, bytes: number, error: number): ConclaveError {
  const name = getSystemErrorMap().get(-error);
  if (name?.[0] === "ENOENT")
    return new ConclaveError("file-missing", `mapping ${path}: there is no such file`);
  if (name?.[0] === "EINVAL" && bytes === 0)
    return new ConclaveError("file-damaged", `mapping ${path}: the file is empty`, {
      remedy: "fetch or write the file again",
    });
  return new ConclaveError("disk", `mapping ${path}: ${name?.[1] ?? `error ${error}`}`);
}

/**
 * Loads the native kernels.
 * @throws ConclaveError "kernels" when no library fits this machine, or it lacks the instruction set asked for.
 */
export async function createNativeKernels(options: NativeOptions = {}): Promise<Kernels> {
  const { addon, header } = loadAddon();
  const isas = addon.isas();
  const isaPlace = chooseIsa(isas, options.isa);
  const threads = options.threads ?? availableParallelism();
  const settings = new Float64Array(header, 0, settingSlots);
  const slots = new Float64Array(header, settingSlots * 8);
  addon.retain();

  let freed = 0;
  let looks = 0;
  const live = new Set<NativeStorage | MappedStorage>();
  const self: Caller = { memory: live, lack: null };
  const wait = (call: number): void => {
    addon.wait(call);
    const bytes = addon.missing();
    if (bytes > 0 && caller) caller.lack = { kernel: kernelNames[settings[at.lacking]!]!, bytes };
  };
  const finish = (call: number): void => {
    wait(call);
    const { lack } = self;
    self.lack = null;
    if (lack) fail("memory", `${lack.kernel}: no memory for ${lack.bytes} bytes to work in`, memoryRemedy);
  };
  const view = <T>(buf: Buf, make: (buffer: ArrayBuffer, offset: number) => T): T => {
    const storage = owned(buf.storage);
    if (!(storage instanceof NativeStorage)) return fail("state", "a mapped file is read-only memory");
    looks++;
    finish(storage.lastCall);
    return make(storage.buffer, storage.start + buf.offset);
  };
  const bytesOf = (storage: Storage, offset: number, length: number): Uint8Array =>
    view({ storage, offset, dtype: "i32" }, (buffer, start) => new Uint8Array(buffer, start, length));
  const release = (storage: NativeStorage | MappedStorage): void => {
    live.delete(storage);
    freed++;
    addon.wait(storage.lastCall);
    if (storage instanceof NativeStorage) addon.detach(storage.buffer);
    else addon.unmap(storage.address, storage.byteLength);
    storage.address = 0;
  };

  const recorder = new Recorder({
    address(storage, again) {
      const memory = owned(storage);
      memory.lastCall = again ? Number.POSITIVE_INFINITY : Math.max(memory.lastCall, settings[at.added]! + 1);
      return memory.address;
    },
    slots: () => slots,
    slotsAddress: addon.address(header) + settingSlots * 8,
    freed: () => freed,
    looks: () => looks,
    call(kernel, count, list) {
      if (caller !== self) {
        wait(Number.POSITIVE_INFINITY);
        caller = self;
      }
      settings[at.isa] = isaPlace;
      settings[at.threads] = threads;
      settings[at.count] = count;
      settings[at.list] = list;
      addon.call(kernel);
    },
  });

  return {
    name: "native",
    isa: isas[isaPlace]!.name,
    threads,
    run: linearTable(recorder),
    record: (body) => recorder.record(body),
    alloc(bytes) {
      const storage = newStorage(addon, bytes);
      live.add(storage);
      return storage;
    },
    free: (storage) => release(owned(storage)),
    finish: () => finish(Number.POSITIVE_INFINITY),
    write: (storage, offset, bytes) => bytesOf(storage, offset, bytes.length).set(bytes),
    async read(storage, offset, length) {
      if (storage instanceof NativeStorage) return new Uint8Array(bytesOf(storage, offset, length));
      const copy = new ArrayBuffer(length);
      addon.copy(mappedRange(storage, offset, length), copy);
      return new Uint8Array(copy);
    },
    mapping: {
      map(path) {
        const storage = new MappedStorage(addon, path);
        live.add(storage);
        return storage;
      },
      advise(storage, offset, length, when) {
        addon.advise(mappedRange(storage, offset, length), length, when === "soon");
      },
      integers: (buf, n) => view(buf, (buffer, start) => new Int32Array(buffer, start, n)),
    },
    dispose() {
      for (const storage of live) release(storage);
      addon.release();
    },
  };
}

function newStorage(addon: Addon, bytes: number): NativeStorage {
  try {
    return new NativeStorage(addon, bytes);
  } catch (cause) {
    throw new ConclaveError("memory", `alloc: no memory for ${bytes} bytes`, { remedy: memoryRemedy, cause });
  }
}

/** The address of `length` bytes from `offset` on, all of them in the file. */
function mappedRange(storage: Storage, offset: number, length: number): number {
  const { address } = owned(storage);
  if (!(offset >= 0 && length >= 0 && offset + length <= storage.byteLength))
    fail("shape", `bytes ${offset} to ${offset + length} of a mapped file of ${storage.byteLength}`);
  return address + offset;
}

/** Memory of this implementation that is still there. */
function owned(storage: Storage): NativeStorage | MappedStorage {
  if (!(storage instanceof NativeStorage || storage instanceof MappedStorage))
    return fail("state", "a native kernel was given memory of another implementation");
  if (storage.address === 0)
    return fail("state", `a native kernel was given ${storage.byteLength} bytes of freed memory`);
  return storage;
}

/** The instruction sets that the native library has, best first, and whether this machine runs them. */
export function nativeIsas(): { name: string; runs: boolean }[] {
  return loadAddon().addon.isas();
}

function chooseIsa(isas: readonly { name: string; runs: boolean }[], wanted: string | undefined): number {
  const place =
    wanted === undefined
      ? isas.findIndex((isa) => isa.runs)
      : isas.findIndex((isa) => isa.name === wanted && isa.runs);
  if (place >= 0) return place;
  const built = isas.map((isa) => isa.name);
  const runnable = isas.filter((isa) => isa.runs).map((isa) => isa.name);
  if (wanted === undefined)
    return fail(
      "kernels",
      `the native kernels were built for ${built.join(", ")}, none of which this machine runs`,
      "run `npm run build` on this machine",
    );
  if (built.includes(wanted))
    return fail(
      "kernels",
      `this machine has no ${wanted}; it runs ${runnable.join(", ") || "none that was built"}`,
      "name one of those with CONCLAVE_ISA, or leave it unset for the best",
    );
  return fail(
    "kernels",
    `the native kernels were built for ${built.join(", ")}, not for "${wanted}"`,
    "leave CONCLAVE_ISA unset, or run `npm run build`, which compiles every instruction set",
  );
}

interface Caller {
  /** All of it: it must outlive the calls, even where nobody holds the kernels any more and none was disposed of. */
  readonly memory: ReadonlySet<Storage>;
  /** What one of the calls did not get, until somebody is told. */
  lack: { readonly kernel: string; readonly bytes: number } | null;
}

/** The kernels whose calls are in the queue of this thread. */
let caller: Caller | undefined;

let loaded: { addon: Addon; header: ArrayBuffer } | undefined;

/** The add-on with its pinned argument array, loaded once. */
function loadAddon(): { addon: Addon; header: ArrayBuffer } {
  if (loaded === undefined) {
    const addon = requireAddon();
    checkAbi("the native library", addon.abi());
    loaded = { addon, header: addon.slots(settingSlots + slotCount) };
  }
  return loaded;
}

function requireAddon(): Addon {
  const require = createRequire(import.meta.url);
  const target = `${process.platform}-${process.arch}`;
  // From src/kernels, dist/kernels, and a bundle at dist's top.
  const places = ["../../dist/native", "../native", "./native"].map((folder) =>
    fileURLToPath(new URL(`${folder}/conclave-${target}.node`, import.meta.url)),
  );
  const file = places.find((place) => existsSync(place));
  const from = file ?? `@conclave/native-${target}`;
  try {
    return require(from) as Addon;
  } catch (cause) {
    const why =
      file === undefined
        ? `neither a build nor the package ${from} is there`
        : String((cause as Error).message);
    throw new ConclaveError("kernels", `no native kernels for ${target}: ${why}`, {
      remedy: "run `npm run build` in a checkout with a C++ compiler; WebAssembly works without",
      cause,
    });
  }
}
