import { mkdir, readdir, rm } from "node:fs/promises";
import { fileError } from "./files.read.ts";

/** Names in a folder, sorted; none when there is no such folder. */
export async function listFolder(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fileError("listing", path, error);
  }
}

/** Makes a folder, and those around it; one that is there already is no error. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw fileError("making", path, error);
  }
}

/** Deletes a file or folder with all in it, if it is there. */
export async function remove(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    throw fileError("deleting", path, error);
  }
}
