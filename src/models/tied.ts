/**
 * Whether the output layer is the embedding. config.json's tie_word_embeddings says what a model was built as; where the file holds both
 * matrices, their values decide, as in transformers 5.18: another head than the embedding is used as it is.
 */
import { type StoredTensor, type TensorStore, toFloat32 } from "../formats/index.ts";
import type { FileLayout } from "./layout.ts";
import { fileOf, renamed } from "./names.ts";

/** Bytes of each tensor that are compared at a time. */
const chunk = 2 ** 22;

/** Whether a file for a tied model holds a head of its own, that is not its embedding. */
export async function hasOwnHead(layout: FileLayout, store: TensorStore): Promise<boolean> {
  const head = store.tensors.get(fileOf(layout, "head.weight"));
  const embedding = store.tensors.get(fileOf(layout, "embedding.weight"));
  return head !== undefined && embedding !== undefined && !(await areEqual(head, embedding, store));
}

/** The store of a tied model, whose one matrix may stand under the name of the head. */
export function withEmbedding(layout: FileLayout, store: TensorStore): TensorStore {
  const head = fileOf(layout, "head.weight");
  const embedding = fileOf(layout, "embedding.weight");
  if (store.tensors.has(embedding) || !store.tensors.has(head)) return store;
  return renamed(
    store,
    new Map([...store.tensors.keys()].map((name) => [name === head ? embedding : name, name])),
  );
}

async function areEqual(a: StoredTensor, b: StoredTensor, store: TensorStore): Promise<boolean> {
  if (a.shape.join() !== b.shape.join()) return false;
  const elements = a.shape.reduce((product, size) => product * size, 1);
  const each = Math.max(
    1,
    elements > 0 ? Math.floor((chunk / Math.max(a.byteLength, b.byteLength)) * elements) : 1,
  );
  const read = async (one: StoredTensor, from: number, to: number): Promise<Float32Array> => {
    const width = one.byteLength / elements;
    return toFloat32(one.dtype, await store.read(one.name, from * width, to * width));
  };
  for (let from = 0; from < elements; from += each) {
    const to = Math.min(elements, from + each);
    const [x, y] = [await read(a, from, to), await read(b, from, to)];
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  }
  return true;
}
