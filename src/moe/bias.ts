import { type Module, type NamedParameter, Parameter } from "../nn/module.ts";
import { addInto, affine, cast, less, mean, scope, sub, type Tensor, withoutTape } from "../tensor/index.ts";

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

  /** After a training step: bias_e += rate * sign(mean load - load_e), in place on the device. counts_E i32 [E] is the load before capacity. */
  update(counts_E: Tensor): void {
    const moved_E = scope(() =>
      withoutTape(() => {
        const load_E = cast(counts_E, "f32");
        const mean_1 = mean(load_E, 0, { keep: true });
        return affine(sub(less(load_E, mean_1), less(mean_1, load_E)), this.rate, 0);
      }),
    );
    addInto(this.bias_E.value, moved_E);
  }
}
