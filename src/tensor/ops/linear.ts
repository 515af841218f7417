// R rows, G groups (experts), N and K the matrices' sizes.

import { type Buf, blockOf, weightDTypes } from "../../kernels/abi.ts";
import { apply } from "../apply.ts";
import type { Precision } from "../context.ts";
import { makeTensors } from "../made.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op, rowsOf } from "../op.ts";
import { show, type Tensor } from "../tensor.ts";

export interface LinearOptions {
  /** i32 [G+1], rising: group g owns the rows offsets[g] to before offsets[g+1] of x, which is [R, K] then. */
  readonly offsets?: Tensor;
  /** G; default 1. */
  readonly groups?: number;
  /** "bf16" lets the rows be rounded, to bf16 or to 8 or 16 bits with a scale for every 32; "f32" unless given. */
  readonly precision?: Precision;
}

interface LinearAttrs {
  readonly weights: readonly Tensor[];
  readonly groups: number;
  readonly fast: boolean;
}

const linearOp: Op<LinearAttrs> = {
  name: "linear",
  shape([x, offsets], { weights, groups }) {
    checkDtype("linear", "x", x, ["f32"]);
    check(
      !x.tracked,
      "linear",
      () => `x ${show(x.shape)} wants a gradient, which weights bound by a loader do not give`,
    );
    const { n, k } = sizesOf(weights, groups);
    check(
      x.rank > 0 && x.shape[x.rank - 1] === k,
      "linear",
      () => `rows of ${x.shape[x.rank - 1]} in x ${show(x.shape)}, the weights take ${k}`,
    );
    if (offsets) {
      check(x.rank === 2, "linear", () => `x ${show(x.shape)} is not [rows, k]`);
      checkIds("linear", "offsets", offsets, x.shape[0] + 1, 0);
      checkShape("linear", "offsets", offsets, [groups + 1]);
    } else check(groups === 1, "linear", () => `${groups} groups need offsets`);
    return [f32(x.shape.with(-1, n))];
  },
  forward(run, [x, offsets], [out], { weights, groups, fast }) {
    const { n, k } = sizesOf(weights, groups);
    run.linear({
      x: x.buf,
      w: bufsOf(weights),
      offsets: offsets?.buf ?? null,
      out: out.buf,
      rows: rowsOf(x).rows,
      groups,
      n,
      k,
      fast,
    });
  },
  vjp: "none",
};

/** Lists that were checked, with their places in memory: a model's weights come again at every step. */
const known = new WeakMap<readonly Tensor[], { readonly bufs: readonly Buf[] }>();

/** The buffers of `weights`, alive every one. */
function bufsOf(weights: readonly Tensor[]): readonly Buf[] {
  const kept = known.get(weights)?.bufs;
  // Asking throws where one was freed; one that is made anew is elsewhere.
  if (kept !== undefined && weights.every((weight, i) => weight.buf === kept[i])) return kept;
  makeTensors(weights);
  const bufs = weights.map((weight) => weight.buf);
  known.set(weights, { bufs });
  return bufs;
}

function sizesOf(weights: readonly Tensor[], groups: number): { n: number; k: number } {
  const [first] = weights;
  const parts = weights.length / groups;
  check(
    weights.length > 0 && Number.isInteger(parts),
    "linear",
    () => `${weights.length} pieces are no equal number for each of ${groups} groups`,
  );
  const [rows, k] = first.shape;
  if (!known.has(weights)) checkPieces(weights, rows, k);
  return { n: parts * rows, k };
}

function checkPieces(weights: readonly Tensor[], rows: number, k: number): void {
  for (const weight of weights) {
    checkDtype("linear", "a piece", weight, weightDTypes);
    checkShape("linear", "a piece", weight, [rows, k]);
    const { elements } = blockOf(weight.dtype);
    check(
      k % elements === 0,
      "linear",
      () => `rows of ${k} are no whole number of ${weight.dtype} blocks of ${elements}`,
    );
  }
}

/**
 * x W^T with weights for inference: x f32 [..., K] to [..., N]. `weights` are G matrices [N, K], each in equal pieces of whole rows
 * ([N/parts, K], one group's after another), f32, bf16, f16 or in blocks, anywhere in memory. With offsets every group's rows
 * are multiplied by its own matrix and rows past the last offset give zeros. There is no gradient: an x that wants one is an error
 * ("shape").
 */
export function linear(x_RK: Tensor, weights: readonly Tensor[], options: LinearOptions = {}): Tensor {
  const { offsets, groups = 1, precision = "f32" } = options;
  return apply(linearOp, offsets ? [x_RK, offsets] : [x_RK], { weights, groups, fast: precision === "bf16" });
}
