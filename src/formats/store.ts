import { fail } from "../errors.ts";
import { type StoredDType, storedBytes } from "./dtypes.ts";
import type { ByteSource } from "./source.ts";

/** Where bytes lie in a local file. */
export interface Place {
  readonly path: string;
  /** In bytes from the start of the file. */
  readonly offset: number;
}

/** A stored tensor: where it is and what it is, without its bytes. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: StoredDType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Undefined where the tensor is not in a local file. */
  readonly place?: Place;
}

/** Named tensors in one file or in several. */
export interface TensorStore {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Free text that stands beside the tensors, such as format: "pt". */
  readonly metadata: ReadonlyMap<string, string>;
  /** The bytes of a tensor, or bytes `begin` to `end` of it. Throws model where there is no such tensor. */
  read(name: string, begin?: number, end?: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A tensor to store. `bytes` may be a function, called when its turn comes: one tensor at a time is then in memory. */
export interface TensorToStore {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

/** A stored tensor with the byte of its source where it begins. */
export interface PlacedTensor extends StoredTensor {
  readonly begin: number;
}

/** The store of tensors that lie in one source. */
export function placedStore(
  source: ByteSource,
  placed: readonly PlacedTensor[],
  metadata: ReadonlyMap<string, string>,
): TensorStore {
  const { path } = source;
  const begins = new Map(placed.map(({ name, begin }) => [name, begin]));
  const tensors = new Map(
    placed.map(({ begin, ...tensor }): [string, StoredTensor] => [
      tensor.name,
      path === undefined ? tensor : { ...tensor, place: { path, offset: begin } },
    ]),
  );
  return {
    tensors,
    metadata,
    async read(name, begin = 0, end) {
      const tensor =
        tensors.get(name) ?? fail("model", `${source.name} has no tensor ${JSON.stringify(name)}`);
      const stop = end ?? tensor.byteLength;
      if (!(begin >= 0 && begin <= stop && stop <= tensor.byteLength)) {
        fail(
          "shape",
          `${name}: bytes ${begin} to ${stop} were asked for, the tensor has ${tensor.byteLength}`,
        );
      }
      return source.read(begins.get(name)! + begin, stop - begin);
    },
  };
}

/** Which of several stores holds a tensor. Errors: model. */
export function storeOf(home: ReadonlyMap<string, TensorStore>, name: string): TensorStore {
  return home.get(name) ?? fail("model", `the checkpoint has no tensor ${JSON.stringify(name)}`);
}

/** The bytes of a tensor whose turn to be written has come. Errors: shape, where they do not fit its sizes. */
export async function bytesOf({ name, dtype, shape, bytes }: TensorToStore): Promise<Uint8Array> {
  const given = typeof bytes === "function" ? await bytes() : bytes;
  const expected = storedBytes(dtype, shape);
  if (given.length !== expected)
    fail("shape", `${name}: ${dtype} [${shape}] takes ${expected} bytes, ${given.length} were given`);
  return given;
}
