import { addInto, type Device, empty, full, keep, Random, type Tensor, watch } from "../tensor/index.ts";
import type { Init, Module, NamedParameter, Parameter } from "./module.ts";

/** Parameters start on 64-byte boundaries. */
const alignment = 16;

/** All weights of a model in one f32 tensor, and all gradients in another, so that one call updates them. */
export interface ParameterArena {
  /** [N]: decayed parameters first, each at an aligned place; the gaps are zero. */
  readonly values: Tensor;
  /** [N], laid out alike. */
  readonly grads: Tensor;
  /** How many leading elements weight decay applies to. */
  readonly decayed: number;
  /** Where each parameter is, in elements. */
  readonly places: ReadonlyMap<string, { readonly start: number; readonly parameter: Parameter }>;
  /** Gives the memory back; the parameters' values are gone. */
  dispose(): void;
}

/**
 * Gives every parameter of `module` memory on `device` and its initial value (drawn from the parameter's
 * own stream, so that it does not depend on the others), and sums its gradients into the arena.
 */
export function materialise(module: Module, device: Device, seed: number): ParameterArena {
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
  const made = [values, grads];
  for (const [name, { start, parameter }] of places) {
    const value = keep(values.view(parameter.shape, start));
    initialise(value, parameter.init, new Random(seed, `init:${name}`));
    const grad = keep(grads.view(parameter.shape, start));
    parameter.bind(watch(value, (contribution) => addInto(grad, contribution)));
    made.push(value, grad);
  }
  const dispose = (): void => {
    for (const tensor of made) tensor.dispose();
  };
  return { values, grads, decayed, places, dispose };
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
