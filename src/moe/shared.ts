import { fail } from "../errors.ts";
import { type Module, type NamedParameter, Parameter, within } from "../nn/module.ts";
import { project } from "../nn/product.ts";
import { add, type Context, mul, sigmoid, type Tensor } from "../tensor/index.ts";
import type { Experts } from "./experts.ts";
import { evenOffsets } from "./plan.ts";

export interface SharedExpertOptions {
  /** A stack of one; several shared experts are one whose hidden width is their sum. */
  readonly expert: Experts;
  /** D. */
  readonly width: number;
  /** "sigmoid": its output times sigmoid(w . x), as in Qwen2-MoE. "none": added as it is, as in DeepSeekMoE (Dai et al. 2024). */
  readonly gate: "none" | "sigmoid";
  readonly std?: number;
}

/** An expert that every token passes through, beside the routed ones. T tokens, D width. */
export class SharedExpert implements Module {
  private readonly expert: Experts;
  private readonly gate_1D: Parameter | null;

  constructor({ expert, width, gate, std = 0.02 }: SharedExpertOptions) {
    if (expert.count !== 1)
      fail(
        "spec",
        `shared expert: a stack of ${expert.count}; it takes one`,
        "give one expert with the hidden widths added up",
      );
    this.expert = expert;
    this.gate_1D = gate === "sigmoid" ? new Parameter([1, width], { kind: "normal", std }) : null;
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("expert", this.expert);
    if (this.gate_1D) yield ["gate", this.gate_1D];
  }

  /** Adds its output for x_TD to y_TD. */
  addTo(y_TD: Tensor, x_TD: Tensor, context: Context): Tensor {
    const allRows = evenOffsets(x_TD.device, 1, x_TD.shape[0]);
    const shared_TD = this.expert.forward(x_TD, allRows, context);
    if (!this.gate_1D) return add(y_TD, shared_TD);
    const open_T1 = sigmoid(project(x_TD, this.gate_1D, "f32"));
    return add(y_TD, mul(shared_TD, open_T1));
  }
}
