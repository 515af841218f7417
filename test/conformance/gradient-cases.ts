import * as ops from "../../src/tensor/index.ts";
import { type Device, Random, type Shape, sizeOf, type Tensor, tensor } from "../../src/tensor/index.ts";

/** One use of an operation, to be differentiated. */
export interface Case {
  /** Shapes of the inputs that are differentiated. */
  readonly shapes: readonly Shape[];
  readonly compute: (inputs: readonly Tensor[]) => Tensor;
  /** Where the inputs are drawn from; kinks and poles are kept away from. */
  readonly range?: readonly [low: number, high: number];
}

const positive = [0.3, 2] as const;

const elementwise = (op: (x: Tensor) => Tensor, range: Case["range"] = [-2, 2]): Case[] => [
  { shapes: [[2, 3]], compute: ([x]) => op(x), range },
];
const broadcast = (op: (a: Tensor, b: Tensor) => Tensor, range: Case["range"] = positive): Case[] =>
  (
    [
      [
        [2, 3],
        [2, 3],
      ],
      [[2, 3], [3]],
      [
        [2, 1],
        [4, 1, 3],
      ],
      [[], [2, 2]],
      [
        [2, 1, 2, 1],
        [1, 3, 1, 2],
      ],
    ] as const
  ).map((shapes) => ({ shapes, compute: ([a, b]) => op(a, b), range }));
/** Cases for every operation that has a gradient, by its name. */
export function gradientCases(device: Device): Record<string, readonly Case[]> {
  const ints = (values: readonly number[], shape?: Shape): Tensor =>
    tensor(device, Int32Array.from(values), shape);
  /** All pairs of neighbours differ by 0.1 or more, so that a step does not change which is largest. */
  const spread = (shape: Shape, seed: number): Tensor => {
    const order = Array.from(new Random(seed, "spread").uniforms(sizeOf(shape)));
    const rank = order.map((v) => order.filter((w) => w < v).length);
    return tensor(
      device,
      rank.map((r) => 0.1 * r - 1),
      shape,
    );
  };

  const table = ops.ropeTable(device, 5, ops.ropeFrequencies(4, 100));
  const offsets = ints([0, 2, 2, 5]); // an expert without rows, and a row past the last offset

  return {
    add: [
      // More axes than kernels take, but they merge.
      {
        shapes: [
          [2, 1, 2, 2, 1, 2, 2],
          [2, 1, 2, 2, 1, 2, 2],
        ],
        compute: ([a, b]) => ops.add(a, b),
      },
      ...broadcast(ops.add),
      ...elementwise((x) => ops.add(x, 3)),
      { shapes: [[3]], compute: ([x]) => ops.add(x, x) },
    ],
    sub: [...broadcast(ops.sub), ...elementwise((x) => ops.sub(x, 3))],
    mul: [
      { shapes: [[0, 3], [3]], compute: ([a, b]) => ops.mul(a, b) },
      ...broadcast(ops.mul),
      ...elementwise((x) => ops.mul(x, 3)),
      { shapes: [[3]], compute: ([x]) => ops.mul(x, x) },
    ],
    div: [...broadcast(ops.div), ...elementwise((x) => ops.div(x, 4))],
    maximum: [
      ...broadcast((a, b) => ops.maximum(ops.add(a, 3), b)),
      ...broadcast((a, b) => ops.maximum(a, ops.add(b, 3))),
      ...elementwise((x) => ops.maximum(x, 0.2), [0.3, 2]),
      ...elementwise((x) => ops.maximum(x, 0.2), [-2, 0.1]),
    ],
    minimum: [
      ...broadcast((a, b) => ops.minimum(ops.add(a, 3), b)),
      ...broadcast((a, b) => ops.minimum(a, ops.add(b, 3))),
      ...elementwise((x) => ops.minimum(x, 0.2), [0.3, 2]),
    ],
    neg: elementwise(ops.neg),
    abs: [...elementwise(ops.abs, positive), ...elementwise(ops.abs, [-2, -0.3])],
    exp: elementwise(ops.exp),
    log: elementwise(ops.log, positive),
    sqrt: elementwise(ops.sqrt, positive),
    rsqrt: elementwise(ops.rsqrt, positive),
    square: elementwise(ops.square),
    reciprocal: elementwise(ops.reciprocal, positive),
    sin: elementwise(ops.sin),
    cos: elementwise(ops.cos),
    sigmoid: elementwise(ops.sigmoid),
    tanh: elementwise(ops.tanh),
    softplus: elementwise(ops.softplus),
    relu: [...elementwise(ops.relu, positive), ...elementwise(ops.relu, [-2, -0.3])],
    gelu: elementwise(ops.gelu),
    geluTanh: elementwise(ops.geluTanh),
    silu: elementwise(ops.silu),
    normalCdf: elementwise(ops.normalCdf),
    affine: elementwise((x) => ops.affine(x, -1.5, 4)),
    clamp: [...elementwise((x) => ops.clamp(x, -3, 3)), ...elementwise((x) => ops.clamp(x, 0, 1), [1.2, 2])],
    reshape: [{ shapes: [[2, 6]], compute: ([x]) => ops.reshape(x, [3, -1, 2]) }],
    permute: [
      { shapes: [[2, 3, 4]], compute: ([x]) => ops.permute(x, [2, 0, 1]) },
      { shapes: [[2, 3, 1, 2]], compute: ([x]) => ops.permute(x, [3, 1, 2, 0]) },
    ],
    transpose: [{ shapes: [[2, 3, 4]], compute: ([x]) => ops.transpose(x) }],
    slice: [
      { shapes: [[4, 3]], compute: ([x]) => ops.slice(x, 0, 1, 2) },
      { shapes: [[2, 5, 3]], compute: ([x]) => ops.slice(x, 1, 2, 3) },
      { shapes: [[2, 5]], compute: ([x]) => ops.slice(x, -1, 0, 1) },
    ],
    concat: [
      {
        shapes: [
          [2, 3],
          [1, 3],
        ],
        compute: (xs) => ops.concat(xs, 0),
      },
      {
        shapes: [
          [2, 1, 2],
          [2, 3, 2],
          [2, 0, 2],
        ],
        compute: (xs) => ops.concat(xs, 1),
      },
      { shapes: [[2, 2]], compute: ([x]) => ops.concat([x, x], -1) },
    ],
    expand: [
      { shapes: [[3]], compute: ([x]) => ops.expand(x, [2, 3]) },
      { shapes: [[2, 1, 3, 1]], compute: ([x]) => ops.expand(x, [2, 4, 3, 2]) },
    ],
    // Inputs are multiples of 1/64 with few bits, as is the step, so that bf16 holds them exactly: see `draw`.
    cast: [
      { shapes: [[2, 3]], compute: ([x]) => ops.cast(x, "f32") },
      { shapes: [[2, 3]], compute: ([x]) => ops.cast(ops.cast(x, "bf16"), "f32"), range: [1, 1.5] },
    ],
    sum: [
      { shapes: [[2, 3, 4]], compute: ([x]) => ops.sum(x) },
      { shapes: [[2, 3, 4]], compute: ([x]) => ops.sum(x, 1) },
      { shapes: [[2, 3, 4]], compute: ([x]) => ops.sum(x, [0, 2], { keep: true }) },
      {
        shapes: [
          [2, 0, 3],
          [2, 3],
        ],
        compute: ([x, y]) => ops.add(ops.sum(x, 1), y),
      },
    ],
    mean: [
      { shapes: [[2, 3]], compute: ([x]) => ops.mean(x) },
      { shapes: [[2, 3]], compute: ([x]) => ops.mean(x, -1) },
    ],
    max: [
      { shapes: [[3]], compute: ([s]) => ops.max(ops.add(ops.mul(s, 0.1), spread([3], 1))) },
      { shapes: [[2, 3, 4]], compute: ([s]) => ops.max(ops.add(ops.mul(s, 0.02), spread([2, 3, 4], 2)), 1) },
      {
        shapes: [[2, 3, 4]],
        compute: ([s]) => ops.max(ops.add(ops.mul(s, 0.02), spread([2, 3, 4], 3)), [0, 2], { keep: true }),
      },
    ],
    min: [
      {
        shapes: [[2, 3, 4]],
        compute: ([s]) => ops.min(ops.add(ops.mul(s, 0.02), spread([2, 3, 4], 4)), [1]),
      },
    ],
    matmul: [
      {
        shapes: [
          [0, 3],
          [3, 2],
        ],
        compute: ([x, w]) => ops.matmul(x, w),
      },
      ...[false, true].flatMap((transA) =>
        [false, true].flatMap((transB): Case[] => {
          const a = transA ? [4, 3] : [3, 4];
          const b = transB ? [2, 4] : [4, 2];
          const compute = ([x, y]: readonly Tensor[]): Tensor => ops.matmul(x, y, { transA, transB });
          return [
            { shapes: [a, b], compute },
            {
              shapes: [
                [2, ...a],
                [2, ...b],
              ],
              compute,
            },
          ];
        }),
      ),
      {
        shapes: [
          [2, 2, 3],
          [3, 2],
        ],
        compute: ([a, b]) => ops.matmul(a, b),
      },
      {
        shapes: [
          [2, 2, 3],
          [2, 3],
        ],
        compute: ([a, b]) => ops.matmul(a, b, { transB: true }),
      },
      { shapes: [[2, 3]], compute: ([a]) => ops.matmul(a, a, { transB: true }) },
      {
        shapes: [
          [2, 0],
          [0, 3],
          [2, 3],
        ],
        compute: ([a, b, c]) => ops.add(ops.matmul(a, b), c),
      },
    ],
    groupedMatmul: [
      {
        shapes: [
          [0, 3],
          [2, 3, 2],
        ],
        compute: ([x, w]) => ops.groupedMatmul(x, w, ints([0, 0, 0])),
      },
      {
        shapes: [
          [6, 3],
          [3, 3, 2],
        ],
        compute: ([x, w]) => ops.groupedMatmul(x, w, offsets),
      },
      {
        shapes: [
          [6, 3],
          [3, 2, 3],
        ],
        compute: ([x, w]) => ops.groupedMatmul(x, w, offsets, { transW: true }),
      },
    ],
    softmax: [
      { shapes: [[0, 4]], compute: ([x]) => ops.softmax(x) },
      { shapes: [[2, 4]], compute: ([x]) => ops.softmax(x) },
    ],
    logSumExp: [{ shapes: [[2, 4]], compute: ([x]) => ops.logSumExp(x) }],
    topk: [
      {
        shapes: [[2, 5]],
        compute: ([s]) => ops.topk(ops.add(ops.mul(s, 0.02), spread([2, 5], 5)), 3).values,
      },
    ],
    takeAlong: [{ shapes: [[2, 4]], compute: ([x]) => ops.takeAlong(x, ints([3, -1, 0, 2, 2, 1], [2, 3])) }],
    rmsNorm: [
      { shapes: [[0, 4], [4]], compute: ([x, w]) => ops.rmsNorm(x, w, 1e-5) },
      { shapes: [[3, 4], [4]], compute: ([x, w]) => ops.rmsNorm(x, w, 1e-5) },
      { shapes: [[2, 2, 3]], compute: ([x]) => ops.rmsNorm(x, null, 0.1) },
    ],
    layerNorm: [
      { shapes: [[0, 4], [4], [4]], compute: ([x, w, b]) => ops.layerNorm(x, w, b, 1e-5) },
      { shapes: [[3, 4], [4], [4]], compute: ([x, w, b]) => ops.layerNorm(x, w, b, 1e-5) },
      { shapes: [[3, 4], [4]], compute: ([x, w]) => ops.layerNorm(x, w, null, 0.1) },
      { shapes: [[3, 4], [4]], compute: ([x, b]) => ops.layerNorm(x, null, b, 0.1) },
      { shapes: [[3, 4]], compute: ([x]) => ops.layerNorm(x, null, null, 0.1) },
    ],
    rope: [
      { shapes: [[0, 3, 1, 4]], compute: ([x]) => ops.rope(x, table, ints([0, 1, 2])) },
      { shapes: [[2, 3, 2, 4]], compute: ([x]) => ops.rope(x, table, ints([0, 4, 2])) },
      {
        shapes: [[2, 3, 1, 6]],
        compute: ([x]) => ops.rope(x, table, ints([0, 4, 2, 1, 1, 3], [2, 3]), { interleaved: true }),
      },
    ],
    attention: [
      {
        shapes: [
          [0, 2, 1, 2],
          [0, 2, 1, 2],
          [0, 2, 1, 2],
        ],
        compute: ([q, k, v]) => ops.attention(q, k, v),
      },
      {
        shapes: [
          [2, 3, 2, 2],
          [2, 3, 1, 2],
          [2, 3, 1, 2],
        ],
        compute: ([q, k, v]) => ops.attention(q, k, v),
      },
      {
        shapes: [
          [1, 2, 4, 3],
          [1, 5, 2, 3],
          [1, 5, 2, 3],
        ],
        compute: ([q, k, v]) => ops.attention(q, k, v, { window: 2, queryStart: 3, scale: 0.7 }),
      },
      {
        shapes: [
          [1, 3, 1, 2],
          [1, 3, 1, 2],
          [1, 3, 1, 2],
        ],
        compute: ([q, k, v]) => ops.attention(q, k, v, { causal: false }),
      },
      {
        shapes: [[1, 5, 4, 2], [1, 5, 2, 2], [1, 5, 2, 3], [4]],
        compute: ([q, k, v, sinks]) => ops.attention(q, k, v, { chunk: 3, sinks }),
      },
    ],
    gatherRows: [
      { shapes: [[3, 2]], compute: ([x]) => ops.gatherRows(x, ints([])) },
      { shapes: [[3, 2]], compute: ([x]) => ops.gatherRows(x, ints([2, 0, -1, 2])) },
      { shapes: [[3, 2]], compute: ([x]) => ops.gatherRows(x, ints([2, 0, 1, 1], [2, 2])) },
    ],
    scatterAddRows: [
      { shapes: [[0, 2]], compute: ([x]) => ops.scatterAddRows(x, ints([]), 2) },
      { shapes: [[4, 2]], compute: ([x]) => ops.scatterAddRows(x, ints([2, 0, -1, 2]), 3) },
    ],
    dispatchRows: [
      {
        shapes: [[3, 2]],
        compute: ([x]) => ops.dispatchRows(x, ints([1, 2, 0, 1, -1, -1]), ints([2, -1, 3, 0, 1, -1], [3, 2])),
      },
    ],
    combineRows: [
      { shapes: [[3, 2]], compute: ([y]) => ops.combineRows(y, ints([], [0, 2]), null) },
      {
        shapes: [
          [5, 2],
          [3, 2],
        ],
        compute: ([y, w]) => ops.combineRows(y, ints([2, -1, 3, 0, 1, -1], [3, 2]), w),
      },
      { shapes: [[5, 2]], compute: ([y]) => ops.combineRows(y, ints([2, -1, 3, 0, 1, -1], [3, 2]), null) },
    ],
    swigluClamped: [
      { shapes: [[0, 4]], compute: ([x]) => ops.swigluClamped(x, { alpha: 1.7, limit: 0.75 }) },
      { shapes: [[3, 2, 6]], compute: ([x]) => ops.swigluClamped(x, { alpha: 1.7, limit: 0.75 }) },
    ],
    groupBias: [
      {
        shapes: [
          [0, 2],
          [3, 2],
        ],
        compute: ([x, bias]) => ops.groupBias(x, bias, ints([0, 0, 0, 0])),
      },
      {
        shapes: [
          [5, 2],
          [3, 2],
        ],
        compute: ([x, bias]) => ops.groupBias(x, bias, ints([0, 3, 3, 4])),
      },
    ],
    swiglu: [
      { shapes: [[0, 4]], compute: ([x]) => ops.swiglu(x) },
      { shapes: [[2, 2, 6]], compute: ([x]) => ops.swiglu(x) },
    ],
    swigluExperts: [
      {
        shapes: [
          [0, 3],
          [2, 4, 3],
          [2, 3, 2],
        ],
        compute: ([x, gateUp, down]) => ops.swigluExperts(x, gateUp, down, ints([0, 0, 0])),
      },
      {
        shapes: [
          [6, 3],
          [3, 4, 3],
          [3, 3, 2],
        ],
        compute: ([x, gateUp, down]) => ops.swigluExperts(x, gateUp, down, offsets),
      },
    ],
    crossEntropy: [
      { shapes: [[0, 4]], compute: ([x]) => ops.crossEntropy(x, ints([])) },
      { shapes: [[3, 4]], compute: ([x]) => ops.crossEntropy(x, ints([1, -1, 3])) },
    ],
  };
}
