import { fail } from "../errors.ts";
import { type Shape, show, sizeOf, type Tensor } from "../tensor/index.ts";

/** How a parameter starts. */
export type Init =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "normal"; readonly std: number };

/**
 * A named place for a weight: it has a shape from the start and a value once bound (by `materialise` or a
 * loader), so that a model of any size can be described and counted without memory.
 */
export class Parameter {
  readonly shape: Shape;
  readonly init: Init;
  /** Whether weight decay applies: true for matrices, false for norms and biases. */
  readonly decay: boolean;
  private bound: Tensor | null = null;

  constructor(shape: Shape, init: Init, decay: boolean = shape.length > 1) {
    this.shape = shape;
    this.init = init;
    this.decay = decay;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  get value(): Tensor {
    return (
      this.bound ??
      fail(
        "state",
        `a parameter of shape ${show(this.shape)} has no value yet`,
        "materialise the model or load its weights",
      )
    );
  }

  /** Gives it its value, of its shape. */
  bind(tensor: Tensor): void {
    if (show(tensor.shape) !== show(this.shape))
      fail("shape", `a parameter of shape ${show(this.shape)} was given ${show(tensor.shape)}`);
    this.bound = tensor;
  }

  /** Gives its memory back; it has no value from then on. */
  dispose(): void {
    this.bound?.dispose();
    this.bound = null;
  }
}

export type NamedParameter = readonly [name: string, parameter: Parameter];

/**
 * Anything with weights. The one enumeration of them drives initialising, loading, saving, optimising and
 * counting.
 */
export interface Module {
  /** Every parameter with its dotted name, always in the same order. */
  tensors(): Iterable<NamedParameter>;
}

/** The parameters of `module` with `prefix.` before their names. */
export function* within(prefix: string, module: Module): Iterable<NamedParameter> {
  for (const [name, parameter] of module.tensors()) yield [`${prefix}.${name}`, parameter];
}

/** Number of weights. */
export function countParameters(module: Module): number {
  let total = 0;
  for (const [, parameter] of module.tensors()) total += parameter.size;
  return total;
}
