import { fail } from "../errors.ts";
import {
  abi,
  abiHash,
  type Buf,
  type DType,
  dtypes,
  type KernelName,
  type KernelTable,
  longestList,
  type Storage,
} from "./abi.ts";

/**
 * How native and wasm kernels are called: both work on memory with addresses, and take a kernel's arguments as
 * doubles in the abi table's order. A buffer is two (address, place of its dtype in the list), dims are four, an enum is its
 * place in the list, a null buffer two zeros. A list is the address of its buffers, which stand behind the arguments, and their count.
 */

/** Doubles that any kernel's arguments fit in. No kernel takes two lists. */
export const slotCount: number =
  Math.max(...Object.values(abi).map((args) => width(Object.values(args)))) + 2 * longestList;

/** What compiled kernels need of their host to be called. */
export interface Linear {
  /**
   * The address of a storage's first byte, for the next call; `again`: for calls after that too, without asking anew. Throws ConclaveError
   * "state" when the storage was freed or is not of this host.
   */
  address(storage: Storage, again: boolean): number;
  /** Where arguments are written: `slotCount` doubles. */
  slots(): Float64Array;
  /** The address of the first slot. */
  readonly slotsAddress: number;
  /** How many storages were freed: addresses read before the last stay good. */
  freed(): number;
  /** Runs a kernel by its place in the abi table on the first `count` slots, at once or later; `list` is the slot that holds the address of
   *  a list among them, -1 if there is none. */
  call(kernel: number, count: number, list: number): void;
}

/** Refuses kernels that were compiled from another abi table: they would read their arguments from the wrong places. */
export function checkAbi(name: string, hash: number): void {
  if (hash >>> 0 !== abiHash)
    fail("kernels", `${name} was built from another version of Conclave`, "run `npm run build`");
}

const dtypePlace = Object.fromEntries(dtypes.map((dtype, place) => [dtype, place])) as Record<DType, number>;

/** Writes one argument at `slot`. */
type Write = (slots: Float64Array, slot: number, value: unknown) => void;

/** The kernel table of a host. */
export function linearTable(host: Linear): KernelTable {
  const entries = (Object.keys(abi) as KernelName[]).map((name, kernel) => [
    name,
    callOf(host, name, kernel),
  ]);
  // The types of abi and KernelTable come from the same table: every name is there, with its own arguments.
  return Object.fromEntries(entries) as KernelTable;
}

function callOf(host: Linear, name: KernelName, kernel: number): (args: Record<string, unknown>) => void {
  const kinds: readonly Kind[] = Object.values(abi[name]);
  const end = width(kinds);
  const fields = Object.keys(abi[name]).map((argument, i) => {
    const write = writerOf(host, `${name}: ${argument}`, kinds[i]!, end);
    return { argument, slot: width(kinds.slice(0, i)), write };
  });
  const list = fields[kinds.indexOf("bufs")]?.slot ?? -1;
  return (args) => {
    const slots = host.slots();
    for (const { argument, slot, write } of fields) write(slots, slot, args[argument]);
    host.call(kernel, list < 0 ? end : end + 2 * slots[list + 1]!, list);
  };
}

type Kind = string | readonly string[];

function width(kinds: readonly Kind[]): number {
  let slots = 0;
  for (const kind of kinds)
    slots += kind === "buf" || kind === "buf?" || kind === "bufs" ? 2 : kind === "dims" ? 4 : 1;
  return slots;
}

/** `end`: where the kernel's arguments end, and a list begins. */
function writerOf(host: Linear, label: string, kind: Kind, end: number): Write {
  if (typeof kind !== "string") return enumWriter(label, kind);
  switch (kind) {
    case "buf":
    case "buf?":
      return (slots, slot, value) => {
        const buf = value as Buf | null;
        slots[slot] = buf === null ? 0 : host.address(buf.storage, false) + buf.offset;
        slots[slot + 1] = buf === null ? 0 : dtypePlace[buf.dtype];
      };
    case "bufs":
      return listWriter(host, label, end);
    case "dims":
      return (slots, slot, value) => slots.set(value as readonly number[], slot);
    case "flag":
      return (slots, slot, value) => {
        slots[slot] = value === true ? 1 : 0;
      };
    default:
      return (slots, slot, value) => {
        slots[slot] = value as number;
      };
  }
}

/** What a list was written as, and how many storages were freed by then. */
interface Written {
  readonly freed: number;
  readonly doubles: Float64Array;
}

/** The same lists, of a model's weights, come again and again, so what is written for one is kept. */
function listWriter(host: Linear, label: string, end: number): Write {
  const known = new WeakMap<readonly Buf[], Written>();
  const read = (bufs: readonly Buf[]): Written => {
    if (bufs.length > longestList)
      fail("kernels", `${label}: a list of ${bufs.length} buffers; it takes ${longestList}`);
    const doubles = new Float64Array(2 * bufs.length);
    bufs.forEach((buf, i) => {
      doubles[2 * i] = host.address(buf.storage, true) + buf.offset;
      doubles[2 * i + 1] = dtypePlace[buf.dtype];
    });
    const written = { freed: host.freed(), doubles };
    known.set(bufs, written);
    return written;
  };
  return (slots, slot, value) => {
    const bufs = value as readonly Buf[];
    let written = known.get(bufs);
    if (written === undefined || written.freed !== host.freed()) written = read(bufs);
    slots.set(written.doubles, end);
    slots[slot] = host.slotsAddress + 8 * end;
    slots[slot + 1] = bufs.length;
  };
}

function enumWriter(label: string, names: readonly string[]): Write {
  const place = new Map(names.map((name, index) => [name, index]));
  return (slots, slot, value) => {
    slots[slot] =
      place.get(value as string) ??
      fail("kernels", `${label}: no "${String(value)}" among ${names.join(", ")}`);
  };
}
