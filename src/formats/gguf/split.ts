/** GGUF models in several files: NAME-00001-of-00003.gguf and so on. The first holds the metadata of all. */
import { ConclaveError, fail } from "../../errors.ts";
import type { ByteSource } from "../source.ts";
import { type StoredTensor, storeOf, type TensorStore } from "../store.ts";
import { type GgufStore, openGguf } from "./read.ts";

const shardName = /^(.*)-(\d{5})-of-(\d{5})(\.gguf)$/is;

/**
 * Opens a GGUF model by its first file; the others are asked for by name where it says that it is split.
 *
 * Errors: as {@link openGguf}; file-damaged too where the parts do not belong together, and usage where the file is a
 * part that is not the first.
 *
 * @param open gives the source of a file beside the first
 */
export async function openGgufParts(
  first: ByteSource,
  firstName: string,
  open: (name: string) => Promise<ByteSource>,
): Promise<GgufStore> {
  const head = await openGguf(first);
  const count = head.gguf.number("split.count") ?? 1;
  if (count <= 1) return head;
  const [stem, ending] = stemOf(first.name, firstName, count, head.gguf.number("split.no") ?? 0);
  const parts: [name: string, GgufStore][] = [[firstName, head]];
  for (let part = 1; part < count; part++) {
    const name = partName(stem, part, count, ending);
    const source = await open(name).catch((error: unknown) => {
      if (!(error instanceof ConclaveError && error.code === "file-missing")) throw error;
      return fail(
        "file-missing",
        `${first.name} is part 1 of ${count}, and ${name} is not beside it`,
        `put all ${count} parts into one folder, under the names they were published with`,
      );
    });
    const store = await openGguf(source);
    if (store.gguf.number("split.no") !== part || store.gguf.number("split.count") !== count)
      fail(
        "file-damaged",
        `${name} does not say that it is part ${part + 1} of ${count}`,
        "fetch that part again",
      );
    parts.push([name, store]);
  }
  return join(first.name, head, parts);
}

function partName(stem: string, part: number, count: number, ending = ".gguf"): string {
  const digits = (number: number): string => String(number).padStart(5, "0");
  return `${stem}-${digits(part + 1)}-of-${digits(count)}${ending}`;
}

/** Whether a path is that of a GGUF file, by its ending in letters of either case. */
export function isGgufPath(path: string): boolean {
  return /\.gguf$/i.test(path);
}

/** What the names of all parts begin and end with. */
function stemOf(
  source: string,
  name: string,
  count: number,
  part: number,
): readonly [stem: string, ending: string] {
  const match = shardName.exec(name);
  if (!match || Number(match[3]) !== count)
    fail(
      "file-damaged",
      `${source} is one of ${count} parts; its name should end in ${partName("", part, count)}`,
      `put all ${count} parts into one folder, under the names they were published with`,
    );
  const [, stem, , , ending] = match! as unknown as [string, string, string, string, string];
  if (part !== 0)
    fail(
      "usage",
      `${source} is part ${part + 1} of ${count}`,
      `give the first part, ${partName(stem, 0, count, ending)}`,
    );
  return [stem, ending];
}

function join(source: string, head: GgufStore, parts: readonly [name: string, GgufStore][]): GgufStore {
  const tensors = new Map<string, StoredTensor>();
  const home = new Map<string, TensorStore>();
  for (const [file, store] of parts) {
    for (const [name, tensor] of store.tensors) {
      if (home.has(name))
        fail(
          "file-damaged",
          `${file}: the tensor ${JSON.stringify(name)} is in another part too`,
          "fetch all parts again, of one version",
        );
      tensors.set(name, tensor);
      home.set(name, store);
    }
  }
  const promised = head.gguf.number("split.tensors.count");
  if (promised !== undefined && promised !== tensors.size)
    fail(
      "file-damaged",
      `${source}: the parts hold ${tensors.size} tensors, the first says ${promised}`,
      "fetch all parts again, of one version",
    );
  return { ...head, tensors, read: (name, begin, end) => storeOf(home, name).read(name, begin, end) };
}
