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
  private readonly kept: { device: Device; positions: number; table: RopeTable }[] = [];

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
    for (const { table } of this.kept.splice(0)) {
      table.cos.dispose();
      table.sin.dispose();
    }
  }

  private table(device: Device, atLeast: number): RopeTable {
    const known = this.kept.find((one) => one.device === device && one.positions >= atLeast);
    if (known) return known.table;
    const positions = 2 ** Math.ceil(Math.log2(Math.max(atLeast, 64)));
    const table = withoutTape(() => ropeTable(device, positions, this.headDim, this.theta));
    keep(table.cos);
    keep(table.sin);
    // Smaller ones stay: a tape may still need them.
    this.kept.push({ device, positions, table });
    return table;
  }
}

/** Turns the heads of x [B, S, H, headDim] by their positions. */
export function rotate(x: Tensor, sequence: Sequence): Tensor {
  return rope(x, sequence.table, sequence.position_T);
}
