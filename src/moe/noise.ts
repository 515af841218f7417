import { type Module, type NamedParameter, Parameter } from "../nn/module.ts";
import { add, type Draws, full, matmul, mul, softplus, type Tensor } from "../tensor/index.ts";

/**
 * Router noise, in training only. T tokens, D width, E experts.
 */

/** Logits with noise, and what the load loss needs to know of it. */
export interface NoisyLogits {
  readonly clean_TE: Tensor;
  /** [T,E], or [1,1] where it is the same for all. */
  readonly std_TE: Tensor;
  readonly noisy_TE: Tensor;
}

/**
 * Noisy top-k gating (Shazeer et al. 2017, equations 3-5): H(x) = x W_g + N(0,1) * softplus(x W_noise). W_noise starts at zero and is
 * trained through the weights and through the load loss.
 */
export class GaussianNoise implements Module {
  readonly weight_ED: Parameter;

  constructor(columns: number, width: number) {
    this.weight_ED = new Parameter([columns, width], { kind: "zeros" });
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["weight", this.weight_ED];
  }

  /** The standard deviation of each logit's noise: x_TD [T,D] -> [T,E]. */
  std(x_TD: Tensor): Tensor {
    return softplus(matmul(x_TD, this.weight_ED.value, { transB: true, precision: "f32" }));
  }
}

/** The same standard deviation for every logit, [1,1] (V-MoE, Riquelme et al. 2021). */
export function fixedStd({ device }: Tensor, sigma: number): Tensor {
  return full(device, [1, 1], sigma);
}

/** clean + std * normal. */
export function addNoise(clean_TE: Tensor, std_TE: Tensor, normal_TE: Tensor): NoisyLogits {
  return { clean_TE, std_TE, noisy_TE: add(clean_TE, mul(std_TE, normal_TE)) };
}

/** The router's input times U(1 - epsilon, 1 + epsilon), element by element (Switch Transformer, Fedus et al. 2022, section 2.4). */
export function jitter(x_TD: Tensor, epsilon: number, draws: Draws, stream: string): Tensor {
  return mul(x_TD, draws.uniforms(stream, x_TD.shape, 1 - epsilon, 1 + epsilon));
}
