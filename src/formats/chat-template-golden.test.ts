import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConclaveError } from "../errors.ts";
import { type ChatMessage, type ChatOptions, ChatTemplate } from "./chat-template.ts";

/** What transformers renders; see test/golden/chat.py. */
function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../test/golden/formats/${name}`, import.meta.url), "utf8"));
}

/** The clock of the golden script. */
const now = new Date(2026, 2, 7, 9, 5);

interface Constructed {
  readonly context: { messages: ChatMessage[]; tools: Record<string, unknown>[]; [name: string]: unknown };
  readonly tokens: Record<string, string>;
  readonly results: readonly {
    readonly group: string;
    readonly template: string;
    readonly text?: string;
    readonly raises?: string;
    readonly address?: boolean;
  }[];
}

const constructed = golden<Constructed>("chat_constructed.json");
const { messages, tools, ...variables } = constructed.context;

/** What Python renders and this interpreter refuses: none of it is of use in a prompt. */
const refused = new Map([
  ["{{ s.encode('utf8') }}", "the method str.encode is not supported"],
  ["{{ s.translate({}) }}", "the method str.translate is not supported"],
  [
    "{{ \"a\" ~ '\\u4e2d' ~ \"\\U0001f600\" }}{{ '\\ud83d\\ude00' | length }}",
    "the escape \\ud83d, half of a character, is not supported",
  ],
  ["{{ self }}", "the variable 'self' is not supported"],
]);

function ofText(text: string, specialTokens: Record<string, string>): ChatTemplate {
  return new ChatTemplate({ templates: new Map([["default", text]]), specialTokens, name: "m" });
}

/** The text, or the error that Conclave gives; other errors are a fault. */
function attempt(render: () => string): { text: string } | { error: string } {
  try {
    return { text: render() };
  } catch (error) {
    if (error instanceof ConclaveError && error.code === "template") return { error: error.message };
    throw error;
  }
}

test.each(["loops", "scopes", "macros", "filters", "strings", "values", "together", "whole"])(
  "%s as transformers renders them",
  (group) => {
    const cases = constructed.results.filter((one) => one.group === group);
    expect(cases.length).toBeGreaterThan(40);
    for (const { template, text } of cases) {
      const options: ChatOptions = { tools, variables, now, addGenerationPrompt: false };
      const got = attempt(() => ofText(template, constructed.tokens).render(messages, options));
      if (text === undefined || refused.has(template)) {
        expect(got, template).toHaveProperty("error");
        expect((got as { error: string }).error).toContain(refused.get(template) ?? "the chat template of m");
      } else expect(got, template).toEqual({ text });
    }
  },
);

test("the conversation reaches a template after a loop that was left", () => {
  const text =
    "{% for m in messages %}{% if m.role == 'system' %}<sys>{{ m.content }}</sys>\n{% break %}{% endif %}{% endfor %}!";
  expect(ofText(text, {}).render([{ role: "system", content: "Be brief." }])).toBe("<sys>Be brief.</sys>\n!");
});

interface Real {
  readonly tokens: Record<string, string>;
  readonly cases: readonly {
    messages: ChatMessage[];
    tools?: Record<string, unknown>[];
    variables?: Record<string, unknown>;
  }[];
  /** For each template's hash, the hash of each conversation's text without and with a prompt; null where it raises. */
  readonly results: Readonly<Record<string, readonly (string | null)[]>>;
}

const folder = process.env.CONCLAVE_CHAT_TEMPLATES;

test.skipIf(folder === undefined)("real templates of a folder as transformers renders them", () => {
  const { tokens, cases, results } = golden<Real>("chat_real.json");
  const digest = (text: string) => createHash("sha256").update(text).digest("hex");
  let known = 0;
  for (const { path, template } of templatesOf(folder!)) {
    const expected = results[digest(template)];
    if (!expected) continue;
    known++;
    const got = cases.flatMap(({ messages, tools, variables }) =>
      [false, true].map((addGenerationPrompt) => {
        const render = () =>
          ofText(template, tokens).render(messages, { tools, variables, now, addGenerationPrompt });
        const result = attempt(render);
        return "text" in result ? digest(result.text) : null;
      }),
    );
    expect(got, path).toEqual(expected);
  }
  expect(known).toBeGreaterThan(0);
});

function* templatesOf(root: string): Generator<{ path: string; template: string }> {
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" })) {
    const path = join(root, name);
    // As Python reads text: with newlines of one kind.
    const read = () => readFileSync(path, "utf8");
    if (name.endsWith(".jinja")) yield { path, template: read().replace(/\r\n?/g, "\n") };
    else if (name.endsWith("tokenizer_config.json")) {
      const { chat_template: stored } = JSON.parse(read());
      for (const one of typeof stored === "string" ? [{ template: stored }] : (stored ?? []))
        yield { path, template: one.template };
    }
  }
}
