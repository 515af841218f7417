import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { ConclaveError, fail } from "../errors.ts";

/** One message of a conversation; templates may read further fields, such as tool_calls. */
export interface ChatMessage {
  /** "system", "user", "assistant", "tool", or what else the template knows. */
  readonly role: string;
  readonly content: string;
  readonly [field: string]: unknown;
}

export interface ChatOptions {
  /** Ends the text where the model's answer begins. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** JSON schemas of functions that the model may call. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
  /** Further variables that the template reads, such as enable_thinking. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What strftime_now tells. Default: the present. */
  readonly now?: Date;
}

/** What a chat template is made of. */
export interface ChatTemplateParts {
  /** Jinja texts by name; most models have only "default", some "tool_use" beside it. */
  readonly templates: ReadonlyMap<string, string>;
  /** Variables such as bos_token, with the tokens' texts. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** What errors call the template. */
  readonly name: string;
}

/** Turns a conversation into the text that a chat model was trained on; renders as transformers' apply_chat_template. */
export class ChatTemplate {
  private readonly parts: ChatTemplateParts;
  private readonly parsed = new Map<string, Template>();

  /** Errors: template, where a Jinja text does not parse. */
  constructor(parts: ChatTemplateParts) {
    this.parts = parts;
    for (const [key, text] of parts.templates) {
      try {
        this.parsed.set(key, new Template(text));
      } catch (error) {
        throw this.error(
          `cannot be parsed: ${(error as Error).message}`,
          error,
          "give another with --template FILE",
        );
      }
    }
    if (this.parsed.size === 0) fail("template", `${parts.name} holds no chat template`);
  }

  /** Variables such as bos_token, with the tokens' texts. */
  get specialTokens(): Readonly<Record<string, string>> {
    return this.parts.specialTokens;
  }

  /**
   * The text of a conversation. It names its begin-of-text token itself: encode it without adding special tokens.
   * Errors: template, with the words of the template where it refuses the conversation.
   */
  render(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    const { addGenerationPrompt = true, tools, variables = {}, now = new Date() } = options;
    const env = new Environment();
    const given = {
      ...constants,
      range,
      strftime_now: (format: string) => strftime(now, format),
      raise_exception: refuse,
      ...this.parts.specialTokens,
      ...variables,
      messages,
      tools: tools ?? null,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
    };
    for (const [key, value] of Object.entries(given)) env.set(key, value);
    try {
      const result: unknown = new Interpreter(env).run(this.choose(tools !== undefined).parsed);
      return (result as { value: string }).value;
    } catch (error) {
      if (error instanceof Refusal)
        throw this.error(
          `refuses the conversation: ${error.message}`,
          error,
          "change the conversation to what it takes, or give another template with --template FILE",
        );
      if (error instanceof ConclaveError) throw error;
      throw this.error(`fails: ${(error as Error).message}`, error, "give another with --template FILE");
    }
  }

  private choose(withTools: boolean): Template {
    const named = withTools ? this.parsed.get("tool_use") : undefined;
    const template =
      named ??
      this.parsed.get("default") ??
      (this.parsed.size === 1 ? [...this.parsed.values()][0] : undefined);
    return (
      template ??
      fail(
        "template",
        `${this.parts.name} holds the chat templates ${[...this.parsed.keys()].join(", ")}, and no default`,
        "give one with --template FILE",
      )
    );
  }

  private error(what: string, cause: unknown, remedy: string): ConclaveError {
    return new ConclaveError("template", `the chat template of ${this.parts.name} ${what}`, {
      remedy,
      cause,
    });
  }
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null };

class Refusal extends Error {}

function refuse(message: string): never {
  throw new Refusal(message);
}

/** Jinja's sandbox makes no longer range. */
const longestRange = 100_000;

/** Python's range. */
function range(start: number, stop?: number, step = 1): number[] {
  const [first, end] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) refuse("range() takes no step of 0");
  const length = Math.max(0, Math.ceil((end - first) / step));
  if (length > longestRange) refuse(`range() of ${length} is too long`);
  return Array.from({ length }, (_, i) => first + i * step);
}

const months = "January February March April May June July August September October November December".split(
  " ",
);
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** Python's strftime, local time, in English whatever the user's language: models were trained on that. */
function strftime(date: Date, format: string): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const fields: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    B: () => months[date.getMonth()]!,
    b: () => months[date.getMonth()]!.slice(0, 3),
    A: () => days[date.getDay()]!,
    a: () => days[date.getDay()]!.slice(0, 3),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    p: () => (date.getHours() < 12 ? "AM" : "PM"),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    "%": () => "%",
  };
  return format.replace(/%(-?)(.)/g, (whole, bare: string, field: string) => {
    const value = fields[field]?.() ?? whole;
    return bare ? value.replace(/^0(?=\d)/, "") : value;
  });
}
