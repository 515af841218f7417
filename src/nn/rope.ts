import { fail } from "../errors.ts";
import { rope, ropeTable, type Tensor } from "../tensor/index.ts";
import { PositionTable, type Sequence } from "./positions.ts";
import { type RotarySpec, rotaryAngles } from "./rope-scaling.ts";

/**
 * Rotary position embedding (Su et al. 2021): pairs of features of a head turn by their token's position. Layers that turn alike share
 * one, and with it its table.
 */
export class Rotary {
  readonly spec: RotarySpec;
  /** Cosines and sines. */
  readonly table: PositionTable;

  constructor({ dims, theta, scaling = { kind: "none" }, interleaved = false }: RotaryOptions) {
    if (scaling.kind === "factors" && scaling.factors.length !== dims / 2)
      fail("config", `rotary: ${scaling.factors.length} frequency factors for ${dims / 2} pairs`);
    this.spec = { dims, theta, scaling, interleaved };
    const { frequencies_I, amplitude } = rotaryAngles(this.spec);
    this.table = new PositionTable((device, positions) => {
      const { cos, sin } = ropeTable(device, positions, frequencies_I, amplitude);
      return [cos, sin];
    });
  }

  dispose(): void {
    this.table.dispose();
  }
}

/** A {@link RotarySpec}: not scaled, and not interleaved, unless given. */
export type RotaryOptions = Pick<RotarySpec, "dims" | "theta"> & Partial<RotarySpec>;

/** Turns the heads of x [..., H, headDim] by the positions of their tokens; features past the rotary's are left. */
export function rotate(x: Tensor, rotary: Rotary, { position_T, end }: Sequence): Tensor {
  const [cos, sin] = rotary.table.upTo(x.device, end);
  return rope(x, { cos, sin }, position_T, { interleaved: rotary.spec.interleaved });
}
