import { fileURLToPath } from "node:url";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { fail } from "../errors.ts";
import { ChatTemplate, type Tokenizer } from "../formats/index.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { type Decoder, loadModel } from "../models/index.ts";
import { Device } from "../tensor/index.ts";
import { Chat } from "./chat.ts";
import { generate } from "./generate.ts";

const alphabet = Array.from({ length: 64 }, (_, id) => String.fromCharCode(58 + id));
/** The characters from ":" to "y"; none is special. */
const tokenizer: Tokenizer = {
  vocabSize: 64,
  bosId: null,
  eosId: null,
  endIds: [],
  encode: (text) => Int32Array.from([...text], (character) => alphabet.indexOf(character)),
  decode: (ids) => Array.from(ids, (id) => alphabet[id]).join(""),
  bytes: (id) => new TextEncoder().encode(alphabet[id]),
  token: (id) => alphabet[id]!,
  stream: () => ({ push: (id) => alphabet[id]!, end: () => "" }),
};
const template = new ChatTemplate({
  templates: new Map([
    [
      "default",
      "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not that') }}{% endif %}" +
        "{{ m.role[0] + m.content + '_' }}{% endfor %}{{ 'a' if add_generation_prompt }}",
    ],
  ]),
  specialTokens: {},
  name: "m",
});

let model: Decoder;
let chat: Chat;
beforeAll(async () => {
  const folder = fileURLToPath(new URL("../../test/golden/mixtral", import.meta.url));
  model = await loadModel(folder, new Device(createReferenceKernels()));
});
beforeEach(() => {
  chat = new Chat(model, { tokenizer, template, system: "A" });
});

async function say(text: string, maxTokens = 5, signal?: AbortSignal): Promise<string> {
  let answer = "";
  for await (const piece of chat.answer(text, { maxTokens, eosIds: [], signal })) answer += piece.text;
  return answer;
}

/** What the model says to a whole conversation that it reads from nothing. */
async function anew(text: string): Promise<string> {
  const ids: number[] = [];
  for await (const { id } of generate(model, [...tokenizer.encode(text)], { maxTokens: 5, eosIds: [] }))
    ids.push(id);
  return tokenizer.decode(ids);
}

test("each turn reads the whole conversation, though only what is new is computed", async () => {
  const first = await say("hi");
  expect(first).toBe(await anew("sA_uhi_a"));
  expect(await say("more")).toBe(await anew(`sA_uhi_a${first}_umore_a`));
  expect(chat.messages.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user", "assistant"]);
  expect(chat.promptTokens).toBe(`sA_uhi_a${first}_umore_a`.length);
});

test("an answer taken back is asked for again, and a new conversation knows nothing of the old", async () => {
  const first = await say("hi");
  await say("more");
  expect(chat.takeBack()).toBe("more");
  expect(await say("less")).toBe(await anew(`sA_uhi_a${first}_uless_a`));
  chat.reset("B");
  expect(() => chat.takeBack()).toThrow(/no answer yet/);
  expect(await say("hi")).toBe(await anew("sB_uhi_a"));
  chat.reset("");
  expect(chat.messages).toEqual([]);
});

test("what was said before a stop counts; a turn that fails has not been", async () => {
  const stop = new AbortController();
  let heard = "";
  for await (const piece of chat.answer("hi", { maxTokens: 50, eosIds: [], signal: stop.signal })) {
    heard += piece.text;
    if (heard.length === 2) stop.abort();
  }
  expect(heard.length).toBeLessThan(50);
  expect(chat.messages.at(-1)).toEqual({ role: "assistant", content: heard });
  await expect(say("no")).rejects.toThrow(/refuses the conversation: not that/);
  expect(chat.messages).toHaveLength(3);
  Object.defineProperty(model, "mostPositions", { value: 128, configurable: true });
  await expect(say("x".repeat(200))).rejects.toThrow(/positions/);
  Reflect.deleteProperty(model, "mostPositions");
  expect(await say("more")).toBe(await anew(`sA_uhi_a${heard}_umore_a`));
  let pushed = 0;
  const push = (id: number) => (++pushed > 2 ? fail("tokenizer", "no such token") : alphabet[id]!);
  chat = new Chat(model, { template, tokenizer: { ...tokenizer, stream: () => ({ push, end: () => "" }) } });
  await expect(say("hi")).rejects.toThrow("no such token");
  expect(chat.messages).toEqual([]);
});

test("each turn draws on from the seed; the same seed and talk give the same words, as one begun anew does", async () => {
  const talk = async (seed: number | string): Promise<string[]> => {
    const answers: string[] = [];
    for (const question of ["hi", "hi", "hi"]) {
      let answer = "";
      const options = { maxTokens: 24, eosIds: [], temperature: 50, seed };
      for await (const piece of chat.answer(question, options)) answer += piece.text;
      answers.push(answer);
    }
    return answers;
  };
  // At such a temperature the draws alone decide.
  const first = await talk(2 ** 40 + 3);
  expect(new Set(first).size).toBe(3);
  const common = [...first[0]].filter((letter, i) => letter === first[1][i]).length;
  expect(common).toBeLessThan(8);
  chat.reset();
  expect(await talk(2 ** 40 + 3)).toEqual(first);
  chat = new Chat(model, { tokenizer, template, system: "A" });
  expect(await talk(String(2 ** 40 + 3))).toEqual(first);
  chat.reset();
  expect(await talk(3)).not.toEqual(first);
  // The first turn draws as generate does.
  chat.reset();
  const prompt = [...tokenizer.encode(template.render([...chat.messages, { role: "user", content: "hi" }]))];
  const ids: number[] = [];
  for await (const { id } of generate(model, prompt, {
    maxTokens: 24,
    eosIds: [],
    temperature: 50,
    seed: 2 ** 40 + 3,
  }))
    ids.push(id);
  expect(tokenizer.decode(ids)).toBe(first[0]);
});
