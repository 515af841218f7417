import type { Part } from "./part.ts";

/**
 * SentencePiece's table of replacements: a double-array trie of UTF-8 texts, then the texts that take their place, each ended by a zero.
 * Source: the crate spm_precompiled, which tokenizers uses. A cluster of characters of less than six bytes is looked up whole, where its
 * shortest beginning that is in the table counts; then each character for itself.
 */
export function precompiled(part: Part): (text: string) => string {
  const table = readTable(part);
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (text) => {
    let out = "";
    for (const { segment } of segmenter.segment(text)) {
      const whole = encoder.encode(segment);
      const replaced = whole.length < 6 ? table(whole) : undefined;
      if (replaced !== undefined) out += replaced;
      else for (const character of segment) out += table(encoder.encode(character)) ?? character;
    }
    return out;
  };
}

const encoder = new TextEncoder();

function readTable(part: Part): (key: Uint8Array) => string | undefined {
  const text = part.string("precompiled_charsmap", "");
  if (text === "") return () => undefined;
  const bytes = Uint8Array.from(base64(text, part));
  const size = bytes.length < 4 ? Number.NaN : new DataView(bytes.buffer).getUint32(0, true);
  if (!(size % 4 === 0 && size > 0 && 4 + size <= bytes.length))
    part.fail('has a damaged "precompiled_charsmap"');
  const units = new Uint32Array(bytes.slice(4, 4 + size).buffer);
  const texts = bytes.subarray(4 + size);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return (key) => {
    const at = shortest(units, key);
    if (at === undefined || at >= texts.length) return undefined;
    const end = texts.indexOf(0, at);
    return decoder.decode(texts.subarray(at, end < 0 ? undefined : end));
  };
}

function base64(text: string, part: Part): Iterable<number> {
  try {
    return Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return part.fail('has a "precompiled_charsmap" that is no base64');
  }
}

/** The value of the shortest beginning of a key that is in the trie. The layout of a unit is that of darts-clone. */
function shortest(units: Uint32Array, key: Uint8Array): number | undefined {
  const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let at = offset(units[0]!);
  for (const byte of key) {
    if (byte === 0) return undefined;
    at ^= byte;
    const unit = units[at] ?? 0;
    if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
    at ^= offset(unit);
    if ((unit >>> 8) & 1) return (units[at] ?? 0) & 0x7fffffff;
  }
  return undefined;
}
