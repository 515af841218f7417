/**
 * The kernel interface: what every implementation (reference, native, wasm) must do, as data.
 *
 * One table gives each kernel its named arguments. From it come the TypeScript types below, the C++ argument
 * structs (scripts/abi.mjs writes build/abi.h) and the one call that crosses into compiled code: arguments
 * are written in this order into an array of doubles. Kernels know buffers and integers, not tensors; callers
 * have checked every size before a kernel runs.
 *
 * Legend: all matrices are row-major and contiguous. Floats are f32 unless a line says otherwise. An id below 0
 * means "none". `buf?` may be null; `bufs` is a list of buffers, at most `longestList`. `dims` is four integers, outermost first, padded with 1 (sizes) or 0
 * (strides, counted in elements).
 */

/**
 * Element types with the block they come in: its elements and its bytes. f16 and the block formats hold weights only (`linear`,
 * `gatherRows`): byte for byte what GGUF files hold. mxfp4: an e8m0 scale, then byte j with element j in its low and j + 16 in its
 * high half. u8: bytes as files hold them, which kernels make weights of.
 */
const blocks = {
  f32: { elements: 1, bytes: 4 },
  bf16: { elements: 1, bytes: 2 },
  i32: { elements: 1, bytes: 4 },
  f16: { elements: 1, bytes: 2 },
  q4_0: { elements: 32, bytes: 18 },
  q4_1: { elements: 32, bytes: 20 },
  q5_0: { elements: 32, bytes: 22 },
  q5_1: { elements: 32, bytes: 24 },
  q8_0: { elements: 32, bytes: 34 },
  q2_k: { elements: 256, bytes: 84 },
  q3_k: { elements: 256, bytes: 110 },
  q4_k: { elements: 256, bytes: 144 },
  q5_k: { elements: 256, bytes: 176 },
  q6_k: { elements: 256, bytes: 210 },
  iq4_nl: { elements: 32, bytes: 18 },
  mxfp4: { elements: 32, bytes: 17 },
  u8: { elements: 1, bytes: 1 },
} as const;

export type DType = keyof typeof blocks;
export const dtypes: readonly DType[] = Object.keys(blocks) as DType[];
/** What activations, gradients and ids are held in; every kernel argument is one of these unless its line says "any dtype". */
export type PlainDType = "f32" | "bf16" | "i32";
export const plainDTypes: readonly DType[] = ["f32", "bf16", "i32"] satisfies PlainDType[];
/** Dtypes that stand for weights only. */
export type WeightDType = Exclude<DType, "i32" | "u8">;
export const weightDTypes: readonly DType[] = dtypes.filter((dtype) => dtype !== "i32" && dtype !== "u8");

/** The elements and the bytes of a block of `dtype`, the least that can be addressed: a matrix row is whole blocks. */
export function blockOf(dtype: DType): { readonly elements: number; readonly bytes: number } {
  return blocks[dtype];
}

/** The bytes of `elements` of `dtype`, whole blocks. */
export function bytesOf(dtype: DType, elements: number): number {
  const block = blocks[dtype];
  return (elements / block.elements) * block.bytes;
}

/** Memory owned by one implementation. Opaque: only the kernels that made it look inside. */
export interface Storage {
  readonly byteLength: number;
}

/** A typed place in a storage; `offset` is in bytes. */
export interface Buf {
  readonly storage: Storage;
  readonly offset: number;
  readonly dtype: DType;
}

/** Functions of one number, for `unary` and its gradient. */
export const unaryOps = [
  "neg",
  "abs",
  "exp",
  "log",
  "sqrt",
  "rsqrt",
  "square",
  "reciprocal",
  "sigmoid",
  "tanh",
  "softplus",
  "relu",
  "gelu",
  "geluTanh",
  "silu",
  "normalCdf",
  "affine",
  "clamp",
  "sin",
  "cos",
] as const;

export const abi = {
  // ---- memory: f32, bf16 and i32 ------------------------------------------------------------------------------
  /** out[i] = value, n elements; i32 takes the truncated value. */
  fill: { out: "buf", n: "int", value: "num" },
  /** out[i] = x[i] converted; f32 to bf16 rounds to nearest even (NaN stays NaN), float to i32 truncates. */
  cast: { x: "buf", out: "buf", n: "int" },
  /** out[sum i*outStrides] (+)= x[sum i*xStrides] over 4-D `dims`. Same dtype both sides, f16 too; accumulate is f32 only
   *  (f32: accumulates in index order when out strides contain 0, so expand's gradient is a reduction). */
  stridedCopy: {
    x: "buf",
    out: "buf",
    dims: "dims",
    xStrides: "dims",
    outStrides: "dims",
    accumulate: "flag",
  },

  // ---- weights from other forms that files have, at any address ----------------------------------------------------
  /** out mxfp4 [rows,k]: row i * rows/turns + j is stored row j * turns + i (of `turns` matrices that take turns). A stored row has
   *  nibbles u8 [k/32,16], element 2j of a block in the low half of byte j and 2j + 1 in the high, and exponents u8 [k/32]. */
  mxfp4Rows: { nibbles: "buf", exponents: "buf", out: "buf", rows: "int", k: "int", turns: "int" },
  /** out[r,j] bf16 = the e4m3 number x[r,j] (u8) times scales[r/block, j/block] (f32 or bf16), in f32, to nearest even; [rows,k]. */
  scaledE4m3: { x: "buf", scales: "buf", out: "buf", rows: "int", k: "int", block: "int" },

  // ---- elementwise -------------------------------------------------------------------------------------
  /** out = a op b, out contiguous over `dims`; strides of 0 broadcast. less and equal give 1 or 0. */
  binary: {
    op: ["add", "sub", "mul", "div", "max", "min", "less", "equal"],
    a: "buf",
    b: "buf",
    out: "buf",
    dims: "dims",
    aStrides: "dims",
    bStrides: "dims",
  },
  /** out[i] = op(x[i]). affine: alpha*x + beta; clamp: into [alpha, beta]; gelu is the erf form, geluTanh the tanh
   *  form; normalCdf: Phi(x); softplus and sigmoid are stable for any x. out may be x. */
  unary: {
    op: unaryOps as typeof unaryOps,
    x: "buf",
    out: "buf",
    n: "int",
    alpha: "num",
    beta: "num",
  },
  /** dx[i] = dy[i] * op'(x[i]), for the same list; y is op(x). relu'(0) = 0; clamp' is 1 on the closed interval. */
  unaryGrad: {
    op: unaryOps as typeof unaryOps,
    x: "buf",
    y: "buf",
    dy: "buf",
    dx: "buf",
    n: "int",
    alpha: "num",
    beta: "num",
  },

  /**
   * out[i] = x[i] after `rounds` times v = v*a + b. Arithmetic with next to no memory, to measure what rate a machine gives:
   * 2 * n * rounds operations.
   */
  fmaChain: { x: "buf", out: "buf", n: "int", rounds: "int", a: "num", b: "num" },

  // ---- reductions over the middle axis of [outer, n, inner] -----------------------------------------------
  reduce: { op: ["sum", "max", "min"], x: "buf", out: "buf", outer: "int", n: "int", inner: "int" },
  /** out[0] = sum x[i]^2 over n, added up in fixed chunks so that the thread count does not change the bits. */
  sumSquares: { x: "buf", out: "buf", n: "int" },

  // ---- rows of n -------------------------------------------------------------------------------------------
  softmax: { x: "buf", out: "buf", rows: "int", n: "int" },
  /** dx = y * (dy - sum(y * dy)) */
  softmaxGrad: { y: "buf", dy: "buf", dx: "buf", rows: "int", n: "int" },
  /** out[rows]; a row of all -inf gives -inf (and softmax of it gives zeros). */
  logSumExp: { x: "buf", out: "buf", rows: "int", n: "int" },
  /** The k largest of each row in falling order, NaN below all, ties to the lower index. values f32 [rows,k], ids i32 [rows,k]. */
  topk: { x: "buf", values: "buf", ids: "buf", rows: "int", n: "int", k: "int" },
  /** out[r,j] = x[r, ids[r,j]], 0 where the id is below 0. */
  takeAlong: { x: "buf", ids: "buf", out: "buf", rows: "int", n: "int", k: "int" },
  /** dx [rows,n] is cleared, then dx[r, ids[r,j]] += dy[r,j]. */
  takeAlongGrad: { dy: "buf", ids: "buf", dx: "buf", rows: "int", n: "int", k: "int" },
  /** out = x * rstd * weight, rstd[r] = 1/sqrt(mean(x^2) + eps). weight null: ones. */
  rmsNorm: { x: "buf", weight: "buf?", out: "buf", rstd: "buf", rows: "int", n: "int", eps: "num" },
  /** dweight null: not wanted. Overwrites dx and dweight. */
  rmsNormGrad: {
    x: "buf",
    weight: "buf?",
    rstd: "buf",
    dy: "buf",
    dx: "buf",
    dweight: "buf?",
    rows: "int",
    n: "int",
  },
  layerNorm: {
    x: "buf",
    weight: "buf?",
    bias: "buf?",
    out: "buf",
    mean: "buf",
    rstd: "buf",
    rows: "int",
    n: "int",
    eps: "num",
  },
  layerNormGrad: {
    x: "buf",
    weight: "buf?",
    mean: "buf",
    rstd: "buf",
    dy: "buf",
    dx: "buf",
    dweight: "buf?",
    dbias: "buf?",
    rows: "int",
    n: "int",
  },
  /** x [tokens, heads, headDim]; cos, sin [positions, rotary/2]; position i32 [tokens]. The first `rotary` of each
   *  head turn, the rest is copied. Pairs are (i, i + rotary/2), or (2i, 2i+1) when interleaved. inverse: turn back
   *  (the gradient). out may be x. */
  rope: {
    x: "buf",
    cos: "buf",
    sin: "buf",
    position: "buf",
    out: "buf",
    tokens: "int",
    heads: "int",
    headDim: "int",
    rotary: "int",
    interleaved: "flag",
    inverse: "flag",
  },
  /** loss[r] = lse[r] - logits[r, target[r]]; target i32, below 0: loss 0 and no gradient. */
  crossEntropy: { logits: "buf", target: "buf", loss: "buf", lse: "buf", rows: "int", n: "int" },
  /** dlogits[r,:] = (softmax(logits[r]) - onehot) * dloss[r]; may overwrite logits. */
  crossEntropyGrad: {
    logits: "buf",
    target: "buf",
    lse: "buf",
    dloss: "buf",
    dlogits: "buf",
    rows: "int",
    n: "int",
  },

  // ---- rows picked by id -----------------------------------------------------------------------------------
  /** out[r,:] = x[ids[r],:], zeros where the id is below 0. x any dtype but i32, decoded; out f32 or bf16. */
  gatherRows: { x: "buf", ids: "buf", out: "buf", rows: "int", n: "int" },
  /** out[ids[r],:] += x[r,:] in order of r (out is not cleared); out has outRows rows. */
  scatterAddRows: { x: "buf", ids: "buf", out: "buf", rows: "int", n: "int", outRows: "int" },
  /** out[t,:] = sum_k weight[t,k] * y[row[t,k],:]; row i32 [tokens,k], below 0 skipped; weight null: ones. */
  combineRows: { y: "buf", row: "buf", weight: "buf?", out: "buf", tokens: "int", k: "int", n: "int" },
  /** dy [rows,n] is cleared, then dy[row[t,k],:] += weight[t,k] * dout[t,:]; dweight[t,k] = y[row] . dout[t].
   *  No row is held twice. */
  combineRowsGrad: {
    y: "buf",
    row: "buf",
    weight: "buf?",
    dout: "buf",
    dy: "buf",
    dweight: "buf?",
    tokens: "int",
    k: "int",
    n: "int",
    rows: "int",
  },

  // ---- routing ---------------------------------------------------------------------------------------------
  /** Sorts places by expert (stable in token order). ids i32 [tokens,k] -> offsets i32 [experts+1]; token i32 [tokens*k], the
   *  token of each row, -1 past the last; row i32 [tokens,k], the row of each place, -1 if none. */
  planRows: { ids: "buf", offsets: "buf", token: "buf", row: "buf", tokens: "int", k: "int", experts: "int" },
  /** counts i32 [experts]: how often each expert stands in ids i32 [n]. */
  countIds: { ids: "buf", counts: "buf", n: "int", experts: "int" },
  /** Each row's best experts in falling order of scores [tokens,experts], ties to the lower index, until their scores add up to at
   *  least topP less 2^-21 (Infinity: never), k at most. -Infinity is never taken; NaN ranks above all, and no sum with it reaches
   *  topP. ids i32 [tokens,k], -1 past the last. */
  selectExperts: { scores: "buf", ids: "buf", tokens: "int", k: "int", experts: "int", topP: "num" },
  /** out[i] = -Infinity where mask[i] is, else scores[i] (a sum would turn NaN and +Infinity into NaN, which ranks above all); n elements. */
  ruleOut: { scores: "buf", mask: "buf", out: "buf", n: "int" },
  /** Group-limited selection: out [tokens,experts] = scores for the experts of taken groups, -Infinity for the rest. Groups are
   *  experts/groups neighbours. A group's score: its best expert above -Infinity, with top2 the f32 sum of its two best; -Infinity
   *  where there is none, NaN above all. Groups go by falling score, ties to the lower index, until `keep` are taken. One is skipped
   *  only where taking it would leave a token with fewer of its k experts than other groups would: see the reference. */
  keepGroups: {
    scores: "buf",
    out: "buf",
    tokens: "int",
    experts: "int",
    groups: "int",
    keep: "int",
    k: "int",
    top2: "flag",
  },
  /** Gives out places under a capacity. Each `group` neighbours among the tokens share places of their own: `capacity` an expert,
   *  `lastCapacity` in the last group, which may be shorter. Rank by rank (every first choice, then every second ...), tokens in order
   *  of position, of falling first-choice score, or of falling given [tokens]; ties to the lower index, -0 equal to 0, NaN after all
   *  numbers, a token without a first choice after that. ids i32 [tokens,k] -> kept i32 [tokens,k]. A place whose expert is full is
   *  -1, or with nextBest goes to the expert with room that the token does not hold and that it scores highest (scores
   *  [tokens,experts]; NaN above all, never -Infinity), as does a place whose expert the token holds. An id of -1 stays. */
  assignCapacity: {
    ids: "buf",
    scores: "buf",
    given: "buf?",
    kept: "buf",
    tokens: "int",
    k: "int",
    experts: "int",
    group: "int",
    capacity: "int",
    lastCapacity: "int",
    priority: ["position", "score", "given"],
    nextBest: "flag",
  },
  /** Expert choice: chosen i32 [experts,capacity], the tokens of each expert -> row i32 [tokens,experts], the row e*capacity+c of each
   *  (token, expert), -1 if not chosen. */
  invertChoice: { chosen: "buf", row: "buf", tokens: "int", experts: "int", capacity: "int" },

  // ---- random numbers ------------------------------------------------------------------------------------
  /** out [rows,n] from the Philox stream of src/tensor/random.ts: element j of row r is number i = (at[1] + r) * n + j, at i32 [2] =
   *  (step, first row). Word i is word i % 4 of the block with counter (floor(i/4), step, stream, 0) and key (seed, seedHigh).
   *  uniform: low + (high - low) * (word i >>> 8) / 2^24. normal: low + high * z, z from words 2*floor(i/2) and the next by Box and
   *  Muller, cosine first: low is the mean, high the standard deviation. */
  random: {
    kind: ["uniform", "normal"],
    out: "buf",
    at: "buf",
    rows: "int",
    n: "int",
    seed: "int",
    seedHigh: "int",
    stream: "int",
    low: "num",
    high: "num",
  },

  // ---- products ------------------------------------------------------------------------------------------
  /** out[i] (+)= op(a[i]) [m,k] x op(b[i]) [k,n] for i < batch. transA: a is stored [k,m]; transB: b is stored [n,k].
   *  a, b, out f32 or bf16, each its own. bf16: inputs are rounded to bf16, products summed in f32. */
  gemm: {
    a: "buf",
    b: "buf",
    out: "buf",
    batch: "int",
    m: "int",
    n: "int",
    k: "int",
    transA: "flag",
    transB: "flag",
    accumulate: "flag",
    bf16: "flag",
  },
  /** Rows sorted by expert: expert e owns rows offsets[e] to offsets[e+1] (i32 [experts+1]). Rows past the last
   *  offset are written as zeros. out[r,:] = x[r,:] [k] x op(w[e]); w is [experts,k,n], or [experts,n,k] when transW.
   *  x, w, out f32 or bf16, each its own; bf16 as in gemm. */
  groupedGemm: {
    x: "buf",
    w: "buf",
    offsets: "buf",
    out: "buf",
    rows: "int",
    experts: "int",
    n: "int",
    k: "int",
    transW: "flag",
    bf16: "flag",
  },
  /** out[r,j] = sum_p x[r,p] * w_g[j,p] for the rows of group g, offsets[g] to offsets[g+1] (i32 [groups+1], rising; null: one group of
   *  all rows); rows past the last are written as zeros. x, out f32. w holds groups * parts pieces, a group's together: each [n/parts, k]
   *  of a weight dtype, at any address (views into mapped files), k a multiple of its block. fast: x may be rounded to bf16, or to 8
   *  or 16 bits with a scale for every 32 elements, otherwise for few rows of a group than for many; else sums of f32 products. */
  linear: {
    x: "buf",
    w: "bufs",
    offsets: "buf?",
    out: "buf",
    rows: "int",
    groups: "int",
    n: "int",
    k: "int",
    fast: "flag",
  },
  /** out[e] [m,n] = sum over expert e's rows of a[r,:]^T x b[r,:]; a [rows,m], b [rows,n]; no rows: zeros.
   *  Dtypes as in groupedGemm. */
  groupedGemmOuter: {
    a: "buf",
    b: "buf",
    offsets: "buf",
    out: "buf",
    rows: "int",
    experts: "int",
    m: "int",
    n: "int",
    bf16: "flag",
  },
  /** The first half of SwiGLU experts: gate and up are the rows x[r,:] [k] times w[e] [2n,k]^T (n of gate, then n of up), rows and
   *  experts as in groupedGemm; out[r,i] = silu(gate_i) * up_i. gateUp [rows,2n], where given, keeps both for the gradient. All f32 or
   *  bf16, each its own; bf16 as in gemm. */
  groupedSwiglu: {
    x: "buf",
    w: "buf",
    offsets: "buf",
    gateUp: "buf?",
    out: "buf",
    rows: "int",
    experts: "int",
    n: "int",
    k: "int",
    bf16: "flag",
  },
  /** Back through the second half and the unit: with d = dy[r,:] [k] times w[e] [k,n], the gradients of gate and up [rows,2n]:
   *  out[r,i] = d_i * up_i * silu'(gate_i), out[r,n+i] = d_i * silu(gate_i). */
  groupedSwigluGrad: {
    dy: "buf",
    w: "buf",
    offsets: "buf",
    gateUp: "buf",
    out: "buf",
    rows: "int",
    experts: "int",
    n: "int",
    k: "int",
    bf16: "flag",
  },
  /** x [rows, 2n] holds gate then up; out[r,i] = silu(x[r,i]) * x[r,n+i]. */
  swiglu: { x: "buf", out: "buf", rows: "int", n: "int" },
  swigluGrad: { x: "buf", dout: "buf", dx: "buf", rows: "int", n: "int" },
  /** x as for swiglu; with g = min(gate, limit) and u = up clamped into [-limit, limit]: out[r,i] = g * sigmoid(alpha * g) *
   *  (u + 1), as in gpt-oss. */
  swigluClamped: { x: "buf", out: "buf", rows: "int", n: "int", alpha: "num", limit: "num" },
  /** out[r,:] = x[r,:] + bias[g,:], group g owning rows offsets[g] to offsets[g+1] (i32 [groups+1]); bias [groups,n]. Rows past
   *  the last offset are copied. out may be x. */
  groupBias: { x: "buf", bias: "buf", offsets: "buf", out: "buf", rows: "int", groups: "int", n: "int" },

  // ---- attention ------------------------------------------------------------------------------------------
  /** q [batch,queries,heads,dim], k [batch,keys,kvHeads,dim], v [batch,keys,kvHeads,valueDim], out
   *  [batch,queries,heads,valueDim], lse [batch,heads,queries]. Query i stands at position queryStart + i, key j at j.
   *  causal: j <= position; window > 0: j > position - window; chunk > 0: j >= position - position % chunk.
   *  sinks [heads]: a logit more in each head's softmax (and lse) that brings no value; null: none.
   *  Heads share kv heads in order (head h reads h / (heads/kvHeads)). Never an [S,S] buffer. A query that may look
   *  at nothing gives zeros. */
  attention: {
    q: "buf",
    k: "buf",
    v: "buf",
    sinks: "buf?",
    out: "buf",
    lse: "buf",
    batch: "int",
    queries: "int",
    keys: "int",
    heads: "int",
    kvHeads: "int",
    dim: "int",
    valueDim: "int",
    queryStart: "int",
    window: "int",
    chunk: "int",
    scale: "num",
    causal: "flag",
  },
  /** Overwrites dq, dk, dv. Sinks are in lse. */
  attentionGrad: {
    q: "buf",
    k: "buf",
    v: "buf",
    out: "buf",
    lse: "buf",
    dout: "buf",
    dq: "buf",
    dk: "buf",
    dv: "buf",
    batch: "int",
    queries: "int",
    keys: "int",
    heads: "int",
    kvHeads: "int",
    dim: "int",
    valueDim: "int",
    queryStart: "int",
    window: "int",
    chunk: "int",
    scale: "num",
    causal: "flag",
  },

  // ---- attention over pages: inference only ---------------------------------------------------------------
  /** Rows of any sequences in one list. Position p of sequence s stands in place p % pageSize of page
   *  pages[s, p / pageSize] (i32 [sequences, maxPages]) of a pool: keys [pages, pageSize, kvHeads, dim], values
   *  [pages, pageSize, kvHeads, valueDim]; v null: a value is the first valueDim features of its key. Row t is a query
   *  q[t] [heads, dim] at position[t] of sequence[t]: it sees the keys j <= position, with window > 0 those above
   *  position - window, with chunk > 0 those of its own chunk of positions. sinks [heads]: logits that join the softmax and
   *  carry no value. Heads share kv heads as in attention. out [rows, heads, valueDim]. */
  pagedAttention: {
    q: "buf",
    k: "buf",
    v: "buf?",
    sinks: "buf?",
    pages: "buf",
    sequence: "buf",
    position: "buf",
    out: "buf",
    rows: "int",
    heads: "int",
    kvHeads: "int",
    dim: "int",
    valueDim: "int",
    pageSize: "int",
    maxPages: "int",
    window: "int",
    chunk: "int",
    scale: "num",
  },
  /** pool[pages[sequence[t], position[t] / pageSize], position[t] % pageSize, :] = x[t, :], rows of n. No place is named twice. */
  appendPages: {
    x: "buf",
    pool: "buf",
    pages: "buf",
    sequence: "buf",
    position: "buf",
    rows: "int",
    n: "int",
    pageSize: "int",
    maxPages: "int",
  },

  // ---- optimizer -----------------------------------------------------------------------------------------
  /** AdamW (Loshchilov & Hutter 2019) over n packed parameters: g = grad*gradScale[0];
   *  m = beta1 m + (1-beta1) g; v = beta2 v + (1-beta2) g^2, each 0 where it falls below the least normal f32, 2^-126;
   *  param -= lr * ( (m/(1-beta1^step)) / (sqrt(v/(1-beta2^step)) + eps) + decay*param ); decay touches only the first
   *  `decayed` elements. gradScale null: 1. */
  adamw: {
    param: "buf",
    grad: "buf",
    m: "buf",
    v: "buf",
    gradScale: "buf?",
    n: "int",
    decayed: "int",
    step: "int",
    lr: "num",
    beta1: "num",
    beta2: "num",
    eps: "num",
    decay: "num",
  },
} as const;

/** A hash of the table (FNV-1a). Compiled kernels carry that of the table they were built from and are refused by any other. */
export const abiHash: number = hash(JSON.stringify([blocks, abi]));

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

export type KernelName = keyof typeof abi;
export type Dims = readonly [number, number, number, number];

/** Buffers that a "bufs" argument may hold. */
export const longestList = 4096;

type Value<K> = K extends "buf"
  ? Buf
  : K extends "bufs"
    ? readonly Buf[]
    : K extends "buf?"
      ? Buf | null
      : K extends "int" | "num"
        ? number
        : K extends "flag"
          ? boolean
          : K extends "dims"
            ? Dims
            : K extends readonly (infer S)[]
              ? S
              : never;

export type KernelArgs<N extends KernelName> = {
  readonly [A in keyof (typeof abi)[N]]: Value<(typeof abi)[N][A]>;
};
export type KernelTable = { readonly [N in KernelName]: (args: KernelArgs<N>) => void };
export type UnaryOp = (typeof abi)["unary"]["op"][number];
export type BinaryOp = (typeof abi)["binary"]["op"][number];
