import type { Context, Tensor } from "../tensor/index.ts";
import { add } from "../tensor/index.ts";
import { type Module, type NamedParameter, Parameter } from "./module.ts";
import { project } from "./product.ts";

export interface LinearOptions {
  /** Adds a learned offset, starting at 0; default false. */
  readonly bias?: boolean;
  /** Standard deviation of the initial weights; default 0.02. */
  readonly std?: number;
}

/**
 * y = x W^T + b: x [..., input] -> [..., output]. The weight is [output, input], as in Hugging Face files.
 */
export class Linear implements Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(input: number, output: number, options: LinearOptions = {}) {
    this.weight = new Parameter([output, input], { kind: "normal", std: options.std ?? 0.02 });
    this.bias = options.bias ? new Parameter([output], { kind: "zeros" }) : null;
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["weight", this.weight];
    if (this.bias) yield ["bias", this.bias];
  }

  forward(x: Tensor, ctx: Context): Tensor {
    const y = project(x, this.weight, ctx.precision);
    return this.bias ? add(y, this.bias.value) : y;
  }
}
