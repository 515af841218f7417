import type { ByteSource } from "../source.ts";

/** Says what is wrong with a file. */
export type Damaged = (what: string, remedy?: string) => never;

/** Thrown where the bytes read so far end; the file goes on. */
class ShortOfBytes extends Error {
  readonly end: number;
  constructor(end: number) {
    super("more bytes are needed");
    this.end = end;
  }
}

/** Reads little-endian values one after the other from the first bytes of a file. */
export class Cursor {
  at: number;
  private readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly view: DataView<ArrayBuffer>;
  private readonly size: number;
  private readonly damaged: Damaged;

  /** `bytes`: the first of a file of `size` bytes. */
  constructor(bytes: Uint8Array<ArrayBuffer>, at: number, size: number, damaged: Damaged) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = at;
    this.size = size;
    this.damaged = damaged;
  }

  /** Bytes of the file that are still to come. */
  get left(): number {
    return this.size - this.at;
  }

  /** Steps over `length` bytes, which must be there, and gives the place of the first. */
  step(length: number, what: string): number {
    if (!(length <= this.left))
      this.damaged(`${what} should take ${length} bytes at ${this.at}, the file ends after ${this.left}`);
    if (this.at + length > this.bytes.length) throw new ShortOfBytes(this.at + length);
    this.at += length;
    return this.at - length;
  }

  u32(what: string): number {
    return this.view.getUint32(this.step(4, what), true);
  }

  /** A count or an offset. Beyond 2^53 it cannot be right: no file is that long. */
  u64(what: string): number {
    const value = this.view.getBigUint64(this.step(8, what), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.damaged(`${what} is ${value}`);
    return Number(value);
  }

  /** How many things of at least `least` bytes follow; they must fit the rest of the file. */
  count(what: string, least: number): number {
    const count = this.u64(what);
    if (count * least > this.left)
      this.damaged(`${what} is ${count}, for which the ${this.left} bytes that follow are too few`);
    return count;
  }

  string(what: string): string {
    const length = this.u64(`the length of ${what}`);
    const begin = this.step(length, what);
    return decodeUtf8(this.bytes, begin, this.at, what, this.damaged);
  }

  slice(begin: number, end: number): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(begin, end);
  }

  scalar<T>(length: number, what: string, read: (view: DataView<ArrayBuffer>, at: number) => T): T {
    return read(this.view, this.step(length, what));
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const shortText = 24; // up to here, characters one by one are quicker than a call of TextDecoder

export function decodeUtf8(
  bytes: Uint8Array,
  begin: number,
  end: number,
  what: string,
  damaged: Damaged,
): string {
  if (end - begin <= shortText) {
    let text = "";
    let at = begin;
    for (; at < end && bytes[at]! < 0x80; at++) text += String.fromCharCode(bytes[at]!);
    if (at === end) return text;
  }
  try {
    return decoder.decode(bytes.subarray(begin, end));
  } catch {
    return damaged(`${what} is not UTF-8 text`);
  }
}

const firstRead = 2 ** 16;
/** Vocabularies make headers of some ten million bytes; a longer one than this is damage. */
const longestHeader = 2 ** 30;

/** The header of a file, of which only as many bytes are read as it turns out to have. */
export class HeaderReader {
  at = 0;
  private bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  private readonly source: ByteSource;
  private readonly damaged: Damaged;

  constructor(source: ByteSource, damaged: Damaged) {
    this.source = source;
    this.damaged = damaged;
  }

  /** What `read` makes of the bytes from here on. It is called again from the start where more of the file is needed. */
  async take<T>(read: (cursor: Cursor) => T): Promise<T> {
    for (;;) {
      const cursor = new Cursor(this.bytes, this.at, this.source.size, this.damaged);
      try {
        const value = read(cursor);
        this.at = cursor.at;
        return value;
      } catch (error) {
        if (!(error instanceof ShortOfBytes)) throw error;
        await this.grow(error.end);
      }
    }
  }

  private async grow(end: number): Promise<void> {
    if (end > longestHeader) this.damaged(`the header goes on beyond ${longestHeader} bytes`);
    const length = Math.min(this.source.size, Math.max(end, 2 * this.bytes.length, firstRead));
    const more = await this.source.read(this.bytes.length, length - this.bytes.length);
    const bytes = new Uint8Array(length);
    bytes.set(this.bytes);
    bytes.set(more, this.bytes.length);
    this.bytes = bytes;
  }
}
