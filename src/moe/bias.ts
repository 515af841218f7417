import { type Module, type NamedParameter, Parameter } from "../nn/module.ts";
import { addInto, affine, cast, less, scope, sub, sum, type Tensor, withoutTape } from "../tensor/index.ts";

/**
 * Balance without a loss (DeepSeek-V3, section 2.1.2; Wang et al. 2024): a bias on the selection scores that is moved by load, not by
 * gradient. It is a parameter so that it is saved, restored and moved with the model; no gradient ever reaches it,
 * and AdamW leaves a value with neither gradient nor decay as it is, to the bit.
 */
export class SelectionBias implements Module {
  readonly bias_E: Parameter;
  readonly rate: number;

  constructor(experts: number, rate: number) {
    this.bias_E = new Parameter([experts], { kind: "zeros" }, false);
    this.rate = rate;
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["bias", this.bias_E];
  }

  /** After a training step: bias_e += rate * sign(mean load - load_e), in place on the device. counts_E i32 or f32 [E] is the load before capacity. */
  update(counts_E: Tensor): void {
    scope(() =>
      withoutTape(() => {
        const load_E = counts_E.dtype === "f32" ? counts_E : cast(counts_E, "f32");
        // Whole numbers on both sides: a mean would be rounded, and no load equal to it.
        const total_1 = sum(load_E, 0, { keep: true });
        const scaled_E = affine(load_E, counts_E.size, 0);
        const direction_E = sub(less(scaled_E, total_1), less(total_1, scaled_E));
        addInto(this.bias_E.value, affine(direction_E, this.rate, 0));
      }),
    );
  }
}
