import type { KernelArgs, KernelTable } from "../abi.ts";
import { dot, logSumExp } from "./rows.ts";
import { load, store } from "./storage.ts";

/** Attention (Vaswani et al. 2017, eq. 1) with grouped key and value heads, and its gradient.
 *  B batch, Q queries, J keys, H heads, G kv heads, D head width. */
export const attentions: Pick<KernelTable, "attention" | "attentionGrad"> = {
  attention(args) {
    const { batch, queries, heads, dim } = args;
    const q_BQHD = load(args.q, batch * queries * heads * dim);
    const { k_BJGD, v_BJGD } = keysAndValues(args);
    const out_BQHD = new Float64Array(q_BQHD.length);
    const lse_BHQ = new Float64Array(batch * heads * queries);
    forEachQuery(args, ({ query, lseAt, visible }) => {
      const q_D = at(q_BQHD, query, dim);
      const scores_J = Float64Array.from(visible, (key) => args.scale * dot(q_D, at(k_BJGD, key, dim)));
      lse_BHQ[lseAt] = logSumExp(scores_J);
      visible.forEach((key, j) => {
        addScaled(at(out_BQHD, query, dim), at(v_BJGD, key, dim), Math.exp(scores_J[j]! - lse_BHQ[lseAt]!));
      });
    });
    store(args.out, out_BQHD);
    store(args.lse, lse_BHQ);
  },

  // With p = exp(score - lse): dv = p dout, dscore = p (dout . v - dout . out), dq and dk follow (Dao 2023, algorithm 2).
  attentionGrad(args) {
    const { batch, queries, heads, dim, scale } = args;
    const q_BQHD = load(args.q, batch * queries * heads * dim);
    const { k_BJGD, v_BJGD } = keysAndValues(args);
    const out_BQHD = load(args.out, q_BQHD.length);
    const dout_BQHD = load(args.dout, q_BQHD.length);
    const lse_BHQ = load(args.lse, batch * heads * queries);
    const dq_BQHD = new Float64Array(q_BQHD.length);
    const dk_BJGD = new Float64Array(k_BJGD.length);
    const dv_BJGD = new Float64Array(k_BJGD.length);
    forEachQuery(args, ({ query, lseAt, visible }) => {
      const [q_D, dout_D] = [at(q_BQHD, query, dim), at(dout_BQHD, query, dim)];
      const mean = dot(dout_D, at(out_BQHD, query, dim));
      for (const key of visible) {
        const [k_D, v_D] = [at(k_BJGD, key, dim), at(v_BJGD, key, dim)];
        const p = Math.exp(scale * dot(q_D, k_D) - lse_BHQ[lseAt]!);
        const dscore = p * (dot(dout_D, v_D) - mean);
        addScaled(at(dv_BJGD, key, dim), dout_D, p);
        addScaled(at(dq_BQHD, query, dim), k_D, scale * dscore);
        addScaled(at(dk_BJGD, key, dim), q_D, scale * dscore);
      }
    });
    store(args.dq, dq_BQHD);
    store(args.dk, dk_BJGD);
    store(args.dv, dv_BJGD);
  },
};

type Shape = Omit<KernelArgs<"attention">, "out" | "lse">;

/** Visits every query of every head with the keys it may look at; queries and keys are numbered by their vector. */
function forEachQuery(
  { batch, queries, keys, heads, kvHeads, queryStart, window, causal }: Shape,
  visit: (place: { query: number; lseAt: number; visible: number[] }) => void,
): void {
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h / (heads / kvHeads));
      for (let i = 0; i < queries; i++) {
        const position = queryStart + i;
        const visible: number[] = [];
        for (let j = 0; j < keys; j++)
          if ((!causal || j <= position) && (window <= 0 || j > position - window))
            visible.push((b * keys + j) * kvHeads + kvHead);
        visit({ query: (b * queries + i) * heads + h, lseAt: (b * heads + h) * queries + i, visible });
      }
    }
}

function keysAndValues({ k, v, batch, keys, kvHeads, dim }: Shape): {
  k_BJGD: Float64Array;
  v_BJGD: Float64Array;
} {
  const size = batch * keys * kvHeads * dim;
  return { k_BJGD: load(k, size), v_BJGD: load(v, size) };
}

function at(x: Float64Array, vector: number, dim: number): Float64Array {
  return x.subarray(vector * dim, (vector + 1) * dim);
}

function addScaled(to: Float64Array, from: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * from[i]!;
}
