import type { Buf, KernelTable, Storage } from "./abi.ts";

/**
 * Routing's rarer decisions: they give places, not numbers. Every CPU implementation shares routing.ts, since the work is a few
 * passes over T*K integers; what every layer needs is in the abi table (`planRows`, `countIds`), so that nobody waits for it.
 *
 * T tokens, K picks a token, E experts, R = T*K rows. An id below 0 means "none".
 */
export interface RoutingTable {
  /** Gives places under a capacity, rank by rank (every token's first choice, then every second ...), tokens in order of
   *  position, or of their highest first-choice score first. scores f32 [tokens,experts] orders next-best choices.
   *  ids i32 [tokens,k] -> kept i32 [tokens,k], -1 where dropped. DESIGN "Capacity, exactly". */
  assignCapacity(args: {
    ids: Buf;
    scores: Buf;
    kept: Buf;
    tokens: number;
    k: number;
    experts: number;
    capacity: number;
    overflow: "drop" | "next-best";
    priority: "position" | "score";
  }): void;
  /** The smallest set of highest-scored experts whose scores reach topP, at most k, at least 1.
   *  scores f32 [tokens,experts] -> ids i32 [tokens,k] in falling order, -1 past the set. */
  selectTopP(args: { scores: Buf; ids: Buf; tokens: number; k: number; experts: number; topP: number }): void;
  /** Expert choice: chosen i32 [experts,capacity] tokens of each expert -> row i32 [tokens,experts], the row e*capacity+c
   *  of each (token, expert), -1 if not chosen. */
  invertChoice(args: { chosen: Buf; row: Buf; tokens: number; experts: number; capacity: number }): void;
}

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
 * return; whoever looks at memory (`read`, `write`, `free`, `routing`, `mapping`) waits for those that were given it. What a kernel has to
 * say (no memory to work in: "memory") is said there, save by `free`, or by `finish`.
 */
export interface Kernels {
  readonly name: "reference" | "native" | "wasm";
  /** Instruction set in use: "amx", "avx512_bf16", "avx512", "avx2", "sse2", "neon", "simd128", "relaxed-simd" or "none". */
  readonly isa: string;
  readonly threads: number;
  readonly run: KernelTable;
  readonly routing: RoutingTable;
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
