import { fail } from "../errors.ts";
import {
  abi,
  abiHash,
  type Buf,
  type DType,
  dtypes,
  type KernelName,
  type KernelTable,
  type Storage,
} from "./abi.ts";

/**
 * How native and wasm kernels are called: both work on memory with addresses, and take a kernel's arguments as
 * doubles in the abi table's order. A buffer is two (address, place of its dtype in the list), dims are four, an enum is its
 * place in the list, a null buffer two zeros.
 */

/** Doubles that any kernel's arguments fit in. */
export const slotCount: number = Math.max(...Object.values(abi).map((args) => width(Object.values(args))));

/** What compiled kernels need of their host to be called. */
export interface Linear {
  /** The address of a storage's first byte. Throws ConclaveError "state" when it was freed or is not of this host. */
  address(storage: Storage): number;
  /** Where arguments are written: `slotCount` doubles. */
  slots(): Float64Array;
  /** Runs a kernel by its place in the abi table on what stands in the slots. */
  call(kernel: number): void;
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
  let end = 0;
  const fields = Object.entries(abi[name]).map(([argument, kind]) => {
    const slot = end;
    end += width([kind]);
    return { argument, slot, write: writerOf(host, `${name}: ${argument}`, kind) };
  });
  return (args) => {
    const slots = host.slots();
    for (const { argument, slot, write } of fields) write(slots, slot, args[argument]);
    host.call(kernel);
  };
}

type Kind = string | readonly string[];

function width(kinds: readonly Kind[]): number {
  let slots = 0;
  for (const kind of kinds) slots += kind === "buf" || kind === "buf?" ? 2 : kind === "dims" ? 4 : 1;
  return slots;
}

function writerOf(host: Linear, label: string, kind: Kind): Write {
  if (typeof kind !== "string") return enumWriter(label, kind);
  switch (kind) {
    case "buf":
    case "buf?":
      return (slots, slot, value) => {
        const buf = value as Buf | null;
        slots[slot] = buf === null ? 0 : host.address(buf.storage) + buf.offset;
        slots[slot + 1] = buf === null ? 0 : dtypePlace[buf.dtype];
      };
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

function enumWriter(label: string, names: readonly string[]): Write {
  const place = new Map(names.map((name, index) => [name, index]));
  return (slots, slot, value) => {
    slots[slot] =
      place.get(value as string) ??
      fail("kernels", `${label}: no "${String(value)}" among ${names.join(", ")}`);
  };
}
