// B batch, S queries, J keys, H heads, G key and value heads, Dh head width.

import { apply } from "../apply.ts";
import { check, checkDtype, checkFinite, checkShape, f32, type Op } from "../op.ts";
import { empty, show, type Tensor } from "../tensor.ts";

export interface AttentionOptions {
  /** A query looks only at keys up to its position; true unless given. */
  readonly causal?: boolean;
  /** A query looks only at the last `window` keys up to its position (Beltagy et al. 2020); 0, all of them, unless given. */
  readonly window?: number;
  /** Factor of the scores; 1 / sqrt(Dh) unless given. */
  readonly scale?: number;
  /** The position of the first query among the keys; 0 unless given. */
  readonly queryStart?: number;
}

type AttentionAttrs = Required<AttentionOptions>;

interface Sizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly dim: number;
}

function sizes(q: Tensor, k: Tensor): Sizes {
  const [batch, queries, heads, dim] = q.shape;
  return { batch, queries, keys: k.shape[1], heads, kvHeads: k.shape[2], dim };
}

const attentionOp: Op<AttentionAttrs> = {
  name: "attention",
  shape([q, k, v], { window, scale, queryStart }) {
    for (const [name, part] of [
      ["q", q],
      ["k", k],
      ["v", v],
    ] as const) {
      checkDtype("attention", name, part, ["f32"]);
      check(
        part.rank === 4,
        "attention",
        () => `${name} ${show(part.shape)} is not [batch, sequence, heads, headDim]`,
      );
    }
    const { batch, queries, keys, heads, kvHeads, dim } = sizes(q, k);
    checkShape("attention", "k", k, [batch, keys, kvHeads, dim]);
    checkShape("attention", "v", v, k.shape);
    check(
      kvHeads > 0 && heads % kvHeads === 0,
      "attention",
      () => `${heads} heads of q ${show(q.shape)} do not share ${kvHeads} of k ${show(k.shape)} evenly`,
    );
    check(Number.isInteger(window) && window >= 0, "attention", () => `window is ${window}`);
    check(Number.isInteger(queryStart) && queryStart >= 0, "attention", () => `queryStart is ${queryStart}`);
    checkFinite("attention", "scale", scale);
    return [f32(q.shape), f32([batch, heads, queries])];
  },
  forward(run, [q, k, v], [out, lse], attrs) {
    run.attention({ q: q.buf, k: k.buf, v: v.buf, out: out.buf, lse: lse.buf, ...sizes(q, k), ...attrs });
  },
  vjp({ run, inputs: [q, k, v], outputs: [out, lse], grad, attrs }) {
    const [dq, dk, dv] = [q, k, v].map((input) => empty(input.device, input.shape));
    run.attentionGrad({
      q: q.buf,
      k: k.buf,
      v: v.buf,
      out: out.buf,
      lse: lse.buf,
      dout: grad.buf,
      dq: dq.buf,
      dk: dk.buf,
      dv: dv.buf,
      ...sizes(q, k),
      ...attrs,
    });
    return [dq, dk, dv];
  },
};

/**
 * softmax(scale q k^T) v for each head (Vaswani et al. 2017, eq. 1), in blocks, never with an [S, J] buffer (Dao et al. 2022).
 * q [B, S, H, Dh]; k and v [B, J, G, Dh], each shared by H / G heads in order (Ainslie et al. 2023). Query i stands at position
 * queryStart + i, key j at j. A query that may look at nothing gives zeros.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { causal = true, window = 0, scale = 1 / Math.sqrt(q.shape[q.rank - 1]), queryStart = 0 } = options;
  return apply(attentionOp, [q, k, v], { causal, window, scale, queryStart });
}
