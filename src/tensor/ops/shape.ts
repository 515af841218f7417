import { type Buf, bytesOf, type DType, plainDTypes } from "../../kernels/abi.ts";
import { apply } from "../apply.ts";
import { sizeOf } from "../device.ts";
import { check, checkDtype, type Op } from "../op.ts";
import { full, type Shape, show, type Tensor } from "../tensor.ts";
import { fourAxes, stridesIn, stridesOf, sumTo } from "./broadcast.ts";

// ---- views ----------------------------------------------------------------------------------------------------

const reshapeOp: Op<{ readonly shape: Shape }> = {
  name: "reshape",
  shape: ([x], { shape }) => {
    check(
      sizeOf(shape) === x.size,
      "reshape",
      () => `${show(x.shape)} to ${show(shape)}: ${x.size} elements to ${sizeOf(shape)}`,
    );
    return [{ shape, viewAt: 0 }];
  },
  forward: () => {},
  reads: { inputs: [], outputs: [] },
  vjp: ({ inputs: [x], grad }) => [grad.view(x.shape)],
};

/** x with another shape of the same size, in the same memory. One size may be -1: it is worked out from the others. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const unknown = shape.indexOf(-1);
  if (unknown < 0) return apply(reshapeOp, [x], { shape });
  const rest = sizeOf(shape.filter((_, axis) => axis !== unknown));
  check(
    rest > 0 && x.size % rest === 0,
    "reshape",
    () => `${show(x.shape)} to ${show(shape)}: nothing fits in place of -1`,
  );
  return apply(reshapeOp, [x], { shape: shape.with(unknown, x.size / rest) });
}

// ---- moves ------------------------------------------------------------------------------------------------------

/** The elements of a tensor from `start` on, stepped through by `strides`. */
interface Strided {
  readonly tensor: Tensor;
  readonly strides: readonly number[];
  readonly start: number;
}

function whole(tensor: Tensor): Strided {
  return { tensor, strides: stridesOf(tensor.shape), start: 0 };
}

/** The part of `tensor` that begins at place `from` of `axis`. */
function part(tensor: Tensor, axis: number, from: number): Strided {
  const strides = stridesOf(tensor.shape);
  return { tensor, strides, start: from * strides[axis] };
}

function place({ tensor: { buf }, start }: Strided): Buf {
  return { ...buf, offset: buf.offset + bytesOf(buf.dtype, start) };
}

const movedDTypes: readonly DType[] = [...plainDTypes, "f16"];

/** to[index] = from[index] for every index of `shape`. */
function copy(op: string, shape: Shape, from: Strided, to: Strided): void {
  checkDtype(op, "x", from.tensor, movedDTypes);
  if (sizeOf(shape) === 0) return;
  const { dims, strides } = fourAxes(op, shape, [from.strides, to.strides]);
  const [xStrides, outStrides] = strides;
  const { run } = from.tensor.device.kernels;
  run.stridedCopy({ x: place(from), out: place(to), dims, xStrides, outStrides, accumulate: false });
}

const permuteOp: Op<{ readonly axes: readonly number[] }> = {
  name: "permute",
  shape([x], { axes }) {
    const each = [...axes].sort((a, b) => a - b).every((axis, i) => axis === i);
    check(
      axes.length === x.rank && each,
      "permute",
      () => `[${axes}] are not the axes of ${show(x.shape)} in some order`,
    );
    return [{ shape: axes.map((axis) => x.shape[axis]), dtype: x.dtype }];
  },
  forward(_run, [x], [out], { axes }) {
    const strides = stridesOf(x.shape);
    copy(
      "permute",
      out.shape,
      { tensor: x, strides: axes.map((axis) => strides[axis]), start: 0 },
      whole(out),
    );
  },
  reads: { inputs: [], outputs: [] },
  vjp: ({ grad, attrs: { axes } }) => [
    permute(
      grad,
      axes.map((_, axis) => axes.indexOf(axis)),
    ),
  ],
};

/** x with axis `axes[i]` as its i-th. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  return apply(permuteOp, [x], { axes });
}

/** x with its last two axes swapped. */
export function transpose(x: Tensor): Tensor {
  check(x.rank >= 2, "transpose", () => `${show(x.shape)} has fewer than two axes`);
  const axes = x.shape.map((_, axis) => axis);
  return permute(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
}

interface SliceAttrs {
  readonly axis: number;
  readonly start: number;
  readonly length: number;
}

const sliceOp: Op<SliceAttrs> = {
  name: "slice",
  shape([x], { axis, start, length }) {
    const fits = Number.isInteger(start) && Number.isInteger(length) && start >= 0 && length >= 0;
    check(
      fits && start + length <= x.shape[axis],
      "slice",
      () => `${length} from ${start} on do not fit axis ${axis} of ${show(x.shape)}`,
    );
    const shape = x.shape.with(axis, length);
    const contiguous = sizeOf(x.shape.slice(0, axis)) === 1;
    return [contiguous ? { shape, viewAt: start * stridesOf(x.shape)[axis] } : { shape, dtype: x.dtype }];
  },
  forward(_run, [x], [out], { axis, start }) {
    if (sizeOf(x.shape.slice(0, axis)) === 1) return;
    copy("slice", out.shape, part(x, axis, start), whole(out));
  },
  reads: { inputs: [], outputs: [] },
  vjp({ inputs: [x], grad, attrs: { axis, start } }) {
    const dx = full(x.device, x.shape, 0);
    copy("slice", grad.shape, whole(grad), part(dx, axis, start));
    return [dx];
  },
};

/** `length` places of `axis` from `start` on; shares memory where only axes of size 1 stand before `axis`. */
export function slice(x: Tensor, axis: number, start: number, length: number): Tensor {
  return apply(sliceOp, [x], { axis: axisOf("slice", x, axis), start, length });
}

const concatOp: Op<{ readonly axis: number }> = {
  name: "concat",
  shape(xs, { axis }) {
    const [first] = xs;
    for (const x of xs) {
      const fits = x.rank === first.rank && x.shape.every((n, i) => i === axis || n === first.shape[i]);
      check(
        fits,
        "concat",
        () => `${show(x.shape)} does not continue ${show(first.shape)} along axis ${axis}`,
      );
      checkDtype("concat", "an input", x, [first.dtype]);
    }
    return [
      {
        shape: first.shape.with(
          axis,
          xs.reduce((n, x) => n + x.shape[axis], 0),
        ),
        dtype: first.dtype,
      },
    ];
  },
  forward(_run, xs, [out], { axis }) {
    let start = 0;
    for (const x of xs) {
      copy("concat", x.shape, whole(x), part(out, axis, start));
      start += x.shape[axis];
    }
  },
  reads: { inputs: [], outputs: [] },
  vjp({ inputs, grad, wanted, attrs: { axis } }) {
    let start = 0;
    return inputs.map((x, i) => {
      const from = start;
      start += x.shape[axis];
      return wanted[i] ? slice(grad, axis, from, x.shape[axis]) : null;
    });
  },
};

/** The tensors one after another along `axis`. */
export function concat(xs: readonly Tensor[], axis: number): Tensor {
  check(xs.length > 0, "concat", () => "there is nothing to join");
  return apply(concatOp, xs, { axis: axisOf("concat", xs[0], axis) });
}

const expandOp: Op<{ readonly shape: Shape }> = {
  name: "expand",
  shape([x], { shape }) {
    const missing = shape.length - x.rank;
    const fits = missing >= 0 && x.shape.every((n, axis) => n === 1 || n === shape[missing + axis]);
    check(fits, "expand", () => `${show(x.shape)} does not repeat to ${show(shape)}`);
    return [{ shape, dtype: x.dtype }];
  },
  forward(_run, [x], [out]) {
    copy("expand", out.shape, { tensor: x, strides: stridesIn(out.shape, x.shape), start: 0 }, whole(out));
  },
  reads: { inputs: [], outputs: [] },
  vjp: ({ inputs: [x], grad }) => [sumTo(grad, x.shape)],
};

/** x repeated along its axes of size 1, and along new leading axes, to `shape`. */
export function expand(x: Tensor, shape: Shape): Tensor {
  return apply(expandOp, [x], { shape });
}

// ---- dtypes -------------------------------------------------------------------------------------------------------

const castOp: Op<{ readonly dtype: DType }> = {
  name: "cast",
  shape([x], { dtype }) {
    checkDtype("cast", "x", x, plainDTypes);
    check(plainDTypes.includes(dtype), "cast", () => `there is no cast to ${dtype}`);
    return [{ shape: x.shape, dtype }];
  },
  forward: (run, [x], [out]) => run.cast({ x: x.buf, out: out.buf, n: x.size }),
  reads: { inputs: [], outputs: [] },
  vjp: ({ grad }) => [grad],
};

/** x converted: to bf16 rounds to nearest even, to i32 truncates (and ends the gradient). Gradients stay f32. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? reshape(x, x.shape) : apply(castOp, [x], { dtype });
}

/** `axis` counted from the front; negative counts from the end. */
export function axisOf(op: string, x: Tensor, axis: number): number {
  const counted = axis < 0 ? axis + x.rank : axis;
  check(
    Number.isInteger(counted) && counted >= 0 && counted < x.rank,
    op,
    () => `${show(x.shape)} has no axis ${axis}`,
  );
  return counted;
}
