/**
 * Multi-head latent attention (DeepSeek-V2, Liu et al. 2024, section 2.1): keys and values of all heads are made from one
 * short latent vector a token. A cache holds that vector, beside one key that turns with the position and serves all heads.
 *
 * B batch, S sequence, T tokens, D width, H heads, R latent width, N features of a head's key that do not turn, P those that do,
 * V features of its value.
 */
import {
  attention,
  type Context,
  cast,
  concat,
  expand,
  gatherRows,
  matmul,
  permute,
  reshape,
  slice,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import type { AttentionCache } from "./cache.ts";
import { Linear } from "./linear.ts";
import { type Module, type NamedParameter, within } from "./module.ts";
import { RmsNorm } from "./norm.ts";
import type { Sequence } from "./positions.ts";
import { type Rotary, rotate } from "./rope.ts";

export interface LatentAttentionOptions {
  /** D. */
  readonly width: number;
  /** H. */
  readonly heads: number;
  /** R. */
  readonly latent: number;
  /** Width of the latent that queries are made from; null: they are made from the input. */
  readonly queryLatent: number | null;
  /** N. */
  readonly plain: number;
  /** V. */
  readonly value: number;
  /** Its dims are P. Whoever made it disposes of it. */
  readonly rotary: Rotary;
  /** Factor of the scores. */
  readonly scale: number;
  /** Offsets for what reads the input and what writes the output; default none. */
  readonly bias?: boolean;
  /** Of the latents' norms; default 1e-6. */
  readonly normEps?: number;
  /** Standard deviation of the initial weights, and of those of the output projection. */
  readonly std?: number;
  readonly outStd?: number;
}

export class LatentAttention implements Module {
  readonly options: LatentAttentionOptions;
  /** From the input to queries; null where they have a latent. */
  readonly q: Linear | null;
  readonly queryLatent: { readonly down: Linear; readonly norm: RmsNorm; readonly up: Linear } | null;
  /** From the input to the latent and the turning key, [R + P, D]. */
  readonly kvDown: Linear;
  readonly kvNorm: RmsNorm;
  /** From the latent to each head's plain key and value, [H * (N + V), R]. */
  readonly kvUp: Linear;
  readonly o: Linear;

  constructor(options: LatentAttentionOptions) {
    const { width, heads, latent, queryLatent, plain, value, rotary, bias, normEps = 1e-6 } = options;
    const { std, outStd = std } = options;
    const turned = rotary.spec.dims;
    const queries = heads * (plain + turned);
    this.options = options;
    this.q = queryLatent === null ? new Linear(width, queries, { std }) : null;
    this.queryLatent =
      queryLatent === null
        ? null
        : {
            down: new Linear(width, queryLatent, { bias, std }),
            norm: new RmsNorm(queryLatent, normEps),
            up: new Linear(queryLatent, queries, { std }),
          };
    this.kvDown = new Linear(width, latent + turned, { bias, std });
    this.kvNorm = new RmsNorm(latent, normEps);
    this.kvUp = new Linear(latent, heads * (plain + value), { std });
    this.o = new Linear(heads * value, width, { bias, std: outStd });
  }

  *tensors(): Iterable<NamedParameter> {
    if (this.q) yield* within("q", this.q);
    if (this.queryLatent) {
      yield* within("qDown", this.queryLatent.down);
      yield* within("qNorm", this.queryLatent.norm);
      yield* within("qUp", this.queryLatent.up);
    }
    yield* within("kvDown", this.kvDown);
    yield* within("kvNorm", this.kvNorm);
    yield* within("kvUp", this.kvUp);
    yield* within("o", this.o);
  }

  /** x_TD -> [T, D]. With a cache, the tokens continue what it holds. */
  forward(x_TD: Tensor, sequence: Sequence, cache: AttentionCache | null, ctx: Context): Tensor {
    const { heads, latent: R, plain: N, value: V, rotary } = this.options;
    const P = rotary.spec.dims;
    // A cache takes rows of any sequences, the plain operation whole sequences.
    const leading = cache ? [x_TD.shape[0]] : [sequence.batch, sequence.length];
    const q = reshape(this.queries(x_TD, ctx), [...leading, heads, N + P]);
    const kv_TL = this.kvDown.forward(x_TD, ctx);
    const input: AttentionInput = {
      qPlain: slice(q, -1, 0, N),
      qTurned: rotate(slice(q, -1, N, P), rotary, sequence),
      latent_TR: this.kvNorm.forward(slice(kv_TL, -1, 0, R)),
      kTurned: rotate(reshape(slice(kv_TL, -1, R, P), [...leading, 1, P]), rotary, sequence),
    };
    const mixed = cache ? this.overLatents(input, cache, ctx) : this.overHeads(input, leading, ctx);
    return this.o.forward(reshape(mixed, [-1, heads * V]), ctx);
  }

  private queries(x_TD: Tensor, ctx: Context): Tensor {
    if (!this.queryLatent) return this.q!.forward(x_TD, ctx);
    const { down, norm, up } = this.queryLatent;
    return up.forward(norm.forward(down.forward(x_TD, ctx)), ctx);
  }

  /** Every head's own keys and values, and attention as ever: the least work for whole sequences. */
  private overHeads(
    { qPlain, qTurned, latent_TR, kTurned }: AttentionInput,
    leading: readonly number[],
    ctx: Context,
  ): Tensor {
    const { heads, plain: N, value: V, scale } = this.options;
    const kv_BSHC = reshape(this.kvUp.forward(latent_TR, ctx), [...leading, heads, N + V]);
    const kTurned_BSHP = expand(kTurned, [...leading, heads, kTurned.shape[3]]);
    const k_BSHC = concat([slice(kv_BSHC, -1, 0, N), kTurned_BSHP], 3);
    return attention(concat([qPlain, qTurned], 3), k_BSHC, slice(kv_BSHC, -1, N, V), { scale });
  }

  /**
   * All heads over the same latent keys: q . (U c) is (U^T q) . c, and sum p (W c) is W (sum p c) (section 2.1.2), so that a
   * token's keys and values are never made.
   */
  private overLatents(
    { qPlain: qPlain_THN, qTurned, latent_TR, kTurned: kTurned_T1P }: AttentionInput,
    cache: AttentionCache,
    ctx: Context,
  ): Tensor {
    const { latent: R, scale } = this.options;
    const { precision } = ctx;
    const { key_HNR, value_HVR } = this.headWeights(ctx);
    const qLatent_HTR = matmul(permute(qPlain_THN, [1, 0, 2]), key_HNR, { precision });
    const q_THL = concat([permute(qLatent_HTR, [1, 0, 2]), qTurned], 2);
    const k_T1L = concat([reshape(latent_TR, [-1, 1, R]), kTurned_T1P], 2);
    const options = { window: 0, chunk: 0, scale, sinks_H: null, valueWidth: R };
    const mixed_THR = cache.attend(q_THL, k_T1L, null, options);
    const mixed_HTV = matmul(permute(mixed_THR, [1, 0, 2]), value_HVR, { transB: true, precision });
    return permute(mixed_HTV, [1, 0, 2]);
  }

  /** What {@link kvUp} holds for each head, as matrices that products over heads take: made once where it stays as it is. */
  private headWeights({ precision }: Context): { key_HNR: Tensor; value_HVR: Tensor } {
    const { heads, latent: R, plain: N, value: V } = this.options;
    const { weight } = this.kvUp;
    if (!weight.pieces) {
      const both = reshape(weight.value, [heads, N + V, R]);
      return { key_HNR: slice(both, 1, 0, N), value_HVR: slice(both, 1, N, V) };
    }
    const dtype = precision === "bf16" ? "bf16" : "f32";
    const rows = (start: number, count: number): Tensor => {
      const ids = Int32Array.from(
        { length: heads * count },
        (_, i) => Math.floor(i / count) * (N + V) + start + (i % count),
      );
      return cast(gatherRows(weight.value, tensor(weight.value.device, ids, [heads, count])), dtype);
    };
    return {
      key_HNR: weight.derived(`keys ${dtype}`, () => rows(0, N)),
      value_HVR: weight.derived(`values ${dtype}`, () => rows(N, V)),
    };
  }
}

/** What both forms of the attention start from; leading axes [B, S], or [T] with a cache. */
interface AttentionInput {
  /** [..., H, N] and [..., H, P]. */
  readonly qPlain: Tensor;
  readonly qTurned: Tensor;
  readonly latent_TR: Tensor;
  /** [..., 1, P]. */
  readonly kTurned: Tensor;
}
