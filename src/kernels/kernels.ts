import type { Buf, KernelTable, Storage } from "./abi.ts";

/** Files as memory: their pages are read when they are touched, and leave memory again when it runs short. */
export interface FileMapping {
  /** The whole file, as a storage that is freed like any other. Errors: file-missing, file-damaged (an empty file), disk. */
  map(path: string): Storage;
  /** Asks for bytes to be read soon ("soon"), or lets them leave memory ("done"). */
  advise(storage: Storage, offset: number, length: number, when: "soon" | "done"): void;
  /** The n i32 at `buf`, at once: a host that maps files shares its memory with the kernels. Valid until the next kernel. */
  integers(buf: Buf, n: number): Int32Array;
}

/** Kernel calls that can be made again without what led to them. */
export interface Recording {
  /** All memory that they use. */
  readonly storages: ReadonlySet<Storage>;
  /** Makes them again, on what their memory holds now. Errors: "state" where some of it was freed. */
  replay(): void;
}

/**
 * One implementation of every kernel, with the memory it works on. Kernels run in the order of their calls, but perhaps later than those
 * return; whoever looks at memory (`read`, `write`, `free`, `mapping`) waits for those that were given it. What a kernel has to
 * say (no memory to work in: "memory") is said there, save by `free`, or by `finish`.
 */
export interface Kernels {
  readonly name: "reference" | "native" | "wasm";
  /** Instruction set in use: "amx", "avx512_bf16", "avx512", "avx2", "sse2", "neon", "simd128", "relaxed-simd" or "none". */
  readonly isa: string;
  readonly threads: number;
  readonly run: KernelTable;
  /** 64-byte aligned memory with undefined contents. */
  alloc(bytes: number): Storage;
  free(storage: Storage): void;
  /** Copies host bytes in, from byte `offset` on. */
  write(storage: Storage, offset: number, bytes: Uint8Array): void;
  /** Copies bytes out. Asynchronous because a device may have to finish first. */
  read(storage: Storage, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Runs `body` and notes the kernels it calls. Null where they cannot be called again without it: it looked at memory or wrote to it (what
   * it found, or wrote, may be another the next time), or this implementation does not record.
   */
  record(body: () => void): Recording | null;
  /** Returns when every kernel called so far has run. */
  finish(): void;
  /** Files as read-only memory; null where this implementation cannot. */
  readonly mapping: FileMapping | null;
  /** Stops threads and gives memory back. */
  dispose(): void;
}
