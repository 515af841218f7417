import { fail } from "../../errors.ts";
import type { Dims } from "../../kernels/abi.ts";
import { sizeOf } from "../device.ts";
import { check } from "../op.ts";
import { empty, type Shape, show, type Tensor } from "../tensor.ts";

/** The shape that `a` and `b` broadcast to: axes align at the end, and a size of 1 repeats (NumPy's rule). */
export function broadcastShape(op: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    check(m === n || m === 1 || n === 1, op, () => `${show(a)} and ${show(b)} do not broadcast`);
    return m === 1 ? n : m;
  });
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): readonly number[] {
  const strides: number[] = [];
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** Strides to read `shape` as the `wider` shape that it broadcasts to: 0 where it repeats. */
export function stridesIn(wider: Shape, shape: Shape): readonly number[] {
  const own = stridesOf(shape);
  const missing = wider.length - shape.length;
  return wider.map((_, axis) => (axis < missing || shape[axis - missing] === 1 ? 0 : own[axis - missing]));
}

/** What a strided kernel takes: sizes, and the strides of each operand. */
export interface Axes {
  readonly dims: Dims;
  readonly strides: readonly Dims[];
}

/** Merges neighbouring axes that every operand steps through evenly, drops those of size 1, and pads to the kernels' four. */
export function fourAxes(op: string, shape: Shape, operands: readonly (readonly number[])[]): Axes {
  const axes: { size: number; strides: number[] }[] = [];
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const strides = operands.map((operand) => operand[axis]);
    const last = axes.at(-1);
    if (last && strides.every((stride, i) => last.strides[i] === size * stride)) {
      last.size *= size;
      last.strides = strides;
    } else axes.push({ size, strides });
  });
  if (axes.length > 4) {
    fail(
      "shape",
      `${op}: ${show(shape)} has ${axes.length} axes that do not merge; kernels take 4`,
      "reshape to fewer axes first",
    );
  }
  while (axes.length < 4) axes.unshift({ size: 1, strides: operands.map(() => 0) });
  const four = (pick: (axis: number) => number): Dims => [pick(0), pick(1), pick(2), pick(3)];
  return {
    dims: four((axis) => axes[axis].size),
    strides: operands.map((_, i) => four((axis) => axes[axis].strides[i])),
  };
}

/** Adds `grad` up over the axes along which `shape` was repeated to become grad's: the gradient of broadcasting. Not on the tape. */
export function sumTo(grad: Tensor, shape: Shape): Tensor {
  const missing = grad.rank - shape.length;
  const repeated = (axis: number): boolean =>
    axis < missing || (shape[axis - missing] === 1 && grad.shape[axis] !== 1);
  let sum = grad;
  let inner = 1;
  // Runs of repeated axes, from the last, each one reduction of [outer, n, inner].
  for (let axis = grad.rank - 1; axis >= 0; ) {
    let n = 1;
    for (; axis >= 0 && repeated(axis); axis--) n *= grad.shape[axis];
    if (n !== 1) sum = reduceMiddle("sum", sum, [sizeOf(grad.shape.slice(0, axis + 1)), n, inner]);
    for (; axis >= 0 && !repeated(axis); axis--) inner *= grad.shape[axis];
  }
  return sum === grad && missing === 0 ? grad : sum.view(shape);
}

/** x, read as [outer, n, inner], reduced over its middle axis to [outer, inner]. Not on the tape. */
export function reduceMiddle(
  op: "sum" | "max" | "min",
  x: Tensor,
  [outer, n, inner]: readonly [number, number, number],
): Tensor {
  const out = empty(x.device, [outer, inner]);
  if (out.size > 0) x.device.kernels.run.reduce({ op, x: x.buf, out: out.buf, outer, n, inner });
  return out;
}
