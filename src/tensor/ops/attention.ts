// B batch, S queries, J keys, H heads, G key and value heads, C width of queries and keys, V width of values.

import { apply } from "../apply.ts";
import { check, checkDtype, checkFinite, checkShape, f32, type Op } from "../op.ts";
import { empty, show, type Tensor } from "../tensor.ts";
import { exp, mul, neg, sub } from "./elementwise.ts";
import { sum } from "./reduce.ts";
import { permute, reshape } from "./shape.ts";

export interface AttentionOptions {
  /** A query looks only at keys up to its position; true unless given. */
  readonly causal?: boolean;
  /** A query looks only at the last `window` keys up to its position (Beltagy et al. 2020); 0, all of them, unless given. */
  readonly window?: number;
  /** A query looks at no key before its own chunk of this many positions (Llama 4); 0, no chunks, unless given. */
  readonly chunk?: number;
  /** Factor of the scores; 1 / sqrt(C) unless given. */
  readonly scale?: number;
  /** The position of the first query among the keys; 0 unless given. */
  readonly queryStart?: number;
  /** [H]: a logit more in each head's softmax, which brings no value (gpt-oss; Xiao et al. 2023); null: none. */
  readonly sinks?: Tensor | null;
}

type AttentionAttrs = Required<Omit<AttentionOptions, "sinks">>;

interface Sizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly dim: number;
  readonly valueDim: number;
}

function sizes(q: Tensor, k: Tensor, v: Tensor): Sizes {
  const [batch, queries, heads, dim] = q.shape;
  return { batch, queries, keys: k.shape[1], heads, kvHeads: k.shape[2], dim, valueDim: v.shape[3] };
}

const attentionOp: Op<AttentionAttrs> = {
  name: "attention",
  shape([q, k, v, sinks], { window, chunk, scale, queryStart }) {
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
    const { batch, queries, keys, heads, kvHeads, dim, valueDim } = sizes(q, k, v);
    checkShape("attention", "k", k, [batch, keys, kvHeads, dim]);
    checkShape("attention", "v", v, [batch, keys, kvHeads, valueDim]);
    check(
      kvHeads > 0 && heads % kvHeads === 0,
      "attention",
      () => `${heads} heads of q ${show(q.shape)} do not share ${kvHeads} of k ${show(k.shape)} evenly`,
    );
    for (const [name, value] of Object.entries({ window, chunk, queryStart }))
      check(Number.isInteger(value) && value >= 0, "attention", () => `${name} is ${value}`);
    checkFinite("attention", "scale", scale);
    if (sinks) {
      checkDtype("attention", "sinks", sinks, ["f32"]);
      checkShape("attention", "sinks", sinks, [heads]);
    }
    return [f32([batch, queries, heads, valueDim]), f32([batch, heads, queries])];
  },
  forward(run, [q, k, v, sinks], [out, lse], attrs) {
    const places = { q: q.buf, k: k.buf, v: v.buf, sinks: sinks?.buf ?? null, out: out.buf, lse: lse.buf };
    run.attention({ ...places, ...sizes(q, k, v), ...attrs });
  },
  reads: { inputs: "all", outputs: "all" },
  vjp({ run, inputs: [q, k, v, sinks], outputs: [out, lse], grad, wanted, attrs }) {
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
      ...sizes(q, k, v),
      ...attrs,
    });
    return sinks ? [dq, dk, dv, wanted[3] ? sinkGradient(sinks, out, lse, grad) : null] : [dq, dk, dv];
  },
};

/** A sink's share of the softmax, e^(sink - lse), takes from every value alike: dsink = -sum of share * (dout . out). */
function sinkGradient(sinks: Tensor, out: Tensor, lse_BHS: Tensor, dout: Tensor): Tensor {
  const share_BHS = exp(neg(sub(lse_BHS, reshape(sinks, [-1, 1]))));
  const lost_BHS = permute(sum(mul(dout, out), 3), [0, 2, 1]);
  return neg(sum(mul(share_BHS, lost_BHS), [0, 2]));
}

/**
 * softmax(scale q k^T) v for each head (Vaswani et al. 2017, eq. 1), in blocks, never with an [S, J] buffer (Dao et al. 2022).
 * q [B, S, H, C]; k [B, J, G, C] and v [B, J, G, V], each shared by H / G heads in order (Ainslie et al. 2023); gives
 * [B, S, H, V]. Query i stands at position queryStart + i, key j at j. A query that may look at nothing gives zeros.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { causal = true, window = 0, chunk = 0, queryStart = 0, sinks = null } = options;
  const { scale = 1 / Math.sqrt(q.shape[q.rank - 1]) } = options;
  const inputs = sinks ? [q, k, v, sinks] : [q, k, v];
  return apply(attentionOp, inputs, { causal, window, chunk, scale, queryStart });
}
