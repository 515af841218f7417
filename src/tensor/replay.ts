import { fail } from "../errors.ts";
import type { Storage } from "../kernels/abi.ts";
import type { Recording } from "../kernels/kernels.ts";
import { Pool } from "./pool.ts";

/**
 * A piece of work on a device that can be done again without the JavaScript that led to it, as CUDA graphs do on GPUs: the same kernels
 * on the same memory. New inputs are written into the tensors that it read; its results are in the tensors that it gave.
 */
export class Replay {
  /** @internal What the work let go of: its own, until it ends. */
  readonly pool: Pool = new Pool();
  private recording: Recording | null = null;
  private readonly giveBack: (replay: Replay) => void;
  private ended = false;

  /** @internal Use {@link Device.record}. */
  constructor(giveBack: (replay: Replay) => void) {
    this.giveBack = giveBack;
  }

  /** False once it was disposed of, or a tensor that it uses is no more: its memory may be anybody's, its place taken by a larger one. */
  get usable(): boolean {
    return !this.ended;
  }

  /** What it holds besides results. */
  get bytes(): number {
    return this.pool.bytes;
  }

  /** Does the work again. Errors: "state" where it is not usable. */
  run(): void {
    const recording = this.recording ?? fail("state", "replay: something that it uses was freed");
    recording.replay();
  }

  /** Gives its memory back, but for the results that are still held. */
  dispose(): void {
    if (this.ended) return;
    this.ended = true;
    this.recording = null;
    this.giveBack(this);
  }

  /** @internal */
  start(recording: Recording): void {
    this.recording = recording;
  }

  /** @internal */
  uses(storage: Storage): boolean {
    return this.recording?.storages.has(storage) ?? true; // under way it may use anything
  }
}
