import { basename, dirname, join } from "node:path";
import { writeFileAtomic } from "./files.atomic.ts";
import { openWith, type TensorFiles } from "./files.safetensors.ts";
import type { GgufStore } from "./gguf/read.ts";
import { openGgufParts } from "./gguf/split.ts";
import { ggufPieces, type TypedValue } from "./gguf/write.ts";
import type { TensorToStore } from "./store.ts";

/** A GGUF model on disk, of one file or several. Close it when done. */
export type GgufFiles = GgufStore & TensorFiles;

/** Opens a GGUF file, and where it is the first of several, those beside it. Errors as {@link openGgufParts}. */
export async function openGgufFile(path: string): Promise<GgufFiles> {
  return openWith(async (open) =>
    openGgufParts(await open(path), basename(path), (name) => open(join(dirname(path), name))),
  );
}

/** Writes a GGUF file whole or not at all, tensor by tensor. */
export async function writeGguf(
  path: string,
  tensors: readonly TensorToStore[],
  metadata?: Readonly<Record<string, TypedValue>>,
): Promise<void> {
  await writeFileAtomic(path, ggufPieces(tensors, metadata));
}
