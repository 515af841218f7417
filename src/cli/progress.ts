import pc from "picocolors";
import { duration, grouped } from "./output.ts";

/** What the view shows of a training step. */
export interface Progress {
  /** "moe" or "dense". */
  readonly model: string;
  readonly step: number;
  readonly steps: number;
  /** Bits per byte of the step's text, smoothed by the caller. */
  readonly bitsPerByte: number;
  readonly tokensPerSecond: number;
  /** Of this model's training. */
  readonly secondsLeft: number;
  /** [layer][E] share of places; empty for a dense model. */
  readonly load: readonly (readonly number[])[];
}

/** Where progress is shown. `note` puts a line above it that stays. */
export interface ProgressView {
  update(progress: Progress): void;
  note(line: string): void;
  /** Leaves the last state on the screen and starts anew below it. */
  close(): void;
}

/** A view that redraws itself where a person watches, plain lines where not. */
export function progressView(stream: NodeJS.WriteStream = process.stderr): ProgressView {
  return stream.isTTY && process.env.TERM !== "dumb" ? new LiveView(stream) : new PlainView(stream);
}

const redrawMilliseconds = 80;
const plainSeconds = 5;
const blocks = "▁▂▃▄▅▆▇█";

class LiveView implements ProgressView {
  private readonly stream: NodeJS.WriteStream;
  private drawn = 0;
  private last = 0;
  private pending: Progress | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
  }

  update(progress: Progress): void {
    this.pending = progress;
    const now = performance.now();
    if (now - this.last < redrawMilliseconds && progress.step < progress.steps) return;
    this.last = now;
    this.draw();
  }

  note(line: string): void {
    this.erase();
    this.stream.write(`${line}\n`);
    this.draw();
  }

  close(): void {
    this.draw();
    this.drawn = 0;
    this.pending = null;
  }

  private draw(): void {
    if (!this.pending) return;
    const lines = liveLines(this.pending, this.stream.columns || 80); // some terminals say 0
    const up = this.drawn > 0 ? `\r\u001b[${this.drawn}A` : ""; // a typed ^C has moved the cursor
    this.stream.write(`${up}${lines.map((line) => `\u001b[2K${line}\n`).join("")}\u001b[0J`);
    this.drawn = lines.length;
  }

  private erase(): void {
    if (this.drawn > 0) this.stream.write(`\r\u001b[${this.drawn}A\u001b[0J`);
    this.drawn = 0;
  }
}

class PlainView implements ProgressView {
  private readonly stream: NodeJS.WriteStream;
  private last = Number.NEGATIVE_INFINITY;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
  }

  update(progress: Progress): void {
    const now = performance.now();
    if (now - this.last < plainSeconds * 1000 && progress.step < progress.steps && progress.step > 1) return;
    this.last = now;
    this.stream.write(`${plainLine(progress)}\n`);
  }

  note(line: string): void {
    this.stream.write(`${line}\n`);
  }

  close(): void {}
}

function plainLine(progress: Progress): string {
  const { model, step, steps, bitsPerByte, tokensPerSecond, secondsLeft, load } = progress;
  const loads = load.length
    ? `, max/mean load ${load.map((shares) => peak(shares).toFixed(2)).join(" ")}`
    : "";
  const rate = `${grouped(tokensPerSecond)} tokens/s, ${duration(secondsLeft)} left`;
  return `${model} step ${step}/${steps}: ${bitsPerByte.toFixed(3)} bits/byte, ${rate}${loads}`;
}

function peak(shares: readonly number[]): number {
  return Math.max(...shares) * shares.length;
}

function liveLines(progress: Progress, columns: number): string[] {
  const { model, step, steps, bitsPerByte, tokensPerSecond, secondsLeft, load } = progress;
  const text = `${bitsPerByte.toFixed(3)} bits/byte  ${grouped(tokensPerSecond)} tokens/s  ${duration(secondsLeft)} left`;
  const counter = `${step}/${steps}`;
  const room = Math.min(40, columns - model.length - counter.length - text.length - 8);
  const filled = Math.round((step / steps) * room);
  const bar = () => pc.cyan("━".repeat(filled)) + pc.dim("━".repeat(room - filled));
  const lines = [
    // A line that wraps could not be drawn over.
    room >= 8
      ? `${pc.bold(model)} ${bar()} ${counter}  ${text}`
      : `${model} ${counter}  ${text}`.slice(0, columns - 1),
  ];
  return [...lines, ...load.map((shares, layer) => heatRow(layer, shares, columns))];
}

/** One block an expert: its height is the load against an even share (half height), idle ones blue, overloaded ones red. */
function heatRow(layer: number, shares: readonly number[], columns: number): string {
  const shown = shares.slice(0, Math.max(1, Math.floor((columns - 30) / 2)));
  const cells = shown.map((share) => {
    const ratio = share * shares.length;
    const block = blocks[Math.max(0, Math.min(blocks.length - 1, Math.round(ratio * 4) - 1))];
    if (ratio < 0.5) return pc.blue(block);
    return ratio > 1.6 ? pc.red(block) : pc.green(block);
  });
  return `  layer ${layer}  ${cells.join(" ")}${shown.length < shares.length ? " …" : ""}  ${pc.dim(`max/mean ${peak(shares).toFixed(2)}`)}`;
}
