// Weights from forms that files have and products do not take. N rows of K columns; u8 tensors hold what a file does.

import { apply } from "../apply.ts";
import { check, checkDtype, checkShape, type Op } from "../op.ts";
import { show, type Tensor } from "../tensor.ts";

const mxfp4RowsOp: Op<{ readonly turns: number }> = {
  name: "mxfp4Rows",
  shape([nibbles, exponents], { turns }) {
    checkDtype("mxfp4Rows", "nibbles", nibbles, ["u8"]);
    checkDtype("mxfp4Rows", "exponents", exponents, ["u8"]);
    const [rows, blocks, bytes] = nibbles.shape;
    check(
      nibbles.rank === 3 && bytes === 16,
      "mxfp4Rows",
      () => `nibbles ${show(nibbles.shape)} are not [rows, blocks, 16]`,
    );
    checkShape("mxfp4Rows", "exponents", exponents, [rows, blocks]);
    check(rows % turns === 0, "mxfp4Rows", () => `${rows} rows are not those of ${turns} that take turns`);
    return [{ shape: [rows, 32 * blocks], dtype: "mxfp4" }];
  },
  forward: (run, [nibbles, exponents], [out], { turns }) =>
    run.mxfp4Rows({
      nibbles: nibbles.buf,
      exponents: exponents.buf,
      out: out.buf,
      rows: out.shape[0],
      k: out.shape[1],
      turns,
    }),
  vjp: "none",
};

/**
 * A matrix [N, K] of mxfp4 blocks from their parts as Hugging Face files hold them: nibbles u8 [N, K/32, 16], elements 2i and 2i + 1 in a
 * byte, and exponents u8 [N, K/32]. Stored rows of `turns` matrices that take turns become one matrix after the other.
 */
export function mxfp4Rows(nibbles: Tensor, exponents: Tensor, turns = 1): Tensor {
  return apply(mxfp4RowsOp, [nibbles, exponents], { turns });
}

const scaledE4m3Op: Op<{ readonly block: number }> = {
  name: "scaledE4m3",
  shape([x, scales], { block }) {
    checkDtype("scaledE4m3", "x", x, ["u8"]);
    checkDtype("scaledE4m3", "scales", scales, ["f32", "bf16"]);
    check(x.rank === 2, "scaledE4m3", () => `x ${show(x.shape)} is not [rows, columns]`);
    const squares = x.shape.map((size) => Math.ceil(size / block));
    checkShape("scaledE4m3", "scales", scales, squares);
    return [{ shape: x.shape, dtype: "bf16" }];
  },
  forward: (run, [x, scales], [out], { block }) =>
    run.scaledE4m3({
      x: x.buf,
      scales: scales.buf,
      out: out.buf,
      rows: x.shape[0],
      k: x.shape[1],
      block,
    }),
  vjp: "none",
};

/** A bf16 matrix from eight-bit floats e4m3 (u8 [N, K]), each block of `block` by `block` of them times its scale, f32 or bf16. */
export function scaledE4m3(x_NK: Tensor, scales: Tensor, block: number): Tensor {
  return apply(scaledE4m3Op, [x_NK, scales], { block });
}
