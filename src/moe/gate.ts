import { fail } from "../errors.ts";
import { type Module, type NamedParameter, Parameter } from "../nn/module.ts";
import {
  add,
  affine,
  type Context,
  cast,
  clamp,
  type Device,
  exp,
  gatherRows,
  gelu,
  keep,
  matmul,
  mul,
  Random,
  reshape,
  rsqrt,
  scope,
  show,
  square,
  sum,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import {
  columnsOf,
  type GateSpec,
  leastTemperature,
  mostTemperature,
  picksOf,
  type RoutingSpec,
} from "./spec.ts";

/**
 * Gates: from tokens to logits, one column an expert (or a slot). Products here are f32 whatever the precision of the
 * run: routing decisions flip on rounding (Switch Transformer, section 2.4).
 *
 * T tokens, D width, E columns, N the gate's inner width, V vocabulary.
 */

export interface Gate extends Module {
  /** x_TD [T,D] -> logits [T,E]. `tokenIds`, i32 [T], is what a hash gate reads; the others take null. */
  logits(x_TD: Tensor, context: Context, tokenIds: Tensor | null): Tensor;
  /** The matrix whose rows stand for the experts, for the orthogonality loss; null for a gate without one. */
  rows(): Tensor | null;
  /** Gives back what it keeps besides weights; made again where it is used again. */
  dispose(): void;
}

/** The gate that `spec` describes, for tokens of `width`. Weights start from N(0, std^2). */
export function createGate(spec: RoutingSpec, width: number, std: number): Gate {
  const columns = columnsOf(spec);
  const { gate } = spec;
  switch (gate.kind) {
    case "linear":
      return new LinearGate(columns, width, gate.bias, std);
    case "cosine":
      return new CosineGate(columns, width, gate, std);
    case "mlp":
      return new MlpGate(columns, width, gate.width, std);
    case "hash":
      return new HashGate(spec.experts, picksOf(spec) ?? 1, gate);
  }
}

/** logits = x W^T (+ b). */
export class LinearGate implements Gate {
  readonly weight_ED: Parameter;
  readonly bias_E: Parameter | null;

  constructor(columns: number, width: number, bias: boolean, std: number) {
    this.weight_ED = new Parameter([columns, width], { kind: "normal", std });
    this.bias_E = bias ? new Parameter([columns], { kind: "zeros" }) : null;
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["weight", this.weight_ED];
    if (this.bias_E) yield ["bias", this.bias_E];
  }

  logits(x_TD: Tensor): Tensor {
    const product_TE = matmul(x_TD, this.weight_ED.value, { transB: true, precision: "f32" });
    return this.bias_E ? add(product_TE, this.bias_E.value) : product_TE;
  }

  dispose(): void {}

  rows(): Tensor {
    return this.weight_ED.value;
  }
}

const leastLogScale = -Math.log(mostTemperature);
const mostLogScale = -Math.log(leastTemperature);

/**
 * logits_te = cos(W x_t, v_e) / temperature (X-MoE, Chi et al. 2022, section 3.2): tokens are compared with expert
 * embeddings on a sphere of low dimension, so that they do not collapse towards the experts. The temperature is learned,
 * between {@link leastTemperature} and {@link mostTemperature}.
 */
export class CosineGate implements Gate {
  readonly projection_ND: Parameter;
  readonly embedding_EN: Parameter;
  /** ln(initial temperature / temperature): 0 at the start. */
  readonly logScale: Parameter;
  private readonly start: number;

  constructor(columns: number, width: number, spec: GateSpec & { kind: "cosine" }, std: number) {
    this.projection_ND = new Parameter([spec.width, width], { kind: "normal", std });
    this.embedding_EN = new Parameter([columns, spec.width], { kind: "normal", std });
    this.logScale = new Parameter([1], { kind: "zeros" });
    this.start = Math.log(1 / spec.temperature);
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["projection", this.projection_ND];
    yield ["embedding", this.embedding_EN];
    yield ["logScale", this.logScale];
  }

  logits(x_TD: Tensor): Tensor {
    const x_TN = unitRows(matmul(x_TD, this.projection_ND.value, { transB: true, precision: "f32" }));
    const cosine_TE = matmul(x_TN, unitRows(this.embedding_EN.value), { transB: true, precision: "f32" });
    const logScale = clamp(affine(this.logScale.value, 1, this.start), leastLogScale, mostLogScale);
    return mul(cosine_TE, exp(logScale));
  }

  dispose(): void {}

  rows(): Tensor {
    return this.embedding_EN.value;
  }
}

/** logits = gelu(x U^T) W^T. */
export class MlpGate implements Gate {
  readonly up_ND: Parameter;
  readonly weight_EN: Parameter;

  constructor(columns: number, width: number, inner: number, std: number) {
    this.up_ND = new Parameter([inner, width], { kind: "normal", std });
    this.weight_EN = new Parameter([columns, inner], { kind: "normal", std });
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["up", this.up_ND];
    yield ["weight", this.weight_EN];
  }

  logits(x_TD: Tensor): Tensor {
    const hidden_TN = gelu(matmul(x_TD, this.up_ND.value, { transB: true, precision: "f32" }));
    return matmul(hidden_TN, this.weight_EN.value, { transB: true, precision: "f32" });
  }

  dispose(): void {}

  rows(): Tensor {
    return this.weight_EN.value;
  }
}

/**
 * Hash Layers (Roller et al. 2021): a token's experts follow from its id, by a random table fixed for good. The table is
 * balanced over the vocabulary, and made again from its seed, so it is not a weight. logits are 0 for a token's k experts
 * and -inf for the rest, which makes their softmax weights equal.
 */
export class HashGate implements Gate {
  private readonly experts: number;
  private readonly k: number;
  private readonly spec: GateSpec & { kind: "hash" };
  private readonly tables = new Map<Device, { first_V1: Tensor; logits_EE: Tensor }>();

  constructor(experts: number, k: number, spec: GateSpec & { kind: "hash" }) {
    this.experts = experts;
    this.k = k;
    this.spec = spec;
  }

  *tensors(): Iterable<NamedParameter> {}

  logits(x_TD: Tensor, _context: Context, tokenIds: Tensor | null): Tensor {
    const tokens = x_TD.shape[0];
    if (!tokenIds)
      fail("state", "hash gate: it routes by token id and got none", "pass { tokenIds } beside the tokens");
    if (tokenIds.size !== tokens || tokenIds.dtype !== "i32") {
      fail(
        "shape",
        `hash gate: token ids are ${tokenIds.dtype} ${show(tokenIds.shape)}; for ${tokens} tokens it takes i32 [${tokens}]`,
      );
    }
    const { first_V1, logits_EE } = this.tablesOn(x_TD.device);
    const first_T1 = gatherRows(first_V1, reshape(tokenIds, [tokens]));
    return gatherRows(logits_EE, reshape(cast(first_T1, "i32"), [tokens]));
  }

  rows(): null {
    return null;
  }

  dispose(): void {
    for (const { first_V1, logits_EE } of this.tables.values()) {
      first_V1.dispose();
      logits_EE.dispose();
    }
    this.tables.clear();
  }

  /** The first expert of each id, and the logits of a token by its first expert e: it also takes the k - 1 after e. */
  private tablesOn(device: Device): { first_V1: Tensor; logits_EE: Tensor } {
    const known = this.tables.get(device);
    if (known) return known;
    const { experts, k, spec } = this;
    const logits_EE = new Float32Array(experts * experts).fill(-Infinity);
    for (let e = 0; e < experts; e++)
      for (let j = 0; j < k; j++) logits_EE[e * experts + ((e + j) % experts)] = 0;
    const first_V = balancedTable(spec.vocabulary, experts, new Random(spec.seed, "hash-gate"));
    const made = scope(() => ({
      first_V1: tensor(device, Float32Array.from(first_V), [spec.vocabulary, 1]),
      logits_EE: tensor(device, logits_EE, [experts, experts]),
    }));
    keep(made.first_V1);
    keep(made.logits_EE);
    this.tables.set(device, made);
    return made;
  }
}

/** An expert for each of `ids` ids, at random, but every expert as often as any other, to within one. */
export function balancedTable(ids: number, experts: number, random: Random): Int32Array {
  const table = Int32Array.from({ length: ids }, (_, i) => i % experts);
  for (let i = ids - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [table[i], table[j]] = [table[j], table[i]];
  }
  return table;
}

/** Rows over their length; the small addend keeps a zero row zero. */
export function unitRows(x: Tensor): Tensor {
  return mul(x, rsqrt(affine(sum(square(x), -1, { keep: true }), 1, 1e-12)));
}
