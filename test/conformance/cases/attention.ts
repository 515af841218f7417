import type { KernelArgs } from "../../../src/kernels/abi.ts";
import { type Case, input, kernelCase, output, outputsOfReference, type Place, sumOf } from "../harness.ts";
import { numbers, sizes } from "../inputs.ts";

const { floats } = numbers(9);

type Sizes = Omit<KernelArgs<"attention">, "q" | "k" | "v" | "sinks" | "out" | "lse" | "valueDim">;
/** Keys of the first kv head whose first feature is replaced. */
type Damaged = Readonly<Record<number, number>>;
type Damage = { readonly k?: Damaged; readonly v?: Damaged };
/** Values are as wide as keys unless said. */
type Shape = Sizes & { readonly valueDim?: number; readonly sinks?: boolean };
const plain: Sizes = {
  batch: 1,
  queries: 7,
  keys: 7,
  heads: 2,
  kvHeads: 2,
  dim: 17,
  queryStart: 0,
  window: 0,
  chunk: 0,
  scale: 0.3,
  causal: true,
};

const shapes: Readonly<Record<string, Shape>> = {
  ...Object.fromEntries(sizes.map((s) => [`${s} queries and keys`, { ...plain, queries: s, keys: s }])),
  ...Object.fromEntries(sizes.map((dim) => [`heads of ${dim}`, { ...plain, dim }])),
  "heads of 64, grouped by 4": { ...plain, queries: 33, keys: 33, heads: 8, dim: 64 },
  "heads of 128": { ...plain, queries: 17, keys: 17, dim: 128 },
  "not causal": { ...plain, batch: 2, queries: 17, keys: 33, causal: false },
  "one kv head, batch of 3": { ...plain, batch: 3, heads: 5, kvHeads: 1, queries: 33, keys: 33 },
  "one query after a cache": { ...plain, batch: 2, heads: 4, queries: 1, keys: 65, queryStart: 64 },
  "three queries after a cache": { ...plain, queries: 3, keys: 130, queryStart: 127 },
  "keys beyond the last query": { ...plain, queries: 5, keys: 33, queryStart: 9 },
  "window of 1": { ...plain, queries: 17, keys: 17, window: 1 },
  "window of 5": { ...plain, queries: 65, keys: 65, window: 5 },
  "window past the start": { ...plain, queries: 33, keys: 33, window: 100 },
  "window after a cache": { ...plain, queries: 7, keys: 130, queryStart: 123, window: 33 },
  "window, not causal": { ...plain, queries: 33, keys: 65, window: 7, causal: false },
  "queries that see nothing": { ...plain, queries: 9, keys: 5, queryStart: 2, window: 3, causal: false },
  "chunks of 5": { ...plain, queries: 65, keys: 65, chunk: 5 },
  "chunks of 64, window of 40": { ...plain, queries: 150, keys: 150, chunk: 64, window: 40 },
  "chunks after a cache": { ...plain, queries: 3, keys: 130, queryStart: 127, chunk: 64 },
  ...Object.fromEntries(
    sizes.map((valueDim) => [
      `values of ${valueDim}`,
      { ...plain, heads: 4, queries: 33, keys: 33, valueDim },
    ]),
  ),
  "wide values, one query": { ...plain, queries: 1, keys: 130, queryStart: 129, dim: 24, valueDim: 65 },
  sinks: { ...plain, heads: 4, queries: 65, keys: 65, sinks: true },
  "sinks, two queries after a cache": { ...plain, queries: 2, keys: 260, queryStart: 258, sinks: true },
  "sinks, windows that see nothing": {
    ...plain,
    queries: 9,
    keys: 5,
    queryStart: 2,
    window: 3,
    causal: false,
    sinks: true,
  },
  "sinks, one query that sees nothing": { ...plain, queries: 1, keys: 0, queryStart: 0, sinks: true },
  "many blocks": { ...plain, queries: 300, keys: 300, dim: 33 },
};

const cases = Object.entries(shapes).flatMap(([name, shape]) => forwardAndBackward(name, shape));

function forwardAndBackward(name: string, shape: Shape, damage: Damage = {}): [Case, Case] {
  const { sinks = false, ...rest } = { ...shape, valueDim: shape.valueDim ?? shape.dim };
  const { batch, queries, keys, heads, kvHeads, dim, valueDim } = rest;
  const [nq, nout] = [dim, valueDim].map((width) => batch * queries * heads * width);
  const [nk, nv] = [dim, valueDim].map((width) => batch * keys * kvHeads * width);
  const keyed = (count: number, width: number, low: number, high: number, bad: Damaged = {}): Place => {
    const values = floats(count, low, high);
    for (const [key, value] of Object.entries(bad)) values[Number(key) * kvHeads * width] = value;
    return input(values);
  };
  const qkv = {
    q: input(floats(nq, -2, 2)),
    k: keyed(nk, dim, -2, 2, damage.k),
    v: keyed(nv, valueDim, -1, 1, damage.v),
  };
  const forward = kernelCase(
    "attention",
    name,
    {
      ...qkv,
      sinks: sinks ? input(floats(heads, -3, 3)) : null,
      out: output(nout),
      lse: output(batch * heads * queries),
      ...rest,
    },
    sumOf(dim + 8),
  );
  const { out, lse } = outputsOfReference(forward);
  const backward = kernelCase(
    "attentionGrad",
    name,
    {
      ...qkv,
      out: input(out!),
      lse: input(lse!),
      dout: input(floats(nout)),
      dq: output(nq),
      dk: output(nk),
      dv: output(nv),
      ...rest,
    },
    sumOf(keys + dim + 16, 2),
  );
  return [forward, backward];
}

// What a query does not see does not matter to it, though it were not a number.
const damaged = [
  forwardAndBackward("NaN after the first queries", { ...plain, queries: 65, keys: 65 }, { v: { 50: NaN } }),
  forwardAndBackward(
    "NaN in keys and values, window of 5",
    { ...plain, heads: 4, queries: 130, keys: 130, window: 5 },
    { k: { 20: NaN, 70: NaN }, v: { 41: NaN, 64: NaN } },
  ),
  forwardAndBackward(
    "infinities in values, window of 1",
    { ...plain, queries: 33, keys: 33, window: 1 },
    { v: { 7: Infinity, 8: -Infinity } },
  ).slice(0, 1),
];

// A cache holds anything past its last key.
const cached = (values: Float64Array, filled: number): Float64Array => values.fill(NaN, filled);
const unfilled = [3, 7].map((queries) => {
  const shape = { ...plain, queries, keys: 130, queryStart: 70, valueDim: plain.dim };
  const width = shape.kvHeads * shape.dim;
  const filled = (shape.queryStart + queries) * width;
  const n = queries * shape.heads * shape.dim;
  return kernelCase(
    "attention",
    `${queries} queries, cache not full`,
    {
      q: input(floats(n)),
      k: input(cached(floats(shape.keys * width), filled)),
      v: input(cached(floats(shape.keys * width), filled)),
      sinks: null,
      out: output(n),
      lse: output(shape.heads * queries),
      ...shape,
    },
    sumOf(shape.dim + 8),
  );
});

export const attentionCases: readonly Case[] = [...cases, ...damaged.flat(), ...unfilled];
