import { join } from "node:path";
import { fail } from "../errors.ts";
import { writeFileAtomic } from "./files.atomic.ts";
import { type FileSource, openFile, pathExists, readText } from "./files.read.ts";
import { openSafetensors, openShards } from "./safetensors.ts";
import { safetensorsPieces } from "./safetensors-write.ts";
import type { TensorStore, TensorToStore } from "./store.ts";

/** Tensors on disk. Close them when done. */
export interface TensorFiles extends TensorStore {
  close(): Promise<void>;
}

/** Opens one safetensors file, or the tensors of a model folder: model.safetensors or its sharded form. */
export async function openTensors(path: string): Promise<TensorFiles> {
  if (path.endsWith(".safetensors")) return openWith(async (open) => openSafetensors(await open(path)));
  const single = join(path, "model.safetensors");
  if (await pathExists(single)) return openWith(async (open) => openSafetensors(await open(single)));
  const index = join(path, "model.safetensors.index.json");
  if (!(await pathExists(index)))
    fail(
      "file-missing",
      `${path} holds no model.safetensors and no index of shards`,
      "put the weights beside config.json, or fetch the whole model with `conclave pull`",
    );
  const text = await readText(index);
  return openWith((open) => openShards(text, index, (file) => open(join(path, file))));
}

/** Closes what was opened when opening fails half-way. */
export async function openWith<Store extends TensorStore>(
  read: (open: (path: string) => Promise<FileSource>) => Promise<Store>,
): Promise<Store & TensorFiles> {
  const files: FileSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(files.splice(0).map((file) => file.close()));
  };
  try {
    const store = await read(async (path) => {
      const file = await openFile(path);
      files.push(file);
      return file;
    });
    return { ...store, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Writes a safetensors file whole or not at all, tensor by tensor. */
export async function writeTensors(
  path: string,
  tensors: readonly TensorToStore[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  await writeFileAtomic(path, safetensorsPieces(tensors, metadata));
}
