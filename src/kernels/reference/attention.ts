import type { KernelArgs, KernelTable } from "../abi.ts";
import { dot, logSumExp } from "./rows.ts";
import { load, store } from "./storage.ts";

/** Attention (Vaswani et al. 2017, eq. 1) with grouped key and value heads, and its gradient.
 *  B batch, Q queries, J keys, H heads, G kv heads, D head width, V value width. */
export const attentions: Pick<KernelTable, "attention" | "attentionGrad"> = {
  attention(args) {
    const { batch, queries, heads, dim, valueDim } = args;
    const q_BQHD = load(args.q, batch * queries * heads * dim);
    const { k_BJGD, v_BJGV } = keysAndValues(args);
    const sinks_H = args.sinks ? load(args.sinks, heads) : null;
    const out_BQHV = new Float64Array(batch * queries * heads * valueDim);
    const lse_BHQ = new Float64Array(batch * heads * queries);
    forEachQuery(args, ({ query, head, lseAt, visible }) => {
      const q_D = at(q_BQHD, query, dim);
      const scores_J = Float64Array.from(visible, (key) => args.scale * dot(q_D, at(k_BJGD, key, dim)));
      lse_BHQ[lseAt] = logSumExp(sinks_H ? Float64Array.of(...scores_J, sinks_H[head]!) : scores_J);
      visible.forEach((key, j) => {
        const p = Math.exp(scores_J[j]! - lse_BHQ[lseAt]!);
        addScaled(at(out_BQHV, query, valueDim), at(v_BJGV, key, valueDim), p);
      });
    });
    store(args.out, out_BQHV);
    store(args.lse, lse_BHQ);
  },

  // With p = exp(score - lse): dv = p dout, dscore = p (dout . v - dout . out), dq and dk follow (Dao 2023, algorithm 2). A
  // sink's value is zero, so it changes lse alone.
  attentionGrad(args) {
    const { batch, queries, heads, dim, valueDim, scale } = args;
    const q_BQHD = load(args.q, batch * queries * heads * dim);
    const { k_BJGD, v_BJGV } = keysAndValues(args);
    const out_BQHV = load(args.out, batch * queries * heads * valueDim);
    const dout_BQHV = load(args.dout, out_BQHV.length);
    const lse_BHQ = load(args.lse, batch * heads * queries);
    const dq_BQHD = new Float64Array(q_BQHD.length);
    const dk_BJGD = new Float64Array(k_BJGD.length);
    const dv_BJGV = new Float64Array(v_BJGV.length);
    forEachQuery(args, ({ query, lseAt, visible }) => {
      const [q_D, dout_V] = [at(q_BQHD, query, dim), at(dout_BQHV, query, valueDim)];
      const mean = dot(dout_V, at(out_BQHV, query, valueDim));
      for (const key of visible) {
        const [k_D, v_V] = [at(k_BJGD, key, dim), at(v_BJGV, key, valueDim)];
        const p = Math.exp(scale * dot(q_D, k_D) - lse_BHQ[lseAt]!);
        const dscore = p * (dot(dout_V, v_V) - mean);
        addScaled(at(dv_BJGV, key, valueDim), dout_V, p);
        addScaled(at(dq_BQHD, query, dim), k_D, scale * dscore);
        addScaled(at(dk_BJGD, key, dim), q_D, scale * dscore);
      }
    });
    store(args.dq, dq_BQHD);
    store(args.dk, dk_BJGD);
    store(args.dv, dv_BJGV);
  },
};

type Shape = Omit<KernelArgs<"attention">, "sinks" | "out" | "lse">;

/** Visits every query of every head with the keys it may look at; queries and keys are numbered by their vector. */
function forEachQuery(
  { batch, queries, keys, heads, kvHeads, queryStart, window, chunk, causal }: Shape,
  visit: (place: { query: number; head: number; lseAt: number; visible: number[] }) => void,
): void {
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h / (heads / kvHeads));
      for (let i = 0; i < queries; i++) {
        const position = queryStart + i;
        const chunkStart = chunk > 0 ? position - (position % chunk) : 0;
        const visible: number[] = [];
        for (let j = chunkStart; j < keys; j++)
          if ((!causal || j <= position) && (window <= 0 || j > position - window))
            visible.push((b * keys + j) * kvHeads + kvHead);
        visit({
          query: (b * queries + i) * heads + h,
          head: h,
          lseAt: (b * heads + h) * queries + i,
          visible,
        });
      }
    }
}

function keysAndValues({ k, v, batch, keys, kvHeads, dim, valueDim }: Shape): {
  k_BJGD: Float64Array;
  v_BJGV: Float64Array;
} {
  const vectors = batch * keys * kvHeads;
  return { k_BJGD: load(k, vectors * dim), v_BJGV: load(v, vectors * valueDim) };
}

function at(x: Float64Array, vector: number, dim: number): Float64Array {
  return x.subarray(vector * dim, (vector + 1) * dim);
}

function addScaled(to: Float64Array, from: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * from[i]!;
}
