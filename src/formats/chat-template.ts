import { ConclaveError, fail } from "../errors.ts";
import { JinjaTemplate, Refusal } from "./template/template.ts";

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

/**
 * Turns a conversation into the text that a chat model was trained on; renders as transformers' apply_chat_template.
 *
 * Templates are Python's Jinja: methods of Python's str, Python's way to print values, Jinja's rules of scope. The interpreter in
 * template/ is our own because @huggingface/jinja 0.5.11 differed from transformers in 754 of the first 1,303 constructed
 * templates, 287 of them with other text and no error: its values are JavaScript's, so no step before or after it could mend
 * that. What only Python can do (str.encode, the address of a function) is an error that names it.
 */
export class ChatTemplate {
  private readonly parts: ChatTemplateParts;
  private readonly parsed = new Map<string, JinjaTemplate>();

  /** Errors: template, where a Jinja text does not parse. */
  constructor(parts: ChatTemplateParts) {
    this.parts = parts;
    for (const [key, text] of parts.templates) {
      try {
        this.parsed.set(key, new JinjaTemplate(text));
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
    const given = {
      ...this.parts.specialTokens,
      ...variables,
      messages,
      tools: tools ?? null,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
    };
    const template = this.choose(tools !== undefined);
    try {
      return template.render(given, now);
    } catch (error) {
      if (error instanceof Refusal)
        throw this.error(`refuses the conversation: ${error.message}`, error, refusalRemedy);
      throw this.error(`fails ${(error as Error).message}`, error, "give another with --template FILE");
    }
  }

  private choose(withTools: boolean): JinjaTemplate {
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

const refusalRemedy =
  "change the conversation as the template's words say (its roles, its system text), or give another with --template FILE";
