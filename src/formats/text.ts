import { fail } from "../errors.ts";

/** A text, or a piece of one, with the domain it belongs to. */
export interface Document {
  readonly path: string;
  /** A kind of text, such as "novel": experts are compared by the domains they are chosen for. */
  readonly domain: string;
  readonly text: string;
  /** Where in its file the piece begins, in UTF-16 units; 0 for a whole file. */
  readonly start: number;
}

export interface SplitOptions {
  /** Share of the bytes of each domain to hold out, above 0 and at most 0.5. */
  readonly heldOutShare: number;
  /** Which chunks are held out. Default 0. */
  readonly seed?: number;
  /** Longest chunk in bytes, about. Default 8192. */
  readonly chunkBytes?: number;
}

export interface Split {
  readonly train: readonly Document[];
  readonly heldOut: readonly Document[];
}

/**
 * Holds out a share of every domain for evaluation.
 *
 * Each document is cut into contiguous chunks, at the end of a line where there is one, else at a space. Walking over the
 * chunks of a domain, one is held out whenever the held-out bytes fall behind the share, so held-out text comes evenly
 * from everywhere; the seed moves where it starts. No byte is in both sets. Neighbouring chunks of a set are one piece.
 *
 * Errors: data, where a domain is too small to give both sets a piece.
 */
export function splitCorpus(documents: readonly Document[], options: SplitOptions): Split {
  const { heldOutShare, seed = 0, chunkBytes = 8192 } = options;
  if (!(heldOutShare > 0 && heldOutShare <= 0.5)) {
    fail("config", `heldOutShare must be above 0 and at most 0.5, not ${heldOutShare}`);
  }
  const train: Document[] = [];
  const heldOut: Document[] = [];
  for (const [domain, members] of groupByDomain(documents)) {
    const total = members.reduce((sum, { text }) => sum + utf8Length(text), 0);
    const limit = Math.max(1, Math.min(chunkBytes, Math.floor(total * heldOutShare)));
    const parts: [Document[], Document[]] = [[], []];
    // A fixed irrational step spreads the seeds' starting points evenly over one period.
    let owed = limit * (0.5 + ((seed * 0.6180339887498949) % 1) * 0.5);
    for (const document of members) {
      for (const chunk of chunksOf(document, limit)) {
        const bytes = utf8Length(chunk.text);
        owed += bytes * heldOutShare;
        const isHeldOut = owed >= bytes;
        if (isHeldOut) owed -= bytes;
        append(parts[isHeldOut ? 1 : 0], chunk);
      }
    }
    if (parts[0].length === 0 || parts[1].length === 0) {
      fail(
        "data",
        `the domain ${JSON.stringify(domain)} has ${total} bytes, too few to hold out ${heldOutShare * 100} %`,
        "give it more text, or join it with another domain: --data name=a name=b",
      );
    }
    train.push(...parts[0]);
    heldOut.push(...parts[1]);
  }
  if (train.length === 0)
    fail("data", "there is no text to train on", "give --data files or folders that hold UTF-8 text");
  return { train, heldOut };
}

function groupByDomain(documents: readonly Document[]): Map<string, Document[]> {
  const groups = new Map<string, Document[]>();
  for (const document of documents) {
    const group = groups.get(document.domain);
    if (group) group.push(document);
    else groups.set(document.domain, [document]);
  }
  return groups;
}

function* chunksOf(document: Document, limit: number): Generator<Document> {
  const { text, start } = document;
  for (let from = 0; from < text.length; ) {
    const to = cutAt(text, from, limit);
    yield { ...document, text: text.slice(from, to), start: start + from };
    from = to;
  }
}

/** The end of a chunk: after the last line that fits, else after the last space, else between two characters. */
function cutAt(text: string, from: number, limit: number): number {
  let to = from;
  for (let bytes = 0; to < text.length; ) {
    const size = utf8Size(text.codePointAt(to)!);
    bytes += size;
    if (bytes > limit && to > from) break;
    to += size === 4 ? 2 : 1;
  }
  if (to === text.length) return to;
  const line = text.lastIndexOf("\n", to - 1);
  if (line >= from) return line + 1;
  const space = text.lastIndexOf(" ", to - 1);
  return space > from ? space : to; // a space goes with the word after it, as tokenizers have it
}

/** Adds a chunk, joined to the last one where it goes on from it. */
function append(pieces: Document[], chunk: Document): void {
  const last = pieces.at(-1);
  if (last && last.path === chunk.path && last.start + last.text.length === chunk.start) {
    pieces[pieces.length - 1] = { ...last, text: last.text + chunk.text };
  } else pieces.push(chunk);
}

/** Bytes of `text` in UTF-8, without encoding it. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const size = utf8Size(text.codePointAt(i)!);
    if (size === 4) i++;
    bytes += size;
  }
  return bytes;
}

function utf8Size(code: number): number {
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

/** Text from bytes that should be UTF-8; each sequence that is none becomes U+FFFD and is counted. A BOM is dropped. */
export function decodeText(bytes: Uint8Array): { text: string; replaced: number } {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), replaced: 0 };
  } catch {
    const text = new TextDecoder("utf-8").decode(bytes);
    let replaced = 0;
    for (let at = text.indexOf("\ufffd"); at >= 0; at = text.indexOf("\ufffd", at + 1)) replaced++;
    for (let i = 0; i + 2 < bytes.length; i++) {
      if (bytes[i] === 0xef && bytes[i + 1] === 0xbf && bytes[i + 2] === 0xbd) replaced--; // this one was in the file
    }
    return { text, replaced };
  }
}

/** Whether bytes look like something other than text: a NUL among the first 8,192. */
export function looksBinary(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 8192).includes(0);
}
