import { fail } from "../errors.ts";
import type { ChatMessage, ChatOptions, ChatTemplate, Tokenizer } from "../formats/index.ts";
import type { Decoder } from "../models/index.ts";
import type { Context } from "../tensor/index.ts";
import type { RequestOptions } from "./options.ts";
import { Session } from "./session.ts";
import { type TextPiece, textOf } from "./text.ts";

export interface ChatSetup {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Tells the model how to behave; the first message of every conversation. */
  readonly system?: string;
  /** Of a model that routes by label: what the tokens are. */
  readonly label?: string;
  readonly ctx?: Context;
}

export interface AnswerOptions extends Omit<RequestOptions, "labels"> {
  /** The answer ends before the first of these. */
  readonly stop?: readonly string[];
  /** Tools and further variables for the template. */
  readonly chat?: Omit<ChatOptions, "addGenerationPrompt">;
}

/**
 * A conversation with a chat model. Keys and values are kept from turn to turn: of each turn only what is new is read.
 *
 *     const chat = new Chat(model, { tokenizer, template, system: "Be brief." });
 *     for await (const { text } of chat.answer("Who is Ishmael?", { maxTokens: 200 })) process.stdout.write(text);
 */
export class Chat {
  private readonly session: Session;
  private readonly setup: ChatSetup;
  private readonly eosIds: readonly number[];
  private systemText: string | undefined;
  private turns: ChatMessage[] = [];
  private read = 0;

  constructor(model: Decoder, setup: ChatSetup) {
    this.session = new Session(model, { ctx: setup.ctx });
    this.setup = setup;
    this.systemText = setup.system;
    this.eosIds = [...new Set([...model.eosIds, ...setup.tokenizer.endIds])];
  }

  /** The conversation so far. */
  get messages(): readonly ChatMessage[] {
    const system = this.systemText === undefined ? [] : [{ role: "system", content: this.systemText }];
    return [...system, ...this.turns];
  }

  /** Positions that the conversation takes in the model. */
  get length(): number {
    return this.session.length;
  }

  /** Tokens of the last turn's prompt, the conversation before it included. */
  get promptTokens(): number {
    return this.read;
  }

  /**
   * Says `text` and gives the answer as it is written. Ended early (by the signal, or by leaving the loop), what was
   * written so far counts as the answer; a turn that fails, or ends without a word, is as if it had never been.
   * Errors: template, where the template refuses the conversation; as {@link generate}.
   */
  async *answer(text: string, options: AnswerOptions): AsyncGenerator<TextPiece> {
    const { stop, chat, ...request } = options;
    const { tokenizer, template, label } = this.setup;
    const before = this.turns;
    this.turns = [...before, { role: "user", content: text }];
    let written = "";
    try {
      const ids = [...tokenizer.encode(template.render(this.messages, chat))];
      this.read = ids.length;
      const labels = label === undefined ? undefined : ids.map(() => label);
      const tokens = this.session.generate(ids, { eosIds: this.eosIds, ...request, labels });
      for await (const piece of textOf(tokens, tokenizer, stop)) {
        written += piece.text;
        yield piece;
      }
    } catch (error) {
      written = "";
      throw error;
    } finally {
      this.turns = written === "" ? before : [...this.turns, { role: "assistant", content: written }];
    }
  }

  /** Takes the last question and answer back and gives the question. Errors: "state", where there is none. */
  takeBack(): string {
    const question =
      this.turns.at(-2) ?? fail("state", "the conversation has no answer yet", "ask something first");
    this.turns = this.turns.slice(0, -2);
    return question.content;
  }

  /** Begins a new conversation; with `system`, under new instructions ("" for none). */
  reset(system: string | undefined = this.systemText): void {
    this.session.begin();
    this.systemText = system === "" ? undefined : system;
    this.turns = [];
  }

  async dispose(): Promise<void> {
    await this.session.dispose();
  }
}
