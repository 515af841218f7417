import {
  addInto,
  type Device,
  empty,
  full,
  type GradientSink,
  keep,
  Random,
  type Seed,
  type Tensor,
  watch,
} from "../tensor/index.ts";
import type { Init, Module, NamedParameter, Parameter } from "./module.ts";

/** Parameters start on 64-byte boundaries. */
const alignment = 16;

/** All weights of a model in one f32 tensor, and all gradients in another, so that one call updates them. */
export interface ParameterArena {
  /** [N]: decayed parameters first, each at an aligned place; the gaps are zero. */
  readonly values: Tensor;
  /** [N], laid out alike: the sum of all gradients since {@link clearGradients}. */
  readonly grads: Tensor;
  /** How many leading elements weight decay applies to. */
  readonly decayed: number;
  /** Where each parameter is, in elements. */
  readonly places: ReadonlyMap<string, { readonly start: number; readonly parameter: Parameter }>;
  /** Begins new sums. Takes no pass over memory: what comes first for a parameter is written, not added. */
  clearGradients(): void;
  /** Begins new sums in one pass over memory, so that whatever comes is added. */
  zeroGradients(): void;
  /** Gives the memory back; the parameters' values are gone. */
  dispose(): void;
}

/**
 * Gives every parameter of `module` memory on `device` and its initial value (drawn from the parameter's
 * own stream, so that it does not depend on the others), and sums its gradients into the arena.
 */
export function materialise(module: Module, device: Device, seed: Seed): ParameterArena {
  const all: NamedParameter[] = [...module.tensors()];
  const ordered = [...all.filter(([, p]) => p.decay), ...all.filter(([, p]) => !p.decay)];
  const places = new Map<string, { start: number; parameter: Parameter }>();
  let length = 0;
  let decayed = 0;
  for (const [name, parameter] of ordered) {
    places.set(name, { start: length, parameter });
    length += Math.ceil(parameter.size / alignment) * alignment;
    if (parameter.decay) decayed = length;
  }
  const values = keep(full(device, [length], 0));
  const grads = keep(full(device, [length], 0));
  const sums: GradientSum[] = [];
  const made = [values, grads];
  for (const [name, { start, parameter }] of places) {
    const value = keep(values.view(parameter.shape, start));
    initialise(value, parameter.init, new Random(seed, `init:${name}`));
    const sum = new GradientSum(keep(grads.view(parameter.shape, start)));
    parameter.bind(watch(value, sum));
    sums.push(sum);
    made.push(value, sum.total);
  }
  return {
    values,
    get grads() {
      for (const sum of sums) sum.settle();
      return grads;
    },
    decayed,
    places,
    clearGradients() {
      for (const sum of sums) sum.clear();
    },
    zeroGradients() {
      device.kernels.run.fill({ out: grads.buf, n: grads.size, value: 0 });
      for (const sum of sums) sum.begin();
    },
    dispose() {
      for (const tensor of made) tensor.dispose();
    },
  };
}

/** The gradient of one parameter, in its place in the arena. */
class GradientSum implements GradientSink {
  readonly total: Tensor;
  /** Whether `total` holds anything; else its contents are of the last step. */
  private begun = false;
  /** `total`, while an operation writes the first contribution there. */
  private lent: Tensor | null = null;

  constructor(total: Tensor) {
    this.total = total;
  }

  place(): Tensor | null {
    if (this.begun) return null;
    this.begun = true;
    this.lent = this.total.view(this.total.shape);
    return this.lent;
  }

  take(contribution: Tensor): void {
    if (contribution === this.lent) this.lent = null;
    else if (this.begun) addInto(this.total, contribution);
    else copyInto(this.total, contribution);
    this.begun = true;
    contribution.dispose();
  }

  clear(): void {
    this.begun = false;
  }

  /** `total` holds 0. */
  begin(): void {
    this.begun = true;
  }

  /** A parameter that no gradient reached has a gradient of zeros. */
  settle(): void {
    const { total } = this;
    if (!this.begun) total.device.kernels.run.fill({ out: total.buf, n: total.size, value: 0 });
    this.begun = true;
  }
}

function copyInto(to: Tensor, from: Tensor): void {
  to.device.kernels.run.stridedCopy({
    x: from.buf,
    out: to.buf,
    dims: [1, 1, 1, to.size],
    xStrides: [0, 0, 0, 1],
    outStrides: [0, 0, 0, 1],
    accumulate: false,
  });
}

/**
 * Gives every parameter memory of its own (undefined contents) and no gradient, for a loader to fill. f32,
 * unless `dtypeOf` says that a matrix is held as bf16.
 */
export function allocate(
  module: Module,
  device: Device,
  dtypeOf: (name: string, parameter: Parameter) => "f32" | "bf16" = () => "f32",
): void {
  for (const [name, parameter] of module.tensors()) {
    parameter.bind(keep(empty(device, parameter.shape, dtypeOf(name, parameter))));
  }
}

function initialise(value: Tensor, init: Init, random: Random): void {
  if (init.kind === "normal") value.write(random.normals(value.size, init.std));
  else value.device.kernels.run.fill({ out: value.buf, n: value.size, value: init.kind === "ones" ? 1 : 0 });
}
