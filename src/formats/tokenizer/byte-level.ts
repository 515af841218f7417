/**
 * GPT-2's byte alphabet: each byte stands as one printable character in tokenizer.json, so that JSON can hold any
 * bytes. Printable Latin-1 bytes stand for themselves, the others take the characters from U+0100 on, in order.
 * Source: Radford et al. 2019, encoder.py `bytes_to_unicode`.
 */
const characters: readonly string[] = makeAlphabet();
const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  characters.map((character, byte) => [character, byte]),
);

function makeAlphabet(): string[] {
  const standsForItself = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(standsForItself(byte) ? byte : next++));
}

/** The 256 bytes in the order of their characters, which is the order a trained vocabulary lists them in. */
export const bytesInOrder: readonly number[] = [...characters.keys()].sort(
  (a, b) => characters[a]!.charCodeAt(0) - characters[b]!.charCodeAt(0),
);

/** Bytes as a string of the alphabet: " the" is "Ġthe". */
export function bytesToSurface(bytes: Iterable<number>): string {
  let surface = "";
  for (const byte of bytes) surface += characters[byte];
  return surface;
}

/** The bytes that a string of the alphabet stands for; undefined where a character is not of it. */
export function surfaceToBytes(surface: string): Uint8Array<ArrayBuffer> | undefined {
  const out = new Uint8Array(surface.length);
  for (let i = 0; i < surface.length; i++) {
    const byte = byteOfCharacter.get(surface[i]!);
    if (byte === undefined) return undefined;
    out[i] = byte;
  }
  return out;
}

/**
 * Bytes as a person can read them: text as it is, control characters as escapes (\n, \t, <0x07>), bytes that are no
 * whole UTF-8 character as <0xE2>.
 */
export function readable(bytes: Uint8Array): string {
  let out = "";
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length === 0) {
      out += hex(bytes[at]!);
      at++;
    } else {
      out += escapeControl(strict.decode(bytes.subarray(at, at + length)));
      at += length;
    }
  }
  return out;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes of the UTF-8 character at `at`, 0 where there is no whole one. */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const length =
    first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length < 2) return length;
  try {
    const piece = bytes.subarray(at, at + length);
    strict.decode(piece);
    return piece.length;
  } catch {
    return 0;
  }
}

function escapeControl(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "\\t";
  const code = character.codePointAt(0)!;
  const isControl = code < 0x20 || (code >= 0x7f && code < 0xa0);
  return isControl ? Array.from(new TextEncoder().encode(character), hex).join("") : character;
}

function hex(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

/** Half of a pair of code units is no character: it becomes U+FFFD, as when a text is written as UTF-8. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? text.replace(/\p{Surrogate}/gu, "\ufffd") : text;
}
