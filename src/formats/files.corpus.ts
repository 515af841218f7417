import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { fail } from "../errors.ts";
import { fileError, openFile, pathExists } from "./files.read.ts";
import { type Document, decodeText, looksBinary, utf8Length } from "./text.ts";

/** What was read and what was passed over. */
export interface CorpusCounts {
  /** Text files read. */
  files: number;
  /** UTF-8 bytes of their text. */
  bytes: number;
  /** Byte sequences that were no UTF-8, each read as U+FFFD. */
  badSequences: number;
  /** Files passed over: a NUL byte near their start says they are no text. */
  binaryFiles: number;
  /** Files passed over because they have no text. */
  emptyFiles: number;
  /** Files passed over because another has the same text: twins would leak from training into held-out text. */
  duplicates: number;
}

export interface Corpus {
  readonly documents: readonly Document[];
  readonly counts: Readonly<CorpusCounts>;
}

/** Longest text a JavaScript string can hold, about. */
const longestFile = 2 ** 29 - 25;

/**
 * Reads text files and folders as documents. Folders are read with everything in them, in the order of names, except
 * names that begin with a dot, `node_modules`, and links to folders.
 *
 * Each path is a domain, named as `name=path` says or else after its last part ("data/novel.txt" is "novel"); paths that
 * would share such a name are called by their whole path, while a name given twice joins them.
 *
 * Errors: file-missing, disk; data where there is no text at all.
 */
export async function readCorpus(paths: readonly string[]): Promise<Corpus> {
  const documents: Document[] = [];
  const counts: CorpusCounts = {
    files: 0,
    bytes: 0,
    badSequences: 0,
    binaryFiles: 0,
    emptyFiles: 0,
    duplicates: 0,
  };
  const seen = new Set<string>();
  for (const { domain, path } of await namePaths(paths)) {
    for await (const file of filesUnder(path)) {
      const text = await readDocument(file, counts);
      if (text === undefined) continue;
      if (seen.has(text)) {
        counts.duplicates++;
        continue;
      }
      seen.add(text);
      counts.files++;
      counts.bytes += utf8Length(text);
      documents.push({ path: file, domain, text, start: 0 });
    }
  }
  if (documents.length === 0) {
    const passedOver = counts.binaryFiles > 0 ? ` (${counts.binaryFiles} binary files were passed over)` : "";
    fail(
      "data",
      `there is no text in ${paths.join(", ") || "the data: no path is given"}${passedOver}`,
      "give --data files or folders that hold UTF-8 text",
    );
  }
  return { documents, counts };
}

async function namePaths(paths: readonly string[]): Promise<{ domain: string; path: string }[]> {
  const named = await Promise.all(
    paths.map(async (given) => {
      const equals = given.indexOf("=");
      if (equals > 0 && !(await pathExists(given))) {
        if (equals === given.length - 1)
          fail("file-missing", `${given}: no path follows the name`, "write name=path");
        return { domain: given.slice(0, equals), path: given.slice(equals + 1), explicit: true };
      }
      return { domain: basename(given, extname(given)) || given, path: given, explicit: false };
    }),
  );
  return named.map(({ domain, path, explicit }) => {
    const shared = !explicit && named.filter((other) => other.domain === domain).length > 1;
    return { domain: shared ? path : domain, path };
  });
}

async function* filesUnder(path: string): AsyncGenerator<string> {
  const kind = await stat(path).catch((error) => {
    throw fileError("reading", path, error);
  });
  if (!kind.isDirectory()) {
    yield path;
    return;
  }
  const entries = await readdir(path, { withFileTypes: true }).catch((error) => {
    throw fileError("reading", path, error);
  });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
    const inside = join(path, entry.name);
    if (entry.isDirectory()) yield* filesUnder(inside);
    else if (await isFile(entry, inside)) yield inside;
  }
}

/** Sockets and the like are no files; links count as what they lead to, unless that is a folder or gone. */
async function isFile(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isFile();
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

async function readDocument(path: string, counts: CorpusCounts): Promise<string | undefined> {
  const file = await openFile(path);
  if (file.size > longestFile) {
    await file.close();
    fail("data", `${path} has ${file.size} bytes; a text file may have ${longestFile}`, "split the file");
  }
  const bytes = await file.read(0, file.size).finally(file.close);
  if (looksBinary(bytes)) {
    counts.binaryFiles++;
    return undefined;
  }
  const { text, replaced } = decodeText(bytes);
  if (text.trim() === "") {
    counts.emptyFiles++;
    return undefined;
  }
  counts.badSequences += replaced;
  return text;
}
