import { fail } from "../errors.ts";
import { type Module, type NamedParameter, within } from "../nn/module.ts";
import { type Context, type Draws, show, type Tensor } from "../tensor/index.ts";
import { SelectionBias } from "./bias.ts";
import { createGate, type Gate } from "./gate.ts";
import type { ExpertLimits } from "./limits.ts";
import { addNoise, fixedStd, GaussianNoise, jitter, type NoisyLogits } from "./noise.ts";
import type { LayerPool } from "./pool.ts";
import { type Route, routeLogits } from "./route.ts";
import { columnsOf, type RoutingSpec } from "./spec.ts";
import { asTokenLabels, type TokenLabels } from "./units.ts";

/** What a router may need beside the tokens. */
export interface RouteOptions {
  /** i32 [T], for a hash gate. */
  readonly tokenIds?: Tensor | null;
  /** One a token: for label-level routing, and for losses by label. */
  readonly labels?: readonly string[] | TokenLabels | null;
  /** S, tokens a sequence: for capacities and losses of each. Default: that of an input [B, S, D], or all tokens. */
  readonly sequence?: number;
  /** f32 [T]: whose places are given first, where capacity.priority is "given". */
  readonly priority?: Tensor | null;
  /** What requests rule out in this layer, at inference: by block number. */
  readonly limits?: ((layer: number) => ExpertLimits | null) | null;
  /** Sums of the losses over the micro-batches of a step. */
  readonly pool?: LayerPool;
}

export interface RouterOptions {
  readonly spec: RoutingSpec;
  /** D, the width of a token. */
  readonly width: number;
  /** Names the router's random streams, so that layers draw apart. */
  readonly layer?: number;
  /** Standard deviation of the gate's initial weights. */
  readonly std?: number;
}

/** A routing spec with its weights: from tokens to a {@link Route}. */
export class Router implements Module {
  readonly spec: RoutingSpec;
  readonly width: number;
  readonly layer: number;
  readonly gate: Gate;
  /** Noise whose spread is learned, or null. */
  readonly noise: GaussianNoise | null;
  /** Selection-only bias, or null; call its `update` after each training step. */
  readonly bias: SelectionBias | null;

  constructor({ spec, width, layer = 0, std = 0.02 }: RouterOptions) {
    this.spec = spec;
    this.width = width;
    this.layer = layer;
    this.gate = createGate(spec, width, std);
    const learned = spec.noise?.kind === "gaussian" && spec.noise.sigma === null;
    this.noise = learned ? new GaussianNoise(columnsOf(spec), width) : null;
    this.bias = spec.bias ? new SelectionBias(spec.experts, spec.bias.rate) : null;
  }

  *tensors(): Iterable<NamedParameter> {
    yield* within("gate", this.gate);
    if (this.noise) yield* within("noise", this.noise);
    if (this.bias) yield* this.bias.tensors();
  }

  /** Gives back what its gate keeps besides weights. */
  dispose(): void {
    this.gate.dispose();
  }

  /** Routes x_TD [T,D], f32. Logits are f32 whatever the context's precision. */
  route(x_TD: Tensor, context: Context, options: RouteOptions = {}): Route {
    if (x_TD.rank !== 2 || x_TD.shape[1] !== this.width) {
      fail("shape", `router: tokens ${show(x_TD.shape)}, but it takes [T, ${this.width}]`);
    }
    const input_TD = this.jittered(x_TD, context);
    const clean = this.gate.logits(input_TD, context, options.tokenIds ?? null);
    const noise = this.noisy(clean, input_TD, context);
    const { labels, sequence = x_TD.shape[0], priority = null } = options;
    return routeLogits(this.spec, noise?.noisy_TE ?? clean, {
      training: context.training,
      units: { sequence, labels: asTokenLabels(x_TD.device, labels), priority_T: priority },
      noise,
      bias_E: this.bias?.bias_E.value ?? null,
      limits: options.limits?.(this.layer) ?? null,
    });
  }

  private jittered(x_TD: Tensor, context: Context): Tensor {
    const { noise } = this.spec;
    if (noise?.kind !== "jitter" || !context.training) return x_TD;
    return jitter(x_TD, noise.epsilon, drawsOf(context), `jitter:${this.layer}`);
  }

  private noisy(clean_TE: Tensor, x_TD: Tensor, context: Context): NoisyLogits | null {
    const { noise } = this.spec;
    if (noise?.kind !== "gaussian" || !context.training) return null;
    const normal_TE = drawsOf(context).normals(`noise:${this.layer}`, clean_TE.shape);
    const std_TE = this.noise?.std(x_TD) ?? fixedStd(x_TD, noise.sigma!);
    return addNoise(clean_TE, std_TE, normal_TE);
  }
}

function drawsOf({ draws }: Context): Draws {
  return (
    draws ??
    fail(
      "state",
      "router: the spec has noise in training, and the context draws no random numbers",
      "give it draws: context({ training: true, draws: new Draws(device, seed) })",
    )
  );
}
