import { apply } from "../apply.ts";
import { sizeOf } from "../device.ts";
import { check, checkDtype, type DifferentiableOp, f32, type Op, type Reads } from "../op.ts";
import { type Shape, show, type Tensor } from "../tensor.ts";
import { affine, neg } from "./elementwise.ts";
import { axisOf, expand, permute, reshape } from "./shape.ts";
import { takeAlongGrad, topk } from "./softmax.ts";

/** Axes `first` to before `end` of x are folded into one place: [outer, n, inner] to [outer, inner]. */
interface Run {
  readonly first: number;
  readonly end: number;
}

function middle({ shape }: Tensor, { first, end }: Run): { outer: number; n: number; inner: number } {
  return {
    outer: sizeOf(shape.slice(0, first)),
    n: sizeOf(shape.slice(first, end)),
    inner: sizeOf(shape.slice(end)),
  };
}

/** The shape with the folded axes as ones. */
function folded(shape: Shape, { first, end }: Run): Shape {
  return shape.map((n, axis) => (axis >= first && axis < end ? 1 : n));
}

function reduceOp(
  name: "sum" | "max" | "min",
  inputs: Reads["inputs"],
  vjp: DifferentiableOp<Run>["vjp"],
): Op<Run> {
  return {
    name,
    shape([x], run) {
      checkDtype(name, "x", x, ["f32"]);
      const { n } = middle(x, run);
      check(
        name === "sum" || n > 0,
        name,
        () => `of nothing: ${show(x.shape)} over axes ${run.first} to ${run.end - 1}`,
      );
      return [f32(folded(x.shape, run))];
    },
    forward: (kernels, [x], [out], run) =>
      kernels.reduce({ op: name, x: x.buf, out: out.buf, ...middle(x, run) }),
    reads: { inputs, outputs: [] },
    vjp,
  };
}

const sumOp = reduceOp("sum", [], ({ inputs: [x], grad }) => [expand(grad, x.shape)]);
const maxOp = reduceOp("max", "all", ({ inputs: [x], grad, attrs }) => [gradToLargest(x, grad, attrs)]);
const minOp = reduceOp("min", "all", ({ inputs: [x], grad, attrs }) => [gradToLargest(neg(x), grad, attrs)]);

/** Gives the gradient of each fold to its largest element, of equals to the first. */
function gradToLargest(x: Tensor, grad: Tensor, run: Run): Tensor {
  const { outer, n, inner } = middle(x, run);
  const rows = permute(reshape(x, [outer, n, inner]), [0, 2, 1]);
  const dRows = takeAlongGrad(reshape(grad, [outer, inner, 1]), topk(rows, 1).ids, rows.shape);
  return reshape(permute(dRows, [0, 2, 1]), x.shape);
}

/** Folds the named axes, neighbours in one go, from the last to the first. */
function fold(
  op: Op<Run>,
  x: Tensor,
  axis?: number | readonly number[],
  options: ReduceOptions = {},
): Tensor {
  const named = axis === undefined ? x.shape.map((_, i) => i) : typeof axis === "number" ? [axis] : axis;
  const axes = new Set(named.map((a) => axisOf(op.name, x, a)));
  check(
    axes.size === named.length,
    op.name,
    () => `an axis of ${show(x.shape)} is named twice in [${named}]`,
  );
  let y = x;
  for (let end = x.rank; end > 0; end--) {
    let first = end;
    while (axes.has(first - 1)) first--;
    if (first === end) continue;
    y = apply(op, [y], { first, end });
    end = first;
  }
  return reshape(y, options.keep ? y.shape : x.shape.filter((_, i) => !axes.has(i)));
}

export interface ReduceOptions {
  /** Leaves the folded axes in the shape, with size 1. */
  readonly keep?: boolean;
}

/** The sum over `axis` (one, several, or without it all: a scalar). */
export function sum(x: Tensor, axis?: number | readonly number[], options?: ReduceOptions): Tensor {
  return fold(sumOp, x, axis, options);
}

/** The mean over `axis`, as {@link sum}. */
export function mean(x: Tensor, axis?: number | readonly number[], options?: ReduceOptions): Tensor {
  check(x.size > 0, "mean", () => `of nothing: ${show(x.shape)}`);
  const total = sum(x, axis, options);
  return affine(total, total.size / x.size, 0);
}

/** The largest over `axis`, as {@link sum}; its gradient goes to the first of equals. */
export function max(x: Tensor, axis?: number | readonly number[], options?: ReduceOptions): Tensor {
  return fold(maxOp, x, axis, options);
}

/** The smallest over `axis`, as {@link sum}; its gradient goes to the first of equals. */
export function min(x: Tensor, axis?: number | readonly number[], options?: ReduceOptions): Tensor {
  return fold(minOp, x, axis, options);
}
