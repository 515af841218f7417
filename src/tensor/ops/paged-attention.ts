// T rows, H heads, G key/value heads, C key width, Cv value width, P pages of S positions, B sequences, M pages a sequence.

import { fail } from "../../errors.ts";
import { check, checkDtype, checkFinite, checkIds, checkShape } from "../op.ts";
import { empty, show, type Tensor } from "../tensor.ts";

/** Where rows of a pass stand in a paged cache. All i32. */
export interface PagedRows {
  /** [B, M]: the pages of each sequence, in order. */
  readonly pages_BM: Tensor;
  /** [T]: which of the sequences a row belongs to. */
  readonly sequence_T: Tensor;
  /** [T]: its position there. */
  readonly position_T: Tensor;
}

export interface PagedAttentionOptions {
  /** A row looks at this many positions, itself included; 0: at all before it. */
  readonly window: number;
  /** A row looks only at positions of its own chunk of this many; 0: no chunks. */
  readonly chunk: number;
  readonly scale: number;
  /** [H]: logits that join each head's softmax and carry no value. */
  readonly sinks_H: Tensor | null;
  /** Without values: this many leading features of the keys are. */
  readonly valueWidth?: number;
}

/** Writes x [T, G, C] into its places of pool [P, S, G, C], in place and never on the tape. */
export function appendPages(x_TGC: Tensor, pool_PSGC: Tensor, rows: PagedRows): void {
  const op = "appendPages";
  if (x_TGC.tracked)
    fail("state", `${op}: a cache is written in place and no gradient flows through it`, "train without one");
  const count = checkRows(op, rows, pool_PSGC);
  const [, pageSize, ...row] = pool_PSGC.shape;
  checkDtype(op, "x", x_TGC, ["f32"]);
  checkDtype(op, "pool", pool_PSGC, ["f32"]);
  checkShape(op, "x", x_TGC, [count, ...row]);
  x_TGC.device.kernels.run.appendPages({
    x: x_TGC.buf,
    pool: pool_PSGC.buf,
    ...placesOf(rows),
    rows: count,
    n: row.reduce((a, b) => a * b, 1),
    pageSize,
  });
}

/**
 * Each row's attention over what its sequence holds up to its position: q [T, H, C] over pools of keys [P, S, G, C] and values
 * [P, S, G, Cv] -> [T, H, Cv]. Heads share key/value heads in order. Never on the tape.
 */
export function pagedAttention(
  q_THC: Tensor,
  k_PSGC: Tensor,
  v_PSGV: Tensor | null,
  rows: PagedRows,
  { window, chunk, scale, sinks_H, valueWidth }: PagedAttentionOptions,
): Tensor {
  const op = "pagedAttention";
  const count = checkRows(op, rows, k_PSGC);
  const [, heads, dim] = q_THC.shape;
  const [pages, pageSize, kvHeads] = k_PSGC.shape;
  const valueDim = v_PSGV ? v_PSGV.shape[3] : (valueWidth ?? dim);
  checkShape(op, "q", q_THC, [count, heads, dim]);
  checkShape(op, "k", k_PSGC, [pages, pageSize, kvHeads, dim]);
  if (v_PSGV) checkShape(op, "v", v_PSGV, [pages, pageSize, kvHeads, valueDim]);
  if (sinks_H) checkShape(op, "sinks", sinks_H, [heads]);
  for (const [name, part] of Object.entries({ q: q_THC, k: k_PSGC, v: v_PSGV, sinks: sinks_H }))
    if (part) checkDtype(op, name, part, ["f32"]);
  check(
    kvHeads > 0 && heads % kvHeads === 0,
    op,
    () =>
      `${heads} heads of q ${show(q_THC.shape)} do not share ${kvHeads} of k ${show(k_PSGC.shape)} evenly`,
  );
  check(
    valueDim > 0 && (v_PSGV !== null || valueDim <= dim),
    op,
    () => `values of ${valueDim} features in keys of ${dim}`,
  );
  for (const [name, n] of Object.entries({ window, chunk }))
    check(Number.isInteger(n) && n >= 0, op, () => `${name} is ${n}`);
  checkFinite(op, "scale", scale);
  const out_THV = empty(q_THC.device, [count, heads, valueDim]);
  if (count > 0)
    q_THC.device.kernels.run.pagedAttention({
      q: q_THC.buf,
      k: k_PSGC.buf,
      v: v_PSGV?.buf ?? null,
      sinks: sinks_H?.buf ?? null,
      ...placesOf(rows),
      out: out_THV.buf,
      rows: count,
      heads,
      kvHeads,
      dim,
      valueDim,
      pageSize,
      window,
      chunk,
      scale,
    });
  return out_THV;
}

/** The number of rows, all of which stand in `pool` [P, S, ...]. */
function checkRows(op: string, { pages_BM, sequence_T, position_T }: PagedRows, pool: Tensor): number {
  for (const [name, part] of Object.entries({ pages: pages_BM, sequence: sequence_T, position: position_T }))
    checkDtype(op, name, part, ["i32"]);
  check(pages_BM.rank === 2, op, () => `pages ${show(pages_BM.shape)} is not [sequences, pages]`);
  check(pool.rank === 4, op, () => `the pool ${show(pool.shape)} is not [pages, positions, heads, width]`);
  const rows = sequence_T.size;
  checkShape(op, "sequence", sequence_T, [rows]);
  checkShape(op, "position", position_T, [rows]);
  if (rows === 0) return 0;
  const [sequences, most] = pages_BM.shape;
  const [pages, pageSize] = pool.shape;
  checkIds(op, "pages", pages_BM, pages, 0);
  checkIds(op, "sequence", sequence_T, sequences, 0);
  checkIds(op, "position", position_T, most * pageSize, 0);
  return rows;
}

function placesOf({ pages_BM, sequence_T, position_T }: PagedRows) {
  return {
    pages: pages_BM.buf,
    sequence: sequence_T.buf,
    position: position_T.buf,
    maxPages: pages_BM.shape[1],
  };
}
