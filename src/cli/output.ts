import { basename, relative } from "node:path";
import { CommanderError } from "commander";
import pc from "picocolors";
import { ConclaveError } from "../errors.ts";

/** Results go to stdout. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Writes a model's text to stdout. */
export function writeModelText(text: string, stream: NodeJS.WriteStream = process.stdout): void {
  stream.write(harmless(text, stream));
}

/**
 * A text that a model, a file or the hub made, for `stream`. On a terminal control characters other than newline and tab are spelled out,
 * \x1b, since what they do there (move, colour, answer, set the clipboard) is not for these to choose; into a file or pipe it goes as it is.
 */
export function harmless(text: string, stream: NodeJS.WriteStream = process.stdout): string {
  if (!stream.isTTY) return text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that are looked for
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** Progress and remarks go to stderr. */
export function remark(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A command line that a reader can copy: called as this program was, "node dist/cli/main.js" in a checkout. */
export function commandLine(...words: readonly string[]): string {
  const program = process.argv[1] ?? "";
  const call = basename(program) === "conclave" ? "conclave" : `node ${relative("", program)}`;
  return [call, ...words.map((word) => (/^[\w./:=-]+$/.test(word) ? word : JSON.stringify(word)))].join(" ");
}

/** 2 for wrong usage, 1 for all else. */
export function exitFor(error: unknown): number {
  if (error instanceof ConclaveError) return error.exit;
  return error instanceof CommanderError ? 2 : 1;
}

/** One line that says what is wrong and one that says what to do, unless the first does; a stack trace only when asked for. */
export function reportError(error: unknown, debug: boolean): void {
  const message =
    error instanceof Error
      ? error.message.replace(/^error: /, "").replaceAll(/\s*\n\s*/g, " ")
      : String(error);
  if (message === "(outputHelp)") return;
  remark(`${pc.red("error:")} ${harmless(message, process.stderr)}`);
  const remedy =
    error instanceof ConclaveError
      ? error.remedy
      : debug
        ? undefined
        : "this error was not foreseen: run again with --debug to see where it happened, and report it";
  if (remedy !== undefined) remark(`${pc.dim("fix:")} ${harmless(remedy, process.stderr)}`);
  if (debug && error instanceof Error && error.stack) remark(error.stack);
}

/** Columns padded to line up; the first to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, i) => Math.max(width(name), ...rows.map((row) => width(row[i] ?? ""))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell + pad(cell, widths[i]) : pad(cell, widths[i]) + cell))
      .join("  ")
      .trimEnd();
  return [pc.bold(line(head)), ...rows.map(line)].join("\n");
}

function pad(cell: string, to: number): string {
  return " ".repeat(Math.max(0, to - width(cell)));
}

/** Columns on a terminal: colour codes take none. */
function width(cell: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins a colour code
  return [...cell.replaceAll(/\u001b\[[0-9;]*m/g, "")].length;
}

/** 3,912,448 */
export function grouped(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}

/** 46.7 B, 3.91 M */
export function short(n: number): string {
  for (const [unit, size] of [
    ["T", 1e12],
    ["B", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ] as const) {
    if (n >= size) return `${(n / size).toPrecision(3)} ${unit}`;
  }
  return String(n);
}

/** 1.5 GiB */
export function bytes(n: number): string {
  for (const [unit, size] of [
    ["TiB", 2 ** 40],
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (n >= size) return `${(n / size).toFixed(1)} ${unit}`;
  }
  return `${n} B`;
}

/** 75 s, 2 min 5 s, 1 h 3 min */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 90) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}
