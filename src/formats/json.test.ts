import fc from "fast-check";
import { expect, test } from "vitest";
import { parseJson } from "./json.ts";

test.each([
  ['{\n  "a": 1,\n  "b" 2\n}', 'line 3, column 7: ":" is expected after the key "b"'],
  ['{"a": 1,}', "line 1, column 9: a key in double quotes is expected"],
  ['{"k": 1, "k": 2}', 'line 1, column 10: the key "k" is given twice'],
  ["[1, 2", "line 1, column 6: the text ends too early"],
  ["[01]", 'line 1, column 3: "," or "]" is expected'],
  ['"a\\x"', "line 1, column 3: no such escape"],
  ['\n"abc', "line 2, column 1: the text ends too early (a string is not closed)"],
  ['"a\nb"', "line 1, column 3: a control character"],
  ["", "line 1, column 1: the text ends too early (a value is expected)"],
  ["{} x", "line 1, column 4: the text goes on"],
  ["[".repeat(100_000), "nested deeper than 500"],
])("names the place of the fault in %j", (text, message) => {
  expect(() => parseJson(text, "c.json")).toThrow(expect.objectContaining({ code: "file-damaged" }));
  expect(() => parseJson(text, "c.json")).toThrow(message);
});

test("takes and refuses just what JSON.parse does", () => {
  const pieces = fc.array(
    fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"a"',
      '"b"',
      "1",
      "-0.5e3",
      "01",
      "true",
      "nul",
      " ",
      "\\",
      '"',
    ),
    { maxLength: 9 },
  );
  const texts = fc.oneof(
    fc.json(),
    pieces.map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(texts, (text) => {
      let expected: unknown;
      try {
        expected = JSON.parse(text);
      } catch {
        expect(() => parseJson(text, "x")).toThrow(/^x: line 1, column/);
        return;
      }
      try {
        expect(parseJson(text, "x")).toEqual(expected);
      } catch (error) {
        expect((error as Error).message).toContain("given twice");
      }
    }),
    { numRuns: 500, seed: 5 },
  );
});
