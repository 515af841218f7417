import type { Tensor } from "../tensor/index.ts";
import { rmsNorm } from "../tensor/index.ts";
import { type Module, type NamedParameter, Parameter } from "./module.ts";

/** x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang & Sennrich 2019), always in f32. */
export class RmsNorm implements Module {
  readonly weight: Parameter;
  readonly eps: number;

  constructor(width: number, eps = 1e-5) {
    this.weight = new Parameter([width], { kind: "ones" });
    this.eps = eps;
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["weight", this.weight];
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight.value, this.eps);
  }
}
