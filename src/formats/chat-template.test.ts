import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { type ChatMessage, ChatTemplate } from "./chat-template.ts";
import { readChatTemplate, readGgufChatTemplate } from "./chat-template-files.ts";

interface Case {
  readonly messages: ChatMessage[];
  readonly add_generation_prompt: boolean;
  readonly tools?: Record<string, unknown>[];
  readonly variables?: Record<string, unknown>;
}

/** What transformers renders; see test/golden/chat.py. */
const golden: {
  templates: Record<string, string>;
  tokens: Record<string, string>;
  cases: Case[];
  results: { template: string; case: number; text?: string; error?: string }[];
} = JSON.parse(await readFile(new URL("../../test/golden/formats/chat.json", import.meta.url), "utf8"));

const now = new Date(2026, 2, 7, 9, 5);
const user: ChatMessage = { role: "user", content: "hi" };

test.each(golden.results)("$template, conversation $case, as transformers renders it", (expected) => {
  const template = new ChatTemplate({
    templates: new Map([["default", golden.templates[expected.template]!]]),
    specialTokens: golden.tokens,
    name: "m",
  });
  const { messages, tools, variables, add_generation_prompt } = golden.cases[expected.case]!;
  const render = () =>
    template.render(messages, { addGenerationPrompt: add_generation_prompt, tools, variables, now });
  if (expected.error === undefined) expect(render()).toBe(expected.text);
  else expect(render).toThrow(`the chat template of m refuses the conversation: ${expected.error}`);
});

test("a folder's template: a text, several by name, or a file of its own that goes before", () => {
  const read = (chat_template: unknown, jinja?: string) =>
    readChatTemplate(
      { config: JSON.stringify({ chat_template, bos_token: { content: "<b>" }, eos_token: "<e>" }), jinja },
      "m",
    );
  expect(read(undefined)).toBeUndefined();
  expect(read("{{ bos_token }}x{{ eos_token }}")?.render([user])).toBe("<b>x<e>");
  expect(read("no", "{{ messages[0].content }}")?.render([user])).toBe("hi");
  const named = read([
    { name: "default", template: "plain" },
    { name: "tool_use", template: "tools" },
  ]);
  expect(named?.render([user])).toBe("plain");
  expect(named?.render([user], { tools: [{}] })).toBe("tools");
  expect(() =>
    read([
      { name: "rag", template: "a" },
      { name: "b", template: "c" },
    ])?.render([user]),
  ).toThrow(/rag, b, and no default/);
  expect(() => read(3)).toThrow(/chat_template is neither/);
});

test("a GGUF file's template knows the file's tokens", () => {
  const metadata = new Map<string, unknown>([
    ["tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"],
    ["tokenizer.chat_template.tool_use", "tools"],
    ["tokenizer.ggml.tokens", ["<u>", "<b>", "<e>"]],
    ["tokenizer.ggml.bos_token_id", 1],
    ["tokenizer.ggml.eos_token_id", 2],
  ]);
  const template = readGgufChatTemplate(metadata, "m.gguf");
  expect(template?.render([user])).toBe("<b>hi<e>");
  expect(template?.render([user], { tools: [{}] })).toBe("tools");
  expect(readGgufChatTemplate(new Map(), "m.gguf")).toBeUndefined();
});

test("a template that is none, or fails, says so", () => {
  const of = (text: string) =>
    new ChatTemplate({ templates: new Map([["default", text]]), specialTokens: {}, name: "m" });
  expect(() => of("{% for i in range(1000000000) %}{% endfor %}").render([user])).toThrow(/is too long/);
  expect(() => of("{% if %}")).toThrow(/the chat template of m cannot be parsed/);
  expect(() => of("{{ messages[0].content.nosuch() }}").render([user])).toThrow(
    /the chat template of m fails/,
  );
});
