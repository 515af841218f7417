import { fail } from "../errors.ts";
import { isPlainDType, plainDTypes, storedBytes } from "./dtypes.ts";
import { parseJson } from "./json.ts";
import { type ByteSource, fetchAgain } from "./source.ts";
import { type PlacedTensor, placedStore, type StoredTensor, storeOf, type TensorStore } from "./store.ts";

/**
 * The safetensors format, read strictly: eight bytes of header length (little-endian), a JSON header
 * `{ name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__"?: { string: string } }`, then the data.
 * Tensors must cover the data exactly, with no overlap and no hole, so that no byte of a file goes unexplained.
 */

const longestHeader = 100_000_000;

/**
 * Reads the header of a safetensors file; tensors are read when asked for.
 *
 * Errors (file-damaged): a header that is too long, not JSON or not of the format; an unknown dtype; sizes that do not
 * agree with the offsets; overlaps, holes, bytes left over; a name given twice.
 */
export async function openSafetensors(source: ByteSource): Promise<TensorStore> {
  const damaged = damagedIn(source.name);
  if (source.size < 8) damaged(`a safetensors file has at least 8 bytes, this has ${source.size}`);
  const lengthBytes = await source.read(0, 8);
  const length = Number(new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 8).getBigUint64(0, true));
  if (length > longestHeader) damaged(`a header of ${length} bytes; at most ${longestHeader} are allowed`);
  if (8 + length > source.size)
    damaged(`the header should have ${length} bytes, the file ends after ${source.size - 8}`);

  const { tensors, metadata } = parseHeader(await source.read(8, length), damaged, source.name);
  checkCover(tensors, source.size - 8 - length, damaged);
  return placedStore(
    source,
    tensors.map((tensor) => ({ ...tensor, begin: 8 + length + tensor.begin })),
    metadata,
  );
}

type Damaged = (what: string, remedy?: string) => never;

function parseHeader(
  bytes: Uint8Array,
  damaged: Damaged,
  name: string,
): { tensors: PlacedTensor[]; metadata: Map<string, string> } {
  if (bytes[0] !== 0x7b) damaged('the header does not start with "{"; is this a safetensors file?');
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return damaged("the header is not UTF-8");
  }
  const tensors: PlacedTensor[] = [];
  const metadata = new Map<string, string>();
  for (const [key, value] of entriesOf(parseJson(text, `${name} (header)`), "the header", damaged)) {
    if (key !== "__metadata__") {
      tensors.push(parseEntry(key, value, damaged));
      continue;
    }
    if (value === null) continue; // some writers have it where they have nothing to say
    for (const [item, words] of entriesOf(value, "__metadata__", damaged)) {
      if (typeof words !== "string")
        damaged(`__metadata__ may hold only strings; ${JSON.stringify(item)} is none`);
      metadata.set(item, words as string);
    }
  }
  return { tensors, metadata };
}

function parseEntry(name: string, value: unknown, damaged: Damaged): PlacedTensor {
  const label = JSON.stringify(name);
  const entry = new Map(entriesOf(value, `tensor ${label}`, damaged));
  const dtype = entry.get("dtype");
  const shape = entry.get("shape");
  const offsets = entry.get("data_offsets");
  for (const key of entry.keys()) {
    if (!["dtype", "shape", "data_offsets"].includes(key))
      damaged(`tensor ${label} has an unknown field ${JSON.stringify(key)}`);
  }
  if (!isPlainDType(dtype))
    return damaged(
      `tensor ${label} has the unknown dtype ${JSON.stringify(dtype)}`,
      `save it as one of ${plainDTypes.join(", ")}`,
    );
  if (!isSizes(shape)) return damaged(`tensor ${label}: shape must be a list of whole numbers, 0 or more`);
  if (!isSizes(offsets) || offsets.length !== 2)
    return damaged(`tensor ${label}: data_offsets must be two whole numbers`);
  const [begin, end] = offsets as [number, number];
  const byteLength = storedBytes(dtype, shape);
  if (end - begin !== byteLength) {
    damaged(
      `tensor ${label}: ${dtype} [${shape}] takes ${byteLength} bytes, its offsets ${begin} to ${end} give ${end - begin}`,
    );
  }
  return { name, dtype, shape, byteLength, begin };
}

/** Sorted by place, every tensor must begin where the one before it ends, and the last must end with the file. */
function checkCover(tensors: readonly PlacedTensor[], dataBytes: number, damaged: Damaged): void {
  const inPlace = [...tensors].sort((a, b) => a.begin - b.begin || a.byteLength - b.byteLength);
  let covered = 0;
  for (const { name, begin, byteLength } of inPlace) {
    if (begin !== covered) {
      const what = begin < covered ? "overlaps the tensor before it" : "leaves a hole before it";
      damaged(`tensor ${JSON.stringify(name)} at ${begin} ${what}, which ends at ${covered}`);
    }
    covered += byteLength;
  }
  if (covered !== dataBytes) damaged(`the tensors take ${covered} bytes, the file holds ${dataBytes}`);
}

function entriesOf(value: unknown, what: string, damaged: Damaged): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return damaged(`${what} is no JSON object`);
  return Object.entries(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/**
 * Opens a sharded checkpoint from the text of its model.safetensors.index.json: every tensor of `weight_map` must be in
 * the file it names, and no file may hold a tensor that the map does not give it.
 *
 * @param openShard gives the source of a shard by its file name
 */
export async function openShards(
  indexText: string,
  indexName: string,
  openShard: (file: string) => Promise<ByteSource>,
): Promise<TensorStore> {
  const { weightMap, files } = readIndex(indexText, indexName);
  const stores = new Map<string, TensorStore>();
  for (const file of files) stores.set(file, await openSafetensors(await openShard(file)));
  return joinStores(stores, weightMap, damagedIn(indexName));
}

/** The files that the index of a sharded checkpoint names. Errors: as {@link openShards}. */
export function shardsOf(indexText: string, indexName: string): readonly string[] {
  return readIndex(indexText, indexName).files;
}

const damagedIn =
  (name: string): Damaged =>
  (what, remedy = fetchAgain) =>
    fail("file-damaged", `${name}: ${what}`, remedy);

function readIndex(
  text: string,
  name: string,
): { readonly weightMap: Map<string, unknown>; readonly files: readonly string[] } {
  const damaged = damagedIn(name);
  const index = new Map(entriesOf(parseJson(text, name), "the index", damaged));
  const weightMap = new Map(entriesOf(index.get("weight_map"), "weight_map", damaged));
  const files = [...new Set(weightMap.values())].map((file) =>
    typeof file === "string" && /^[^/\\]+$/.test(file) && file !== ".."
      ? file
      : damaged(`${JSON.stringify(file)} is no file name beside the index`),
  );
  return { weightMap, files };
}

function joinStores(
  stores: Map<string, TensorStore>,
  weightMap: Map<string, unknown>,
  damaged: Damaged,
): TensorStore {
  const tensors = new Map<string, StoredTensor>();
  const home = new Map<string, TensorStore>();
  const metadata = new Map<string, string>();
  for (const [file, store] of stores) {
    for (const [name, tensor] of store.tensors) {
      if (weightMap.get(name) !== file)
        damaged(`${file} holds the tensor ${JSON.stringify(name)}, which the index places elsewhere`);
      tensors.set(name, tensor);
      home.set(name, store);
    }
    for (const [key, value] of store.metadata) metadata.set(key, value);
  }
  for (const [name, file] of weightMap) {
    if (!tensors.has(name)) damaged(`the tensor ${JSON.stringify(name)} is not in ${String(file)}`);
  }
  return { tensors, metadata, read: (name, begin, end) => storeOf(home, name).read(name, begin, end) };
}
