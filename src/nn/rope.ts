import { type Device, keep, rope, ropeTable, type Tensor, tensor, withoutTape } from "../tensor/index.ts";

type RopeTable = ReturnType<typeof ropeTable>;

/**
 * Where the tokens of one forward pass stand: B sequences of S tokens, all from position `start` on. T =
 * B*S.
 */
export interface Sequence {
  readonly batch: number;
  readonly length: number;
  readonly start: number;
  /** i32 [T]: the position of each token. */
  readonly position_T: Tensor;
  readonly table: RopeTable;
}

/**
 * Rotary position embedding (Su et al. 2021), in the half-split layout of Hugging Face files: feature i
 * turns together with feature i + headDim/2 by position * theta^(-2i/headDim).
 */
export class Rotary {
  readonly headDim: number;
  readonly theta: number;
  private kept: { device: Device; positions: number; table: RopeTable } | null = null;

  constructor(headDim: number, theta: number) {
    this.headDim = headDim;
    this.theta = theta;
  }

  /**
   * Describes B sequences of S tokens from position `start` on; the table of angles is made once and grown
   * by doubling.
   */
  sequence(device: Device, batch: number, length: number, start: number): Sequence {
    const positions = Int32Array.from({ length: batch * length }, (_, t) => start + (t % length));
    return {
      batch,
      length,
      start,
      position_T: tensor(device, positions),
      table: this.table(device, start + length),
    };
  }

  dispose(): void {
    this.kept?.table.cos.dispose();
    this.kept?.table.sin.dispose();
    this.kept = null;
  }

  private table(device: Device, atLeast: number): RopeTable {
    if (this.kept?.device === device && this.kept.positions >= atLeast) return this.kept.table;
    this.dispose();
    const positions = 2 ** Math.ceil(Math.log2(Math.max(atLeast, 64)));
    const table = withoutTape(() => ropeTable(device, positions, this.headDim, this.theta));
    keep(table.cos);
    keep(table.sin);
    this.kept = { device, positions, table };
    return table;
  }
}

/** Turns the heads of x [B, S, H, headDim] by their positions. */
export function rotate(x: Tensor, sequence: Sequence): Tensor {
  return rope(x, sequence.table, sequence.position_T);
}
