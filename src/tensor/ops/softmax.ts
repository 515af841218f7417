import { apply, applyAll } from "../apply.ts";
import { check, checkIds, checkRows, checkShape, f32, type Op, rowsOf } from "../op.ts";
import { empty, type Shape, show, type Tensor } from "../tensor.ts";
import { mul } from "./elementwise.ts";
import { reshape } from "./shape.ts";

const softmaxOp: Op<null> = {
  name: "softmax",
  shape([x]) {
    checkRows("softmax", x);
    return [f32(x.shape)];
  },
  forward: (run, [x], [out]) => run.softmax({ x: x.buf, out: out.buf, ...rowsOf(x) }),
  reads: { inputs: [], outputs: [0] },
  vjp({ run, outputs: [y], grad }) {
    const dx = empty(y.device, y.shape);
    run.softmaxGrad({ y: y.buf, dy: grad.buf, dx: dx.buf, ...rowsOf(y) });
    return [dx];
  },
};

/** e^x over its sum along the last axis; a row of nothing but -Infinity gives zeros. */
export function softmax(x: Tensor): Tensor {
  return apply(softmaxOp, [x], null);
}

const logSumExpOp: Op<null> = {
  name: "logSumExp",
  shape([x]) {
    checkRows("logSumExp", x);
    return [f32(x.shape.slice(0, -1))];
  },
  forward: (run, [x], [out]) => run.logSumExp({ x: x.buf, out: out.buf, ...rowsOf(x) }),
  reads: { inputs: [0], outputs: [] },
  vjp: ({ inputs: [x], grad }) => [mul(softmax(x), reshape(grad, [...grad.shape, 1]))],
};

/** log of the sum of e^x along the last axis, which goes away; a row of nothing but -Infinity gives -Infinity. */
export function logSumExp(x: Tensor): Tensor {
  return apply(logSumExpOp, [x], null);
}

const topkOp: Op<{ readonly k: number }> = {
  name: "topk",
  shape([x], { k }) {
    checkRows("topk", x);
    check(
      Number.isInteger(k) && k >= 1 && k <= rowsOf(x).n,
      "topk",
      () => `k is ${k} for rows of ${rowsOf(x).n} in ${show(x.shape)}`,
    );
    const shape = x.shape.with(-1, k);
    return [f32(shape), { shape, dtype: "i32" }];
  },
  forward: (run, [x], [values, ids], { k }) =>
    run.topk({ x: x.buf, values: values.buf, ids: ids.buf, ...rowsOf(x), k }),
  reads: { inputs: [], outputs: [1] },
  vjp: ({ inputs: [x], outputs: [, ids], grad }) => [takeAlongGrad(grad, ids, x.shape)],
};

/** The k largest along the last axis, in falling order, NaN below all, ties to the lower index: [..., n] to twice [..., k]. The ids are i32. */
export function topk(x: Tensor, k: number): { values: Tensor; ids: Tensor } {
  const [values, ids] = applyAll(topkOp, [x], { k });
  return { values, ids };
}

const takeAlongOp: Op<null> = {
  name: "takeAlong",
  shape([x, ids]) {
    checkRows("takeAlong", x);
    check(ids.rank > 0, "takeAlong", () => "ids is a scalar");
    checkShape("takeAlong", "ids", ids, x.shape.with(-1, rowsOf(ids).n));
    checkIds("takeAlong", "ids", ids, rowsOf(x).n);
    return [f32(ids.shape)];
  },
  forward: (run, [x, ids], [out]) =>
    run.takeAlong({ x: x.buf, ids: ids.buf, out: out.buf, ...rowsOf(x), k: rowsOf(ids).n }),
  reads: { inputs: [1], outputs: [] },
  vjp: ({ inputs: [x, ids], grad }) => [takeAlongGrad(grad, ids, x.shape), null],
};

/** out[..., j] = x[..., ids[..., j]], 0 where the id is below 0: x [..., n] and ids i32 [..., k] to [..., k]. */
export function takeAlong(x: Tensor, ids: Tensor): Tensor {
  return apply(takeAlongOp, [x, ids], null);
}

/** The gradient of {@link takeAlong} for an input of `shape`: `grad` put where it was taken from, the rest 0. Not on the tape. */
export function takeAlongGrad(grad: Tensor, ids: Tensor, shape: Shape): Tensor {
  const dx = empty(grad.device, shape);
  const { run } = grad.device.kernels;
  run.takeAlongGrad({ dy: grad.buf, ids: ids.buf, dx: dx.buf, ...rowsOf(dx), k: rowsOf(ids).n });
  return dx;
}
