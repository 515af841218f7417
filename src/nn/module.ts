import { fail } from "../errors.ts";
import { keep, MadeTensor, type Shape, show, sizeOf, type Tensor } from "../tensor/index.ts";

/** How a parameter starts. */
export type Init =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "normal"; readonly std: number };

/**
 * A named place for a weight: it has a shape from the start and a value once bound (by `materialise` or a
 * loader), so that a model of any size can be described and counted without memory. A trained weight is one tensor; one
 * that a loader bound for inference may be in several, of any dtype, each a piece of a file.
 */
export class Parameter {
  readonly shape: Shape;
  readonly init: Init;
  /** Whether weight decay applies: true for matrices, false for norms and biases. */
  readonly decay: boolean;
  private bound: readonly Tensor[] = [];
  private trained = false;
  /** Whether any of its pieces is made when it is needed. */
  private onDemand = false;
  private readonly made = new Map<string, Tensor>();

  constructor(shape: Shape, init: Init, decay: boolean = shape.length > 1) {
    this.shape = shape;
    this.init = init;
    this.decay = decay;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** The weight as one tensor, of its shape where it is trained. Errors: "state" where it has none or is in several pieces. */
  get value(): Tensor {
    const [first] = this.bound;
    if (first === undefined)
      fail(
        "state",
        `a parameter of shape ${show(this.shape)} has no value yet`,
        "materialise the model or load its weights",
      );
    if (this.bound.length > 1)
      fail(
        "state",
        `a parameter of shape ${show(this.shape)} is in ${this.bound.length} pieces of ${first.dtype}, as its file holds it`,
        'load the model with weights: "f32" to have it in one, to train it say',
      );
    return first;
  }

  /** The pieces that a loader bound, in the order of its rows; null where the weight is one tensor, trained or not. */
  get pieces(): readonly Tensor[] | null {
    return this.trained || this.bound.length === 0 ? null : this.bound;
  }

  /** Whether it has pieces that are not in memory yet and are made when they are needed. */
  get isPartial(): boolean {
    return this.onDemand && this.bound.some((piece) => piece instanceof MadeTensor && !piece.there);
  }

  /**
   * What `make` gives from the weight, made once and kept as long as the weight: another arrangement of it, say. Only for one that
   * a loader bound, as a trained one changes. Errors: "state".
   */
  derived(name: string, make: () => Tensor): Tensor {
    if (!this.pieces)
      fail(
        "state",
        `a parameter of shape ${show(this.shape)} is not frozen: nothing made from it would last`,
      );
    const known = this.made.get(name);
    if (known) return known;
    const made = keep(make());
    this.made.set(name, made);
    return made;
  }

  /** Gives it its value, of its shape. */
  bind(tensor: Tensor): void {
    if (show(tensor.shape) !== show(this.shape))
      fail("shape", `a parameter of shape ${show(this.shape)} was given ${show(tensor.shape)}`);
    this.forgetDerived();
    this.bound = [tensor];
    this.trained = true;
    this.onDemand = false;
  }

  /**
   * Gives it its value for inference: its rows in order, in equal pieces [rows, last axis] of any weight dtype. A parameter of
   * one axis takes one piece of its shape.
   */
  bindPieces(pieces: readonly Tensor[]): void {
    const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
    const [first] = pieces;
    const fits = pieces.every(
      (piece) => show(piece.shape) === show(first.shape) && piece.shape.at(-1) === this.shape.at(-1),
    );
    if (size !== this.size || !fits)
      fail(
        "shape",
        `a parameter of shape ${show(this.shape)} was given ${pieces.length} pieces: ${pieces.map(({ shape }) => show(shape)).join(", ")}`,
      );
    this.forgetDerived();
    this.bound = pieces;
    this.trained = false;
    this.onDemand = pieces.some((piece) => piece instanceof MadeTensor);
  }

  /** Gives its memory back; it has no value from then on. */
  dispose(): void {
    this.forgetDerived();
    for (const tensor of this.bound) tensor.dispose();
    this.bound = [];
  }

  private forgetDerived(): void {
    for (const tensor of this.made.values()) tensor.dispose();
    this.made.clear();
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

/** Gives the memory of all weights of `module` back; those in an arena are its maker's to free. */
export function disposeWeights(module: Module): void {
  for (const [, parameter] of module.tensors()) parameter.dispose();
}

/** Number of weights. */
export function countParameters(module: Module): number {
  let total = 0;
  for (const [, parameter] of module.tensors()) total += parameter.size;
  return total;
}
