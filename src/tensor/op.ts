import { fail } from "../errors.ts";
import type { DType, KernelTable } from "../kernels/abi.ts";
import { sizeOf } from "./device.ts";
import { type Shape, show, type Tensor } from "./tensor.ts";

/** What an operation makes: a new tensor, whose integers are those of its inputs unless they are `counted` by the kernel, or a view of
 *  its first input from element `viewAt` on. */
export type OutputSpec =
  | { readonly shape: Shape; readonly dtype: DType }
  | { readonly shape: Shape; readonly dtype: "i32"; readonly counted: true }
  | { readonly shape: Shape; readonly viewAt: number };

/** What a vector-Jacobian product may use. */
export interface VjpContext<A> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** The gradient of the first output, f32. */
  readonly grad: Tensor;
  /** Whether each input wants a gradient. */
  readonly wanted: readonly boolean[];
  readonly attrs: A;
  readonly run: KernelTable;
  /**
   * Where the gradient of input i is best written (contents undefined): for the input that is a weight, in the model's gradients
   * themselves. Asked for at most once an input, and only for a gradient that is then returned.
   */
  readonly place: (input: number) => Tensor;
}

/** The gradient of each input, f32 and of its size; null where there is none. */
export type InputGrads = readonly (Tensor | null)[];

/**
 * One operation: everything there is to know about it, with no field left out, so that an omission does not compile.
 *
 * - `shape` throws on inputs that do not fit, before anything is allocated or run. The first output is the result;
 *   any others (indices, values kept for the gradient) are constants to the gradient.
 * - `forward` writes the outputs. It is not called where they are all empty.
 * - `vjp` maps the result's gradient to the inputs', or says that there are none. It runs with no tape on, in a
 *   scope: it may use other operations, and leaves its temporaries lying.
 * - `reads` says which inputs and outputs `vjp` reads the values of: they stay in memory for it. Of the rest it sees the shapes. The
 *   tensors it gets are handles of its own: what it has read for the last time it may dispose of, to make room.
 */
export type Op<A> = DifferentiableOp<A> | (OpBase<A> & { readonly vjp: "none" });

export interface DifferentiableOp<A> extends OpBase<A> {
  readonly reads: Reads;
  readonly vjp: (context: VjpContext<A>) => InputGrads;
}

/** By place in the lists. */
export interface Reads {
  readonly inputs: "all" | readonly number[];
  readonly outputs: "all" | readonly number[];
}

interface OpBase<A> {
  readonly name: string;
  readonly shape: (inputs: readonly Tensor[], attrs: A) => readonly OutputSpec[];
  readonly forward: (
    run: KernelTable,
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    attrs: A,
  ) => void;
}

/** A new f32 tensor of `shape`. */
export function f32(shape: Shape): OutputSpec {
  return { shape, dtype: "f32" };
}

/** Throws unless `condition`; for the shape functions. */
export function check(condition: boolean, op: string, what: () => string): asserts condition {
  if (!condition) fail("shape", `${op}: ${what()}`);
}

export function checkDtype(op: string, name: string, input: Tensor, allowed: readonly DType[]): void {
  if (!allowed.includes(input.dtype)) {
    fail("dtype", `${op}: ${name} ${show(input.shape)} is ${input.dtype}; it takes ${allowed.join(" or ")}`);
  }
}

/** Throws unless `input` has exactly `shape`. */
export function checkShape(op: string, name: string, input: Tensor, shape: Shape): void {
  const same = input.rank === shape.length && shape.every((n, axis) => n === input.shape[axis]);
  check(same, op, () => `${name} is ${show(input.shape)}, not ${show(shape)}`);
}

/** Throws unless `ids` is i32 and every id that the host wrote into it is below `limit`, and not below `least` if given. */
export function checkIds(op: string, name: string, ids: Tensor, limit: number, least?: number): void {
  checkDtype(op, name, ids, ["i32"]);
  const { low, high } = ids.hostRange;
  check(
    high < limit,
    op,
    () => `${name} ${show(ids.shape)} holds ${high}; there are ${limit}, counted from 0`,
  );
  check(
    least === undefined || low >= least,
    op,
    () => `${name} ${show(ids.shape)} holds ${low}; the least allowed is ${least}`,
  );
}

/** Throws unless `value` is a finite number. */
export function checkFinite(op: string, name: string, value: number): void {
  check(Number.isFinite(value), op, () => `${name} is ${value}, not a finite number`);
}

/** x as rows of its last axis. */
export function rowsOf({ shape }: Tensor): { readonly rows: number; readonly n: number } {
  return { rows: sizeOf(shape.slice(0, -1)), n: shape[shape.length - 1] };
}

/** Throws unless x is f32 and has a last axis with something on it. */
export function checkRows(op: string, x: Tensor): void {
  checkDtype(op, "x", x, ["f32"]);
  check(x.rank > 0 && rowsOf(x).n > 0, op, () => `x ${show(x.shape)} has no last axis to work along`);
}
