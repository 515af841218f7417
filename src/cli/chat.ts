import { createInterface, type Interface } from "node:readline";
import type { Command } from "commander";
import pc from "picocolors";
import { ConclaveError, fail } from "../errors.ts";
import { loadChatTemplate, loadTokenizer, readText, writeFileAtomic } from "../formats/files.ts";
import { ChatTemplate } from "../formats/index.ts";
import { type AnswerOptions, Chat } from "../infer/index.ts";
import type { Decoder } from "../models/index.ts";
import { context, type Seed } from "../tensor/index.ts";
import { commandHelp } from "./chat-help.ts";
import { cacheLine, expertCacheOf } from "./expert-cache.ts";
import {
  checkPrecision,
  labelFor,
  openModel,
  productPrecision,
  readAnew,
  remarkCausality,
  resolveModel,
} from "./model.ts";
import { Notes } from "./notes.ts";
import { openDevice } from "./options.ts";
import { commandLine, grouped, print, printJson, remark, reportError, writeModelText } from "./output.ts";
import { type Sampling, samplingOf, seedFor, tellDefaults } from "./sampling.ts";
import { type ExpertCacheFlag, type SamplingFlags, usualTokens } from "./sampling-flags.ts";

interface ChatFlags extends SamplingFlags, ExpertCacheFlag {
  readonly system?: string;
  readonly template?: string;
  readonly label?: string;
  readonly precision: string;
  readonly json?: boolean;
}

/** Does what `conclave chat` was asked. */
export async function runChat(argument: string, flags: ChatFlags, command: Command): Promise<void> {
  const precision = checkPrecision(flags.precision);
  const path = await resolveModel(argument);
  const template = await templateOf(path, argument, flags.template);
  const tokenizer = await loadTokenizer(path);
  const { device } = await openDevice(command);
  const model = await openModel(path, device);
  remarkCausality(model, readAnew);
  const label = labelFor(model, flags.label);
  const experts = expertCacheOf(flags, model, device);
  const ctx = context({
    precision: productPrecision(precision, model),
    ...(experts && { tap: experts.tap }),
  });
  const chat = new Chat(model, { tokenizer, template, system: flags.system, label, ctx });
  try {
    await new Talk(chat, argument, flags, model).run();
    if (experts && !flags.json) remark(cacheLine(experts.figures));
  } finally {
    await chat.dispose();
    device.dispose();
  }
}

async function templateOf(path: string, argument: string, file: string | undefined): Promise<ChatTemplate> {
  const own = await loadChatTemplate(path).catch((error: unknown) => {
    if (file === undefined) throw error;
  });
  if (file === undefined)
    return (
      own ??
      fail(
        "template",
        `${argument} has no chat template: it was not trained to chat, or the file is gone`,
        `continue a text with ${commandLine("generate", argument, "Once upon a time")}, or give a template with --template FILE`,
      )
    );
  const templates = new Map([["default", await readText(file)]]);
  return new ChatTemplate({ templates, specialTokens: own?.specialTokens ?? {}, name: file });
}

/** Reads questions, writes answers. */
class Talk {
  private readonly chat: Chat;
  private readonly model: string;
  private readonly flags: ChatFlags;
  private readonly decoder: Decoder;
  private readonly notes: Notes;
  private readonly watched = process.stdin.isTTY === true && process.stdout.isTTY === true;
  /** Ends the answer under way. */
  private stop: AbortController | null = null;
  private leaving = false;
  /** No further line is taken. */
  private over = false;
  private readonly seed: Seed;

  constructor(chat: Chat, model: string, flags: ChatFlags, decoder: Decoder) {
    this.chat = chat;
    this.model = model;
    this.flags = flags;
    this.decoder = decoder;
    this.notes = new Notes(decoder);
    this.seed = seedFor(flags);
  }

  async run(): Promise<void> {
    const lines = createInterface({
      input: process.stdin,
      output: this.watched ? process.stdout : undefined,
      prompt: "> ",
    });
    // On a terminal readline hears Ctrl-C, elsewhere the process does.
    const interrupt = () => this.interrupt(lines);
    if (this.watched) lines.on("SIGINT", interrupt);
    else process.on("SIGINT", interrupt);
    for (const line of this.decoder.generation.notes) this.notes.add(line);
    tellDefaults(this.sampling());
    if (this.watched) remark(pc.dim("/help lists what you can type; Ctrl-D ends."));
    const { seed, temperature, json } = this.flags;
    if (seed === undefined && temperature !== 0 && !json) remark(pc.dim(`--seed ${this.seed}`));
    let open = true;
    lines.once("close", () => {
      open = false;
    });
    if (this.watched) lines.prompt();
    try {
      for await (const line of lines) {
        if (this.over) break;
        this.leaving = false;
        if (!(await this.take(line.trim()))) break;
        if (this.watched && open) lines.prompt();
      }
    } finally {
      process.off("SIGINT", interrupt);
      lines.close();
    }
  }

  private interrupt(lines: Interface): void {
    if (this.stop) {
      this.stop.abort();
      if (this.watched) return;
    } else if (this.watched && !this.leaving) {
      this.leaving = true;
      remark(pc.dim("\n(Ctrl-C again ends)"));
      lines.prompt();
      return;
    }
    if (!this.watched) process.exitCode = 130;
    this.over = true; // lines that were read ahead are still to come
    lines.close();
  }

  /**
   * Does what a line says; false when it ends the talk. On a terminal a failure is told and the talk goes on. In a pipe so does that of a
   * command, since the questions after it do not hang on it, and shows in the exit code; that of a question ends it.
   */
  private async take(line: string): Promise<boolean> {
    if (line === "/quit" || line === "/exit") return false;
    try {
      if (line.startsWith("/")) await this.obey(line);
      else if (line !== "") await this.ask(line);
    } catch (error) {
      if (!(error instanceof ConclaveError)) throw error;
      if (!this.watched) {
        if (!line.startsWith("/")) throw error;
        process.exitCode = error.exit;
      }
      reportError(error, false);
    }
    return true;
  }

  private async obey(line: string): Promise<void> {
    const [, word = "", rest = ""] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? [];
    if (word === "help") remark(commandHelp);
    else if (word === "reset") this.chat.reset();
    else if (word === "system") this.chat.reset(rest);
    else if (word === "retry") await this.ask(this.chat.takeBack());
    else if (word === "save" && rest !== "") await this.save(rest);
    else if (word === "save") fail("usage", "/save takes a file", "type /save talk.json");
    else fail("usage", `/${word}: there is no such command`, "/help lists them");
  }

  private async save(file: string): Promise<void> {
    const conversation = { model: this.model, messages: this.chat.messages };
    await writeFileAtomic(file, `${JSON.stringify(conversation, null, 2)}\n`);
    remark(`wrote ${file}`);
  }

  private async ask(text: string): Promise<void> {
    const stop = new AbortController();
    this.stop = stop;
    const { options: sampling, stop: stops } = this.sampling();
    // Each turn draws on, and the same talk with the same seed reads the same.
    const options: AnswerOptions = { ...sampling, seed: this.seed, stop: stops, signal: stop.signal };
    const ids: number[] = [];
    let answer = "";
    let reason: string | null = null;
    let began = 0;
    try {
      for await (const piece of this.chat.answer(text, options)) {
        if (piece.token) {
          began ||= performance.now();
          ids.push(piece.token.id);
          this.notes.checkPositions(this.chat.promptTokens + ids.length - 1);
        }
        answer += piece.text;
        reason = piece.finish;
        if (!this.flags.json) writeModelText(piece.text);
      }
    } finally {
      this.stop = null;
      if (!this.flags.json && answer !== "") print("");
    }
    if (this.flags.json)
      printJson({
        ids,
        text: answer,
        finish: reason,
        seed: this.seed,
        promptTokens: this.chat.promptTokens,
        defaults: this.sampling().defaults,
        notes: this.notes.lines,
      });
    if (this.watched) this.tell(ids.length, performance.now() - began, reason);
  }

  /** By the flags and the model's files, for the next turn. */
  private sampling(): Sampling {
    return samplingOf(this.flags, this.decoder, {
      maxTokens: usualTokens.chat,
      promptTokens: this.chat.length,
    });
  }

  private tell(tokens: number, milliseconds: number, reason: string | null): void {
    const rate = tokens > 1 ? `, ${((1000 * (tokens - 1)) / milliseconds).toFixed(0)} tokens/s` : "";
    const room = `${grouped(this.chat.length)} of ${grouped(this.decoder.reach)} positions`;
    const cut =
      reason === "max-tokens"
        ? "; cut at --max-tokens"
        : reason === "positions"
          ? "; no room left: /reset"
          : "";
    remark(pc.dim(`${tokens} tokens${rate}; ${room}${cut}`));
  }
}
