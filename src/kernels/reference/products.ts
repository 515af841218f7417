import type { Buf, KernelTable } from "../abi.ts";
import { silu, siluSlope } from "./elementwise.ts";
import { bf16ToNumber, load, numberToBf16, store } from "./storage.ts";

/** Matrix products, plain and grouped by expert. Operands are rounded to bf16 first when asked. */
export const products: Pick<
  KernelTable,
  "gemm" | "groupedGemm" | "groupedGemmOuter" | "groupedSwiglu" | "groupedSwigluGrad"
> = {
  gemm({ a, b, out, batch, m, n, k, transA, transB, accumulate, bf16 }) {
    const as = operand(a, batch * m * k, bf16);
    const bs = operand(b, batch * k * n, bf16);
    const result = accumulate ? load(out, batch * m * n) : new Float64Array(batch * m * n);
    for (let s = 0; s < batch; s++)
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let l = 0; l < k; l++) {
            const left = as[s * m * k + (transA ? l * m + i : i * k + l)]!;
            const right = bs[s * k * n + (transB ? j * k + l : l * n + j)]!;
            sum += left * right;
          }
          result[(s * m + i) * n + j]! += sum;
        }
    store(out, result);
  },

  groupedGemm({ x, w, offsets, out, ...sizes }) {
    store(out, groupedProduct(x, w, offsets, sizes));
  },

  groupedSwiglu({ x, w, offsets, gateUp, out, rows, experts, n, k, bf16 }) {
    const both_RG = groupedProduct(x, w, offsets, { rows, experts, n: 2 * n, k, transW: true, bf16 });
    if (gateUp) store(gateUp, both_RG);
    const out_RN = new Float64Array(rows * n);
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < n; i++)
        out_RN[r * n + i] = silu(both_RG[r * 2 * n + i]!) * both_RG[r * 2 * n + n + i]!;
    store(out, out_RN);
  },

  groupedSwigluGrad({ dy, w, offsets, gateUp, out, rows, experts, n, k, bf16 }) {
    const d_RN = groupedProduct(dy, w, offsets, { rows, experts, n, k, transW: false, bf16 });
    const result = load(gateUp, rows * 2 * n);
    const used = load(offsets, experts + 1)[experts]!;
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < n; i++) {
        const [gate, up] = [r * 2 * n + i, r * 2 * n + n + i];
        const d = r < used ? d_RN[r * n + i]! : 0;
        const slope = siluSlope(result[gate]!) * result[up]!;
        result[up] = r < used ? d * silu(result[gate]!) : 0;
        result[gate] = r < used ? d * slope : 0;
      }
    store(out, result);
  },

  groupedGemmOuter({ a, b, offsets, out, rows, experts, m, n, bf16 }) {
    const a_RM = operand(a, rows * m, bf16);
    const b_RN = operand(b, rows * n, bf16);
    const offset_E = load(offsets, experts + 1);
    const out_EMN = new Float64Array(experts * m * n);
    for (let e = 0; e < experts; e++)
      for (let r = offset_E[e]!; r < offset_E[e + 1]!; r++)
        for (let i = 0; i < m; i++)
          for (let j = 0; j < n; j++) out_EMN[(e * m + i) * n + j]! += a_RM[r * m + i]! * b_RN[r * n + j]!;
    store(out, out_EMN);
  },
};

interface GroupedSizes {
  readonly rows: number;
  readonly experts: number;
  readonly n: number;
  readonly k: number;
  readonly transW: boolean;
  readonly bf16: boolean;
}

/** [rows, n]; rows that no expert owns are zeros. */
function groupedProduct(
  x: Buf,
  w: Buf,
  offsets: Buf,
  { rows, experts, n, k, transW, bf16 }: GroupedSizes,
): Float64Array {
  const x_RK = operand(x, rows * k, bf16);
  const w_E = operand(w, experts * k * n, bf16);
  const offset_E = load(offsets, experts + 1);
  const out_RN = new Float64Array(rows * n);
  for (let e = 0; e < experts; e++)
    for (let r = offset_E[e]!; r < offset_E[e + 1]!; r++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++)
          sum += x_RK[r * k + l]! * w_E[e * k * n + (transW ? j * k + l : l * n + j)]!;
        out_RN[r * n + j] = sum;
      }
  return out_RN;
}

function operand(buf: Buf, n: number, bf16: boolean): Float64Array {
  const values = load(buf, n);
  return bf16 ? values.map((v) => bf16ToNumber(numberToBf16(v))) : values;
}
