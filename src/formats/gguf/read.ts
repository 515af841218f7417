/**
 * The GGUF format (versions 2 and 3, little-endian), read strictly: magic, version, counts, key-value pairs, tensor
 * descriptions, then the tensors, each at a multiple of the alignment. GGUF gives a tensor's sizes innermost first; shapes
 * here are row-major, outermost first, so that they are reversed.
 */
import { fail } from "../../errors.ts";
import { type StoredDType, storedBytes } from "../dtypes.ts";
import { type ByteSource, fetchAgain } from "../source.ts";
import { type PlacedTensor, placedStore, type TensorStore } from "../store.ts";
import { type Cursor, type Damaged, HeaderReader } from "./cursor.ts";
import { GgufMetadata, type GgufValue, readTyped } from "./metadata.ts";
import { aligned, defaultAlignment, magic, mostDimensions, tensorTypes, unreadTypes } from "./types.ts";

export interface GgufStore extends TensorStore {
  readonly version: number;
  /** Everything the file says beside its tensors; `metadata` holds only what is text. */
  readonly gguf: GgufMetadata;
}

/** Magic, version, counts. */
const leastFile = 4 + 4 + 8 + 8;
const leastPair = 8 + 4 + 1;
const leastTensor = 8 + 4 + 4 + 8;

/**
 * Reads the header of a GGUF file; tensors are read when asked for.
 *
 * Errors: file-damaged, where the magic is wrong, the version unknown, the byte order big-endian, a count absurd, a value
 * or tensor of an unknown type, a name given twice, a tensor outside the file, out of alignment or over another; dtype,
 * where a tensor is of a type that ggml has and Conclave does not read.
 */
export async function openGguf(source: ByteSource): Promise<GgufStore> {
  const damaged: Damaged = (what, remedy = fetchAgain) =>
    fail("file-damaged", `${source.name}: ${what}`, remedy);
  const header = new HeaderReader(source, damaged);
  const version = await header.take((cursor) => readVersion(cursor, damaged));
  const counts = await header.take((cursor) => ({
    tensors: cursor.count("the count of tensors", leastTensor),
    pairs: cursor.count("the count of metadata keys", leastPair),
  }));

  const entries = new Map<string, GgufValue>();
  for (let i = 0; i < counts.pairs; i++) {
    const [key, value] = await header.take((cursor): [string, GgufValue] => {
      const name = cursor.string(`metadata key ${i}`);
      return [name, readTyped(cursor, name, damaged)];
    });
    if (entries.has(key)) damaged(`the metadata key ${JSON.stringify(key)} is given twice`);
    entries.set(key, value);
  }

  const described: PlacedTensor[] = [];
  for (let i = 0; i < counts.tensors; i++) {
    described.push(await header.take((cursor) => readTensor(cursor, i, source.name, damaged)));
  }
  const alignment = alignmentOf(entries.get("general.alignment"), damaged);
  const dataBegin = aligned(header.at, alignment);
  checkPlaces(described, source.size - dataBegin, alignment, damaged);
  const last = described.reduce((end, { begin, byteLength }) => Math.max(end, begin + byteLength), 0);
  const ends = [last > 0 ? dataBegin + last : header.at, dataBegin + aligned(last, alignment)];
  await refuseJoined(source, ends, alignment, entries);
  const texts = [...entries].filter((entry): entry is [string, string] => typeof entry[1] === "string");
  const placed = described.map((tensor) => ({ ...tensor, begin: dataBegin + tensor.begin }));
  return {
    ...placedStore(source, placed, new Map(texts)),
    version,
    gguf: new GgufMetadata(entries, source.name),
  };
}

/** Parts that were joined end to end: after the last tensor another file begins, and its tensors would be missed. */
async function refuseJoined(
  source: ByteSource,
  ends: readonly number[],
  alignment: number,
  entries: ReadonlyMap<string, GgufValue>,
): Promise<void> {
  for (const end of new Set(ends)) {
    if (end + alignment + leastFile > source.size) continue; // padding at most
    const next = String.fromCharCode(...(await source.read(end, magic.length)));
    if (next !== magic) continue;
    const count = entries.get("split.count");
    const parts =
      typeof count === "number" && count > 1 ? `the ${count} parts of a split model` : "several GGUF files";
    fail(
      "file-damaged",
      `${source.name}: ${parts} were joined end to end, as by cat: another file begins at byte ${end}`,
      "parts of GGUF models are not joined so: fetch them again and open the first with the others beside it, or join them with llama-gguf-split --merge",
    );
  }
}

function readVersion(cursor: Cursor, damaged: Damaged): number {
  const found = cursor.scalar(4, "the magic", (view, at) =>
    String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, 4)),
  );
  if (found !== magic)
    damaged(`the file begins with ${JSON.stringify(found)}, not with "GGUF"; is this a GGUF file?`);
  const version = cursor.u32("the version");
  if (version !== 0 && (version & 0xffff) === 0)
    damaged(
      "this is a big-endian GGUF file",
      "convert it to little-endian with llama.cpp's gguf_convert_endian.py",
    );
  if (version !== 2 && version !== 3)
    damaged(
      `this is version ${version} of GGUF; 2 and 3 can be read`,
      "convert the model anew with a present llama.cpp",
    );
  return version;
}

/** A tensor's description; `begin` is counted from the start of the data. */
function readTensor(cursor: Cursor, index: number, source: string, damaged: Damaged): PlacedTensor {
  const name = cursor.string(`the name of tensor ${index}`);
  const label = `tensor ${JSON.stringify(name)}`;
  const dimensions = cursor.u32(`the rank of ${label}`);
  if (dimensions > mostDimensions)
    damaged(`${label} has ${dimensions} dimensions; at most ${mostDimensions} are allowed`);
  const shape = Array.from({ length: dimensions }, () => cursor.u64(`a size of ${label}`)).reverse();
  const dtype = dtypeOf(cursor.u32(`the type of ${label}`), label, source, damaged);
  const byteLength = storedBytes(dtype, shape);
  if (Number.isNaN(byteLength))
    damaged(`${label}: ${dtype} [${shape}] is no whole number of blocks, or too large`);
  return { name, dtype, shape, byteLength, begin: cursor.u64(`the offset of ${label}`) };
}

function dtypeOf(id: number, label: string, source: string, damaged: Damaged): StoredDType {
  const dtype = tensorTypes.get(id);
  if (dtype) return dtype;
  const known =
    unreadTypes.get(id) ??
    damaged(
      `${label} has the unknown type ${id}`,
      `use a file in one of ${[...tensorTypes.values()].join(", ")}`,
    );
  return fail(
    "dtype",
    `${source}: ${label} is stored as ${known}, which cannot be read`,
    `use a file in one of ${[...tensorTypes.values()].join(", ")}`,
  );
}

function alignmentOf(value: GgufValue | undefined, damaged: Damaged): number {
  if (value === undefined) return defaultAlignment;
  if (typeof value !== "number" || !Number.isInteger(Math.log2(value)) || value < 1 || value > 2 ** 31)
    return damaged(`general.alignment must be a power of two; it is ${String(value)}`);
  return value;
}

/** Every tensor must lie in the data, at a multiple of the alignment, and over no other. */
function checkPlaces(
  tensors: readonly PlacedTensor[],
  dataBytes: number,
  alignment: number,
  damaged: Damaged,
): void {
  const names = new Set<string>();
  let covered = 0;
  let before = "";
  for (const { name, begin, byteLength } of [...tensors].sort(
    (a, b) => a.begin - b.begin || a.byteLength - b.byteLength,
  )) {
    const label = `tensor ${JSON.stringify(name)}`;
    if (names.has(name)) damaged(`${label} is given twice`);
    names.add(name);
    if (begin % alignment !== 0)
      damaged(`${label} at ${begin} is not at a multiple of the alignment, ${alignment}`);
    if (begin < covered)
      damaged(`${label} at ${begin} overlaps tensor ${JSON.stringify(before)}, which ends at ${covered}`);
    if (begin + byteLength > dataBytes)
      damaged(
        `${label} at ${begin} takes ${byteLength} bytes, the data ends at ${Math.max(0, dataBytes)}; is the file cut off?`,
      );
    [covered, before] = [begin + byteLength, name];
  }
}
