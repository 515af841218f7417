/**
 * jax-js on its WebAssembly backend.
 *
 * Its MoE layer is compiled with jit. Each expert gathers C rows, the fullest expert's rounded up, and multiplies them (one product
 * an expert: batched ones run at a tenth of the rate); tokens gather their rows back. Autodiff scatters the gradients. Ids are picked and sorted on the host before, as
 * compiled shapes are fixed.
 */
import { readFileSync } from "node:fs";
import { blockUntilReady, defaultDevice, grad, init, jit, nn, numpy as np } from "@jax-js/jax";
import { normals, serve } from "./protocol.mjs";

await init("wasm");
defaultDevice("wasm");
const { version } = JSON.parse(
  readFileSync(new URL("node_modules/@jax-js/jax/package.json", import.meta.url), "utf8"),
);

const tensor = (shape, scale) =>
  np
    .array(
      normals(
        shape.reduce((a, b) => a * b),
        scale,
      ),
    )
    .reshape(shape);

function gemm({ m, n, k }) {
  const a = tensor([m, k]);
  const b = tensor([k, n]);
  const multiply = jit((x, y) => np.matmul(x, y));
  return {
    async run() {
      const product = await blockUntilReady(multiply(a.ref, b.ref));
      product.dispose();
    },
    dispose() {
      a.dispose();
      b.dispose();
    },
  };
}

/** Where each place stands when rows are sorted by expert, `capacity` rows an expert. */
function plan(ids, E, K) {
  const tokensOf = Array.from({ length: E }, () => []);
  const slots = Array.from(ids, (e, place) => tokensOf[e].push(Math.floor(place / K)) - 1);
  const capacity = 16 * Math.ceil(Math.max(...tokensOf.map((rows) => rows.length)) / 16);
  const tokens_C = tokensOf.map((rows) => Int32Array.from({ length: capacity }, (_, i) => rows[i] ?? 0));
  const row_TK = Int32Array.from(slots, (slot, place) => ids[place] * capacity + slot);
  return { tokens_C, row_TK };
}

function moe({ D, F, E, K, T, pass }) {
  const x = tensor([T, D]);
  const dy = tensor([T, D]);
  const gate = tensor([D, E], 0.02);
  const experts = Array.from({ length: E }, () => [
    tensor([D, F], 0.02),
    tensor([D, F], 0.02),
    tensor([F, D], 0.02),
  ]);
  const layer = (x_TD, gate_DE, weights, ids_TK, tokens_C, row_TK) => {
    const picked_TK = np.takeAlongAxis(np.matmul(x_TD.ref, gate_DE), ids_TK, 1);
    const weights_TK1 = nn.softmax(picked_TK, -1).reshape([T, K, 1]);
    const y_CD = weights.map(([wGate, wUp, wDown], e) => {
      const x_CD = np.take(x_TD.ref, tokens_C[e], 0);
      const hidden_CF = nn.silu(np.matmul(x_CD.ref, wGate)).mul(np.matmul(x_CD, wUp));
      return np.matmul(hidden_CF, wDown);
    });
    x_TD.dispose();
    const y_TKD = np.take(np.concatenate(y_CD, 0), row_TK, 0);
    return y_TKD.mul(weights_TK1).sum(1);
  };
  const forward = jit(layer);
  const backward = jit(
    grad(
      (...inputs) =>
        layer(...inputs.slice(0, -1))
          .mul(inputs.at(-1))
          .sum(),
      { argnums: [0, 1, 2] },
    ),
  );
  const scores = jit((x_TD, gate_DE) => np.matmul(x_TD, gate_DE));
  const route = async () => {
    const logits = await scores(x.ref, gate.ref).data();
    const ids = new Int32Array(T * K);
    for (let t = 0; t < T; t++) {
      const row = Array.from({ length: E }, (_, e) => e).sort(
        (a, b) => logits[t * E + b] - logits[t * E + a],
      );
      for (let k = 0; k < K; k++) ids[t * K + k] = row[k];
    }
    const { tokens_C, row_TK } = plan(ids, E, K);
    const int = (values, shape) => np.array(values, { dtype: np.int32 }).reshape(shape);
    return [int(ids, [T, K]), tokens_C.map((rows) => int(rows, [rows.length])), int(row_TK, [T, K])];
  };
  return {
    async run() {
      const inputs = [
        x.ref,
        gate.ref,
        experts.map((one) => one.map((weight) => weight.ref)),
        ...(await route()),
      ];
      const made = pass === "forward" ? [forward(...inputs)] : backward(...inputs, dy.ref).flat(2);
      for (const one of await blockUntilReady(made)) one.dispose();
    },
    dispose() {
      for (const one of [x, dy, gate, ...experts.flat()]) one.dispose();
    },
  };
}

await serve({ name: "jax-js (wasm)", version, threads: 1 }, (one) => {
  if (one.dtype !== "f32") throw new Error(`no ${one.dtype}`);
  if (one.op === "gemm") return gemm(one);
  if (one.op === "moe") return moe(one);
  throw new Error(`no ${one.op}`);
});
