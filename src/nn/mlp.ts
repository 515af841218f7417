import { type Context, swiglu, type Tensor } from "../tensor/index.ts";
import { Linear } from "./linear.ts";
import { type Module, type NamedParameter, Parameter, within } from "./module.ts";
import { project } from "./product.ts";

/**
 * The gated feed-forward layer: down(silu(gate(x)) * up(x)) (Shazeer 2020, "GLU variants improve
 * Transformer"). Gate and up are one matrix [2F, D], gate's rows first, so that x is read once.
 */
export class SwigluMlp implements Module {
  readonly gateUp: Parameter;
  readonly down: Linear;

  /** `std` and `downStd`: standard deviations of the initial weights. */
  constructor(width: number, hidden: number, std = 0.02, downStd: number = std) {
    this.gateUp = new Parameter([2 * hidden, width], { kind: "normal", std });
    this.down = new Linear(hidden, width, { std: downStd });
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["gateUp", this.gateUp];
    yield* within("down", this.down);
  }

  /** x_TD -> [T, D]. */
  forward(x_TD: Tensor, ctx: Context): Tensor {
    const hidden_T2F = project(x_TD, this.gateUp, ctx.precision);
    return this.down.forward(swiglu(hidden_T2F), ctx);
  }
}
