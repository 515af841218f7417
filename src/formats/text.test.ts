import fc from "fast-check";
import { expect, test } from "vitest";
import { type Document, decodeText, splitCorpus, utf8Length } from "./text.ts";

const lines = (count: number, word: string) =>
  Array.from({ length: count }, (_, i) => `${word} line ${i} of the text\n`).join("");

function corpus(): Document[] {
  return [
    { path: "a.txt", domain: "a", text: lines(4000, "first"), start: 0 },
    { path: "b1.txt", domain: "b", text: "one long line without an end ".repeat(900), start: 0 },
    { path: "b2.txt", domain: "b", text: "日本語のテキスト😀".repeat(700), start: 0 },
    { path: "c.txt", domain: "c", text: lines(8, "little"), start: 0 },
  ];
}

/** The pieces of a document in order must be the document, with nothing twice. */
function reassemble(pieces: readonly Document[], path: string): string {
  const own = pieces.filter((piece) => piece.path === path).sort((x, y) => x.start - y.start);
  let text = "";
  for (const piece of own) {
    expect(piece.start).toBe(text.length);
    text += piece.text;
  }
  return text;
}

test("train and held-out text are the whole text, once, and the share is kept in every domain", () => {
  const documents = corpus();
  const { train, heldOut } = splitCorpus(documents, { heldOutShare: 0.1, chunkBytes: 1024 });
  for (const { path, text } of documents) expect(reassemble([...train, ...heldOut], path)).toBe(text);
  for (const domain of ["a", "b", "c"]) {
    const bytes = (pieces: readonly Document[]) =>
      pieces
        .filter((piece) => piece.domain === domain)
        .reduce((sum, piece) => sum + utf8Length(piece.text), 0);
    const share = bytes(heldOut) / (bytes(heldOut) + bytes(train));
    expect(share).toBeGreaterThan(domain === "c" ? 0.02 : 0.08);
    expect(share).toBeLessThan(domain === "c" ? 0.3 : 0.12);
  }
});

test("cuts stand at line ends where there are lines, and never inside a character", () => {
  const { heldOut } = splitCorpus(corpus(), { heldOutShare: 0.1, chunkBytes: 1024 });
  for (const { path, text } of heldOut) {
    if (path === "a.txt") expect(text).toMatch(/^first line \d+ of[\s\S]*text\n$/);
    if (path === "b1.txt")
      expect(text.trim()).toMatch(
        /^(one|long|line|without|an|end)\b[\s\S]*\b(one|long|line|without|an|end)$/,
      );
    expect(text).not.toMatch(/^[\udc00-\udfff]|[\ud800-\udbff]$/);
  }
});

test("the seed chooses, the same seed chooses alike", () => {
  const split = (seed: number) => splitCorpus(corpus(), { heldOutShare: 0.1, seed, chunkBytes: 1024 });
  expect(split(1)).toEqual(split(1));
  expect(split(1).heldOut).not.toEqual(split(2).heldOut);
});

test("a domain too small to share, and no text at all, are errors", () => {
  const tiny: Document = { path: "t", domain: "tiny", text: "x", start: 0 };
  expect(() => splitCorpus([...corpus(), tiny], { heldOutShare: 0.1 })).toThrow(
    /"tiny" has 1 bytes, too few/,
  );
  expect(() => splitCorpus([], { heldOutShare: 0.1 })).toThrow(/no text/);
  expect(() => splitCorpus(corpus(), { heldOutShare: 0 })).toThrow(/heldOutShare/);
});

test("bytes that are no UTF-8 become U+FFFD and are counted; those in the text are not", () => {
  expect(decodeText(Uint8Array.of(0x61, 0xff, 0x62, 0xe2, 0x82))).toEqual({
    text: "a\ufffdb\ufffd",
    replaced: 2,
  });
  expect(decodeText(new TextEncoder().encode("\ufffd ok"))).toEqual({ text: "\ufffd ok", replaced: 0 });
  expect(decodeText(Uint8Array.of(0xef, 0xbf, 0xbd, 0xff)).replaced).toBe(1);
});

const anyText = fc.array(fc.nat(0x10ffff)).map((codes) => String.fromCodePoint(...codes));

test("utf8Length is what encoding gives", () => {
  fc.assert(fc.property(anyText, (text) => utf8Length(text) === new TextEncoder().encode(text).length));
  expect(utf8Length("\ud800a\udc00")).toBe(new TextEncoder().encode("\ud800a\udc00").length);
});
