import type { BinaryOp, KernelTable, UnaryOp } from "../abi.ts";
import { at, extent, forEachIndex } from "./memory.ts";
import { load, store } from "./storage.ts";

/** Elementwise operations, each beside its derivative. */
export const elementwise: Pick<KernelTable, "binary" | "unary" | "unaryGrad" | "fmaChain"> = {
  binary({ op, a, b, out, dims, aStrides, bStrides }) {
    const as = load(a, extent(dims, aStrides));
    const bs = load(b, extent(dims, bStrides));
    const values: number[] = [];
    forEachIndex(dims, (index) => {
      values.push(binaryOps[op](as[at(index, aStrides)]!, bs[at(index, bStrides)]!));
    });
    store(out, Float64Array.from(values));
  },

  unary({ op, x, out, n, alpha, beta }) {
    store(
      out,
      load(x, n).map((v) => unaryOps[op].value(v, alpha, beta)),
    );
  },

  fmaChain({ x, out, n, rounds, a, b }) {
    const step = (v: number): number => v * Math.fround(a) + Math.fround(b);
    store(
      out,
      load(x, n).map((v) => {
        let result = v;
        for (let round = 0; round < rounds; round++) result = step(result);
        return result;
      }),
    );
  },

  // y is for implementations that would rather not compute op(x) again.
  unaryGrad({ op, x, dy, dx, n, alpha, beta }) {
    const dys = load(dy, n);
    store(
      dx,
      load(x, n).map((v, i) => dys[i]! * unaryOps[op].slope(v, alpha, beta)),
    );
  },
};

const binaryOps: Readonly<Record<BinaryOp, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  less: (a, b) => (a < b ? 1 : 0),
  equal: (a, b) => (a === b ? 1 : 0),
};

type Formula = (x: number, alpha: number, beta: number) => number;

/** GELU's tanh form: sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks & Gimpel 2016). */
const geluCubic = 0.044715;
const geluInner = (x: number): number => Math.sqrt(2 / Math.PI) * (x + geluCubic * x ** 3);
const geluInnerSlope = (x: number): number => Math.sqrt(2 / Math.PI) * (1 + 3 * geluCubic * x ** 2);

const unaryOps: Readonly<Record<UnaryOp, { value: Formula; slope: Formula }>> = {
  neg: { value: (x) => -x, slope: () => -1 },
  abs: { value: Math.abs, slope: Math.sign },
  exp: { value: Math.exp, slope: Math.exp },
  log: { value: Math.log, slope: (x) => 1 / x },
  sqrt: { value: Math.sqrt, slope: (x) => 0.5 / Math.sqrt(x) },
  rsqrt: { value: (x) => 1 / Math.sqrt(x), slope: (x) => -0.5 / (x * Math.sqrt(x)) },
  square: { value: (x) => x * x, slope: (x) => 2 * x },
  reciprocal: { value: (x) => 1 / x, slope: (x) => -1 / (x * x) },
  sigmoid: { value: sigmoid, slope: (x) => sigmoid(x) * sigmoid(-x) },
  tanh: { value: Math.tanh, slope: (x) => 1 / Math.cosh(x) ** 2 },
  softplus: { value: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), slope: sigmoid },
  relu: { value: (x) => Math.max(x, 0), slope: (x) => (x > 0 ? 1 : 0) },
  gelu: { value: (x) => x * normalCdf(x), slope: (x) => normalCdf(x) + x * normalDensity(x) },
  geluTanh: {
    value: (x) => x * sigmoid(2 * geluInner(x)), // (1 + tanh u) / 2 = sigmoid(2u)
    slope: (x) => {
      const s = sigmoid(2 * geluInner(x));
      return s + x * s * sigmoid(-2 * geluInner(x)) * 2 * geluInnerSlope(x);
    },
  },
  silu: { value: silu, slope: siluSlope },
  normalCdf: { value: normalCdf, slope: normalDensity },
  affine: { value: (x, alpha, beta) => alpha * x + beta, slope: (_, alpha) => alpha },
  clamp: {
    value: (x, low, high) => Math.min(Math.max(x, low), high),
    slope: (x, low, high) => (x >= low && x <= high ? 1 : 0),
  },
  sin: { value: Math.sin, slope: Math.cos },
  cos: { value: Math.cos, slope: (x) => -Math.sin(x) },
};

/** 1 / (1 + e^-x), with the exponent never above 0. */
export function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/** x sigmoid(x). */
export function silu(x: number): number {
  return x * sigmoid(x);
}

/** d silu / dx. */
export function siluSlope(x: number): number {
  return sigmoid(x) * (1 + x * sigmoid(-x));
}

function normalDensity(x: number): number {
  return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}

/** Phi(x): a series of positive terms near 0, and Laplace's continued fraction in the tails
 *  (Abramowitz & Stegun 26.2.11 and 26.2.14). */
function normalCdf(x: number): number {
  const z = Math.abs(x);
  if (z > 40) return x > 0 ? 1 : 0;
  if (z < 3) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 60; n++) sum += term *= (z * z) / (2 * n + 1);
    return 0.5 + Math.sign(x) * normalDensity(z) * sum;
  }
  let fraction = z;
  for (let n = 100; n > 0; n--) fraction = z + n / fraction;
  const tail = normalDensity(z) / fraction;
  return x > 0 ? 1 - tail : tail;
}
