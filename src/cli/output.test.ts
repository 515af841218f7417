import { expect, test } from "vitest";
import { writeModelText } from "./output.ts";

/** What reaches a stream that is a terminal, or is none. */
function written(text: string, isTTY: boolean): string {
  let out = "";
  const stream = { isTTY, write: (piece: string) => (out += piece) } as unknown as NodeJS.WriteStream;
  writeModelText(text, stream);
  return out;
}

test("a terminal is shown control characters, and obeys none but newline and tab", () => {
  const text = "a\tb\n\u001b]52;c;eA==\u0007\u009b31m\r\u007fé漢\u0000";
  expect(written(text, true)).toBe("a\tb\n\\x1b]52;c;eA==\\x07\\x9b31m\\x0d\\x7fé漢\\x00");
  expect(written(text, false)).toBe(text);
});
