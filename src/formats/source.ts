import { fail } from "../errors.ts";

/** Bytes that can be read in ranges: a file, a Blob, an HTTP resource, an array. */
export interface ByteSource {
  /** What errors call it: a path, a URL. */
  readonly name: string;
  /** Of the local file it is, if it is one: what can be mapped into memory. */
  readonly path?: string;
  /** Bytes in all. */
  readonly size: number;
  /** Exactly `length` bytes from `offset` on. Throws file-damaged where the source is shorter. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** What to do about a file that is cut off or not of its format. */
export const fetchAgain = "fetch or write the file again";

/** A source over bytes in memory. What it reads is a view, not a copy. */
export function bytesSource(bytes: Uint8Array<ArrayBuffer>, name = "bytes"): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(offset, length) {
      checkRange(name, bytes.length, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A source over a Blob or File of the browser: a checkpoint the visitor chose, read piece by piece. */
export function blobSource(blob: Blob, name = "blob"): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
  };
}

/** Throws file-damaged unless [offset, offset + length) lies within `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= size) return;
  fail(
    "file-damaged",
    `${name}: bytes ${offset} to ${offset + length} were asked for, the file has ${size}`,
    fetchAgain,
  );
}
