import { constant, type Device, keep, type Tensor, withoutTape } from "../tensor/index.ts";

/**
 * Where the tokens of one forward pass stand: B sequences of S tokens each, or with a cache T tokens of any sequences as one
 * batch. T = B*S.
 */
export interface Sequence {
  readonly batch: number;
  readonly length: number;
  /** i32 [T]: the position of each token. */
  readonly position_T: Tensor;
  /** One past the last position of any token. */
  readonly end: number;
}

/** B sequences of S tokens, all from position `start` on. */
export function consecutive(device: Device, batch: number, length: number, start = 0): Sequence {
  const position_T = constant(device, `positions: ${batch} x ${length} from ${start}`, () =>
    Int32Array.from({ length: batch * length }, (_, t) => start + (t % length)),
  );
  return { batch, length, position_T, end: start + length };
}

/** The fewest positions a table is made for. */
const firstPositions = 64;

/** Tensors with a row for each position, made once for a device, and made anew twice as long when positions run out. */
export class PositionTable {
  private readonly make: (device: Device, positions: number) => readonly Tensor[];
  private readonly kept: { device: Device; positions: number; tensors: readonly Tensor[] }[] = [];

  constructor(make: (device: Device, positions: number) => readonly Tensor[]) {
    this.make = make;
  }

  /** The tensors, with rows for the positions below `end` at least. */
  upTo(device: Device, end: number): readonly Tensor[] {
    const known = this.kept.find((one) => one.device === device && one.positions >= end);
    if (known) return known.tensors;
    const positions = 2 ** Math.ceil(Math.log2(Math.max(end, firstPositions)));
    const tensors = withoutTape(() => this.make(device, positions)).map((made) => keep(made));
    // Shorter ones stay: a tape may still need them.
    this.kept.push({ device, positions, tensors });
    return tensors;
  }

  dispose(): void {
    for (const { tensors } of this.kept.splice(0)) for (const made of tensors) made.dispose();
  }
}
