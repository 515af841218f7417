import { positionNote } from "../infer/index.ts";
import type { Decoder } from "../models/index.ts";
import { harmless, remark } from "./output.ts";

/** What a command says about a model besides its result: on stderr at once, and for --json in a list. */
export class Notes {
  readonly lines: string[];
  private readonly model: Decoder;
  private isBeyond = false;

  /** The model's own notes were said when it was opened: see `openModel`. */
  constructor(model: Decoder) {
    this.model = model;
    this.lines = [...model.notes];
  }

  add(line: string): void {
    this.lines.push(line);
    remark(harmless(line, process.stderr));
  }

  /** Says once that a text of so many positions is longer than those that the model was made for. */
  checkPositions(positions: number): void {
    const line = this.isBeyond ? null : positionNote(this.model, positions);
    if (line === null) return;
    this.isBeyond = true;
    this.add(line);
  }
}
