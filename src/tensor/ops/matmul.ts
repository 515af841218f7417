import { apply } from "../apply.ts";
import type { Precision } from "../context.ts";
import { sizeOf } from "../device.ts";
import { check, checkDtype, f32, type Op } from "../op.ts";
import { type Shape, show, type Tensor } from "../tensor.ts";

export interface MatmulOptions {
  /** a is stored [..., k, m]. */
  readonly transA?: boolean;
  /** b is stored [..., n, k]. */
  readonly transB?: boolean;
  /** Of the product and of its gradients' products; "f32" unless given. */
  readonly precision?: Precision;
}

/** [batch][m,k] x [batch][k,n]; operands are stored transposed where the flags say so. */
interface Product {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transA: boolean;
  readonly transB: boolean;
  readonly bf16: boolean;
}

function multiply(a: Tensor, b: Tensor, out: Tensor, product: Product): Tensor {
  const { run } = out.device.kernels;
  if (product.k === 0) run.fill({ out: out.buf, n: out.size, value: 0 });
  else if (out.size > 0) run.gemm({ a: a.buf, b: b.buf, out: out.buf, ...product, accumulate: false });
  return out;
}

const matmulOp: Op<{ readonly product: Product; readonly shape: Shape }> = {
  name: "matmul",
  shape: (_, { shape }) => [f32(shape)],
  forward(_run, [a, b], [out], { product }) {
    multiply(a, b, out, product);
  },
  reads: { inputs: "all", outputs: [] },
  // y = A B: dA = dy B^T and dB = A^T dy, each transposed where the operand is stored so.
  vjp({ inputs: [a, b], grad, wanted, attrs: { product }, place }) {
    const { batch, m, n, k, transA, transB, bf16 } = product;
    const da = (): Tensor =>
      transA
        ? multiply(b, grad, place(0), {
            batch,
            m: k,
            n: m,
            k: n,
            transA: transB,
            transB: true,
            bf16,
          })
        : multiply(grad, b, place(0), {
            batch,
            m,
            n: k,
            k: n,
            transA: false,
            transB: !transB,
            bf16,
          });
    const db = (): Tensor =>
      transB
        ? multiply(grad, a, place(1), {
            batch,
            m: n,
            n: k,
            k: m,
            transA: true,
            transB: transA,
            bf16,
          })
        : multiply(a, grad, place(1), {
            batch,
            m: k,
            n,
            k: m,
            transA: !transA,
            transB: false,
            bf16,
          });
    return [wanted[0] ? da() : null, wanted[1] ? db() : null];
  },
};

/**
 * Matrix product: a [..., m, k] x b [k, n] to [..., m, n], or with equal leading axes a [..., m, k] x b [..., k, n], one
 * product each. Operands f32 or bf16, sums and result f32. Precision "bf16" rounds the operands first.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  return apply(matmulOp, [a, b], plan(a, b, options));
}

function plan(
  a: Tensor,
  b: Tensor,
  { transA = false, transB = false, precision = "f32" }: MatmulOptions,
): { product: Product; shape: Shape } {
  checkDtype("matmul", "a", a, ["f32", "bf16"]);
  checkDtype("matmul", "b", b, ["f32", "bf16"]);
  check(
    a.rank >= 2 && b.rank >= 2,
    "matmul",
    () => `${show(a.shape)} x ${show(b.shape)}: both need two axes or more`,
  );
  const [m, k] = lastTwo(a, transA);
  const [bk, n] = lastTwo(b, transB);
  const stored = (): string =>
    transA || transB ? ` (a${transA ? " transposed" : ""}, b${transB ? " transposed" : ""})` : "";
  check(
    k === bk,
    "matmul",
    () => `${show(a.shape)} x ${show(b.shape)}${stored()}: inner sizes ${k} and ${bk} differ`,
  );
  const leading = a.shape.slice(0, -2);
  const options = { n, k, transA, transB, bf16: precision === "bf16" };
  const shape = [...leading, m, n];
  if (b.rank === 2) {
    check(
      !transA || a.rank === 2,
      "matmul",
      () => `a ${show(a.shape)} with leading axes is transposed, b ${show(b.shape)} has none`,
    );
    return { product: { batch: 1, m: sizeOf(leading) * m, ...options }, shape };
  }
  const alike = a.rank === b.rank && leading.every((size, axis) => size === b.shape[axis]);
  check(alike, "matmul", () => `${show(a.shape)} x ${show(b.shape)}: leading axes differ`);
  return { product: { batch: sizeOf(leading), m, ...options }, shape };
}

function lastTwo({ shape }: Tensor, swapped: boolean): readonly [number, number] {
  const [rows, columns] = shape.slice(-2);
  return swapped ? [columns, rows] : [rows, columns];
}
