import { fail } from "../errors.ts";
import { disposeWeights, type Module, type NamedParameter, within } from "../nn/module.ts";
import {
  ConstantOwner,
  type Context,
  matmul,
  owningConstants,
  reshape,
  type Tensor,
} from "../tensor/index.ts";
import type { Experts } from "./experts.ts";
import { type LossSpec, misfitOf, noLosses } from "./loss-spec.ts";
import { type RouteLosses, routeLosses } from "./losses.ts";
import { combine, dispatch, evenOffsets, placeWeights, planRows, weighRows } from "./plan.ts";
import type { Route, SoftRoute } from "./route.ts";
import { type RouteOptions, Router } from "./router.ts";
import type { SharedExpert } from "./shared.ts";
import type { RoutingSpec } from "./spec.ts";

/** T tokens, D width, E experts, R rows sorted by expert, N = E * slots. */

export interface MoeLayerOptions {
  readonly spec: RoutingSpec;
  /** D. */
  readonly width: number;
  readonly experts: Experts;
  readonly shared?: SharedExpert | null;
  readonly losses?: LossSpec;
  /** Named in taps and random streams. */
  readonly layer?: number;
  /** Standard deviation of the gate's initial weights. */
  readonly std?: number;
}

export interface MoeOutput {
  /** Shaped like the input. */
  readonly y: Tensor;
  readonly route: Route;
  readonly losses: RouteLosses;
}

/** A mixture-of-experts layer: router, experts, and optionally an expert that every token shares. */
export class MoeLayer implements Module {
  readonly router: Router;
  readonly experts: Experts;
  readonly shared: SharedExpert | null;
  readonly losses: LossSpec;
  private readonly constants = new ConstantOwner();

  constructor({
    spec,
    width,
    experts,
    shared = null,
    losses = noLosses,
    layer = 0,
    std = 0.02,
  }: MoeLayerOptions) {
    if (experts.count !== spec.experts)
      fail("spec", `MoE layer: the spec routes to ${spec.experts} experts and was given ${experts.count}`);
    const misfit = misfitOf(losses, spec);
    if (misfit) fail("spec", `MoE layer: losses: ${misfit.name}: ${misfit.why}`);
    this.router = new Router({ spec, width, layer, std });
    this.experts = experts;
    this.shared = shared;
    this.losses = losses;
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("router", this.router);
    yield* within("experts", this.experts);
    if (this.shared) yield* within("shared", this.shared);
  }

  /** x [..., D] -> y of its shape, the route that tokens took, and the auxiliary losses on it. Taps "moe.input", "moe.route" and "moe.losses". */
  forward(x: Tensor, context: Context, options: RouteOptions = {}): MoeOutput {
    return owningConstants(this.constants, () => this.route(x, context, options));
  }

  /** Gives the memory of its weights back, and of what it keeps besides. An arena they lie in is its maker's to free. */
  dispose(): void {
    disposeWeights(this);
    this.router.dispose();
    this.constants.dispose();
  }

  private route(x: Tensor, context: Context, options: RouteOptions): MoeOutput {
    const { router, shared } = this;
    const x_TD = reshape(x, [-1, router.width]);
    context.tap("moe.input", router.layer, x_TD);
    const sequence = options.sequence ?? (x.rank > 2 ? x.shape[x.rank - 2] : x_TD.shape[0]);
    const route = router.route(x_TD, context, { ...options, sequence });
    const losses = routeLosses(route, this.losses, router.gate.rows(), options.pool);
    context.tap("moe.route", router.layer, route);
    context.tap("moe.losses", router.layer, losses);
    const routed_TD = applyExperts(this.experts, x_TD, route, context);
    const y_TD = shared ? shared.addTo(routed_TD, x_TD, context) : routed_TD;
    return { y: reshape(y_TD, x.shape), route, losses };
  }
}

/** y_t = sum over a token's experts of weight * expert(x_t), or of expert(weight * x_t) when the spec weighs the input (Llama 4). */
export function applyExperts(experts: Experts, x_TD: Tensor, route: Route, context: Context): Tensor {
  if (route.by === "soft") return mixSlots(experts, x_TD, route, context);
  const plan = planRows(route);
  const weighsInput = route.spec.weightAt === "input";
  const x_RD = dispatch(x_TD, plan);
  const y_RD = experts.forward(weighsInput ? weighRows(x_RD, route) : x_RD, plan.offsets_E1, context);
  return combine(y_RD, plan, weighsInput ? null : placeWeights(route));
}

/** Soft MoE (Puigcerver et al. 2024, equations 1-3): slots are means of tokens, tokens means of slot outputs. */
function mixSlots(experts: Experts, x_TD: Tensor, route: SoftRoute, context: Context): Tensor {
  const { dispatch_TN, combine_TN, spec } = route;
  const slots = dispatch_TN.shape[1] / spec.experts;
  const { precision } = context;
  const x_ND = matmul(dispatch_TN, x_TD, { transA: true, precision });
  const y_ND = experts.forward(x_ND, evenOffsets(x_TD.device, spec.experts, slots), context);
  return matmul(combine_TN, y_ND, { precision });
}
