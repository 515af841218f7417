import { type Module, type NamedParameter, Parameter } from "../nn/module.ts";
import { projectGroups } from "../nn/product.ts";
import {
  type Context,
  gelu,
  groupBias,
  relu,
  swiglu,
  swigluClamped,
  swigluExperts,
  type Tensor,
} from "../tensor/index.ts";

/**
 * Experts: stacked weights behind one interface, so that their maths is written once for every model.
 *
 * D width, E experts, F expert hidden width, R rows sorted by expert.
 */
export interface Experts extends Module {
  readonly count: number;
  /** x_RD [R,D], expert e owning rows offsets[e] to offsets[e+1] (i32 [E+1]) -> y_RD [R,D]; rows past the last offset give zeros. */
  forward(x_RD: Tensor, offsets_E1: Tensor, context: Context): Tensor;
}

export interface ExpertsOptions {
  /** E. */
  readonly count: number;
  /** D. */
  readonly width: number;
  /** F. */
  readonly hidden: number;
  /** Standard deviation of the initial weights. */
  readonly std?: number;
  /** The same for the weights that write to the residual, if they are to start smaller. */
  readonly outStd?: number;
}

/** down(silu(gate(x)) * up(x)) (Shazeer 2020, "GLU variants improve Transformer"): Mixtral and most models since. */
export class SwigluExperts implements Experts {
  readonly count: number;
  /** Gate rows first, then up: [E, 2F, D]. */
  readonly gateUp_EGD: Parameter;
  readonly down_EDF: Parameter;

  constructor(options: ExpertsOptions) {
    const { count, width, hidden, std = 0.02, outStd = std } = options;
    this.count = count;
    this.gateUp_EGD = new Parameter([count, 2 * hidden, width], { kind: "normal", std });
    this.down_EDF = new Parameter([count, width, hidden], { kind: "normal", std: outStd });
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["gateUp", this.gateUp_EGD];
    yield ["down", this.down_EDF];
  }

  forward(x_RD: Tensor, offsets_E1: Tensor, { precision }: Context): Tensor {
    const { gateUp_EGD, down_EDF } = this;
    if (!gateUp_EGD.pieces && !down_EDF.pieces)
      return swigluExperts(x_RD, gateUp_EGD.value, down_EDF.value, offsets_E1, { precision });
    const hidden_RF = swiglu(projectGroups(x_RD, gateUp_EGD, offsets_E1, precision));
    return projectGroups(hidden_RF, down_EDF, offsets_E1, precision);
  }
}

/** Of gpt-oss's gated unit (OpenAI 2025): the slope of its sigmoid, and where gate and up are cut off. */
const clampedUnit = { alpha: 1.702, limit: 7 } as const;

/** gpt-oss: down(g sigmoid(1.702 g) (u + 1)) with g and u cut off at 7, offsets for gate, up and down in each expert. */
export class ClampedSwigluExperts implements Experts {
  readonly count: number;
  /** Gate rows first, then up: [E, 2F, D], and their offsets [E, 2F]. */
  readonly gateUp_EGD: Parameter;
  readonly gateUpBias_EG: Parameter;
  readonly down_EDF: Parameter;
  readonly downBias_ED: Parameter;

  constructor({ count, width, hidden, std = 0.02, outStd = std }: ExpertsOptions) {
    this.count = count;
    this.gateUp_EGD = new Parameter([count, 2 * hidden, width], { kind: "normal", std });
    this.gateUpBias_EG = new Parameter([count, 2 * hidden], { kind: "zeros" }, false);
    this.down_EDF = new Parameter([count, width, hidden], { kind: "normal", std: outStd });
    this.downBias_ED = new Parameter([count, width], { kind: "zeros" }, false);
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["gateUp", this.gateUp_EGD];
    yield ["gateUpBias", this.gateUpBias_EG];
    yield ["down", this.down_EDF];
    yield ["downBias", this.downBias_ED];
  }

  forward(x_RD: Tensor, offsets_E1: Tensor, { precision }: Context): Tensor {
    const raw_RG = projectGroups(x_RD, this.gateUp_EGD, offsets_E1, precision);
    const gateUp_RG = groupBias(raw_RG, this.gateUpBias_EG.value, offsets_E1);
    const hidden_RF = swigluClamped(gateUp_RG, clampedUnit);
    const y_RD = projectGroups(hidden_RF, this.down_EDF, offsets_E1, precision);
    return groupBias(y_RD, this.downBias_ED.value, offsets_E1);
  }
}

/** wo(act(wi(x))), without biases: ReLU as in Switch Transformer, or GELU. */
class TwoLayerExperts implements Experts {
  readonly count: number;
  readonly wi_EFD: Parameter;
  readonly wo_EDF: Parameter;
  private readonly activation: (x: Tensor) => Tensor;

  constructor(
    { count, width, hidden, std = 0.02, outStd = std }: ExpertsOptions,
    activation: (x: Tensor) => Tensor,
  ) {
    this.count = count;
    this.wi_EFD = new Parameter([count, hidden, width], { kind: "normal", std });
    this.wo_EDF = new Parameter([count, width, hidden], { kind: "normal", std: outStd });
    this.activation = activation;
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["wi", this.wi_EFD];
    yield ["wo", this.wo_EDF];
  }

  forward(x_RD: Tensor, offsets_E1: Tensor, { precision }: Context): Tensor {
    const hidden_RF = this.activation(projectGroups(x_RD, this.wi_EFD, offsets_E1, precision));
    return projectGroups(hidden_RF, this.wo_EDF, offsets_E1, precision);
  }
}

export class ReluExperts extends TwoLayerExperts {
  constructor(options: ExpertsOptions) {
    super(options, relu);
  }
}

export class GeluExperts extends TwoLayerExperts {
  constructor(options: ExpertsOptions) {
    super(options, gelu);
  }
}
