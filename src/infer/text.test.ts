import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { readTokenizer, type TextStream, type Tokenizer } from "../formats/index.ts";
import { tokenizerFiles } from "../formats/tokenizer/hugging-face.ts";
import { trainBpe } from "../formats/tokenizer/train.ts";
import type { GeneratedToken } from "./options.ts";
import { StopCutter, type TextPiece, textOf } from "./text.ts";

function cut(stops: readonly string[], pieces: readonly string[]): { shown: string[]; stopped: boolean } {
  const cutter = new StopCutter(stops);
  const shown: string[] = [];
  for (const piece of pieces) {
    const { text, stopped } = cutter.push(piece);
    shown.push(text);
    if (stopped) return { shown, stopped };
  }
  return { shown: [...shown, cutter.end()], stopped: false };
}

test.each<[string, string[], string[], string[], boolean]>([
  ["nothing to stop at", [], ["ab", "c"], ["ab", "c", ""], false],
  ["within a piece", ["lo w"], ["hello world"], ["hel"], true],
  ["across pieces", ["STOP"], ["ab S", "TO", "P cd"], ["ab ", "", ""], true],
  ["a false start is shown after all", ["STOP"], ["ab ST", "AY"], ["ab ", "STAY", ""], false],
  ["a false start that begins anew", ["aab"], ["xaa", "ab"], ["x", "a"], true],
  ["held back until the end", ["\n\nUser"], ["yes\n", "\n"], ["yes", "", "\n\n"], false],
  ["the first of several", ["b", "ab"], ["xx", "yab"], ["xx", "y"], true],
])("stop strings: %s", (_, stops, pieces, shown, stopped) => {
  expect(cut(stops, pieces)).toEqual({ shown, stopped });
});

test("an empty stop string is refused", () => {
  expect(() => new StopCutter(["a", ""])).toThrow("empty string");
});

/** Ids are characters. */
const letters = {
  stream: (): TextStream => ({ push: (id) => String.fromCharCode(id), end: () => "!" }),
} as Tokenizer;

async function* tokensOf(text: string, last: GeneratedToken["finish"]): AsyncGenerator<GeneratedToken> {
  const ids = [...text].map((letter) => letter.charCodeAt(0));
  for (const [index, id] of ids.entries())
    yield {
      id,
      index,
      logProbability: 0,
      alternatives: [],
      routes: null,
      finish: index === ids.length - 1 ? last : null,
    };
}

async function pieces(tokens: AsyncIterable<GeneratedToken>, stop: string[]): Promise<TextPiece[]> {
  const all: TextPiece[] = [];
  for await (const piece of textOf(tokens, letters, stop)) all.push(piece);
  return all;
}

test("text of tokens ends at a stop string, and the tokens are left there", async () => {
  const tokens = tokensOf("abcdef", "max-tokens");
  const all = await pieces(tokens, ["cd"]);
  expect(all.map(({ text }) => text).join("")).toBe("ab");
  expect(all.map(({ finish }) => finish)).toEqual([null, null, null, "stop"]);
  expect((await tokens.next()).done).toBe(true);
});

test("text that goes on from other ids keeps the space that a text of its own has not", async () => {
  const file = new URL("../../test/golden/formats/sentencepiece-style.json", import.meta.url);
  const { tokenizer: json } = JSON.parse(await readFile(file, "utf8"));
  const tokenizer = readTokenizer({ tokenizer: JSON.stringify(json), config: "{}" });
  const ids = [...tokenizer.encode("the thing")];
  expect(tokenizer.decode(ids.slice(0, 1))).toBe("the");
  async function* rest(): AsyncGenerator<GeneratedToken> {
    for (const [index, id] of ids.slice(1).entries())
      yield { id, index, logProbability: 0, alternatives: [], routes: null, finish: null };
  }
  const textAfter = async (after?: number[]) => {
    let text = "";
    for await (const piece of textOf(rest(), tokenizer, [], after)) text += piece.text;
    return text;
  };
  expect(await textAfter(ids.slice(0, 1))).toBe(" thing");
  expect(await textAfter()).toBe("thing");
});

test("text of tokens says why it ends, without the text of an end token", async () => {
  const ended = await pieces(tokensOf("abE", "end"), []);
  expect(ended.map(({ text }) => text).join("")).toBe("ab!");
  expect(ended.at(-1)).toEqual({ text: "!", token: null, finish: "end" });
  expect((await pieces(tokensOf("ab", "max-tokens"), ["bc"])).map(({ text }) => text)).toEqual([
    "a",
    "",
    "b!",
  ]);
});

test("ids that the tokenizer does not know have no text, between the bytes of a character too", async () => {
  const own = readTokenizer(tokenizerFiles(trainBpe(["abc"], { vocabSize: 257 })));
  const [first, second] = own.encode("é");
  const beyond = own.vocabSize;
  async function* tokens(): AsyncGenerator<GeneratedToken> {
    for (const [index, id] of [beyond, first!, beyond + 9, second!, beyond].entries())
      yield { id, index, logProbability: 0, alternatives: [], routes: null, finish: null };
  }
  let text = "";
  for await (const piece of textOf(tokens(), own, [], [beyond])) text += piece.text;
  expect(text).toBe("é");
});
