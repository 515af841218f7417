/**
 * TensorFlow.js on its WebAssembly backend: node tfjs.mjs [threads].
 *
 * Its MoE layer gathers each expert's rows, multiplies, and scatters them back weighed. The library's own gradients of gather and
 * scatter are missing on this backend, and so is top-k's: each is given with customGrad by the other one. Which rows an expert
 * owns is worked out on the host from the ids, as nothing here can sort.
 */
import { createRequire } from "node:module";
import { normals, serve } from "./protocol.mjs";

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
const threads = Number(process.argv[2] ?? 1);
wasm.setThreadsCount(threads);
await tf.setBackend("wasm");
await tf.ready();

function gemm({ m, n, k }) {
  const a = tf.tensor2d(normals(m * k), [m, k]);
  const b = tf.tensor2d(normals(k * n), [k, n]);
  return {
    run() {
      const product = tf.matMul(a, b);
      product.dataSync();
      product.dispose();
    },
    dispose: () => tf.dispose([a, b]),
  };
}

/** a b, with gradients from plain products of transposed copies: the backend's own transposed products are 20 times slower. */
const multiply = (a_mk, b_kn) =>
  tf.customGrad((a, b, save) => {
    save([a, b]);
    return {
      value: tf.matMul(a, b),
      gradFunc: (dy, [x, y]) => [tf.matMul(dy, tf.transpose(y)), tf.matMul(tf.transpose(x), dy)],
    };
  })(a_mk, b_kn);

const gatherRows = (x_TD, rows) =>
  tf.customGrad((x, save) => {
    save([rows]);
    return {
      value: tf.gather(x, rows),
      gradFunc: (dy, [ids]) => tf.scatterND(ids.reshape([-1, 1]), dy, x.shape),
    };
  })(x_TD);

const scatterRows = (y_RD, rows, tokens) =>
  tf.customGrad((y, save) => {
    save([rows]);
    return {
      value: tf.scatterND(rows.reshape([-1, 1]), y, [tokens, y.shape[1]]),
      gradFunc: (dout, [ids]) => tf.gather(dout, ids),
    };
  })(y_RD);

function moe({ D, F, E, K, T, pass }) {
  const weight = (shape) =>
    tf.tensor(
      normals(
        shape.reduce((a, b) => a * b),
        0.02,
      ),
      shape,
    );
  const x = tf.tensor2d(normals(T * D), [T, D]);
  const dy = tf.tensor2d(normals(T * D), [T, D]);
  const weights = [weight([D, E])];
  for (let e = 0; e < E; e++) weights.push(weight([D, F]), weight([D, F]), weight([F, D]));

  const layer = (x_TD, gate, ...experts) => {
    const logits_TE = multiply(x_TD, gate);
    const { indices } = tf.topk(tf.tensor(logits_TE.dataSync(), [T, E]), K); // a copy, off the gradient
    const ids = indices.dataSync();
    const tokensOf = Array.from({ length: E }, () => []);
    for (const [place, e] of ids.entries()) tokensOf[e].push(Math.floor(place / K));
    // Softmax over the chosen: the others are masked away.
    const chosen = tf.oneHot(indices, E).sum(1).toFloat();
    const weights_TE = tf.softmax(logits_TE.add(chosen.sub(1).mul(1e9)));
    let y_TD = tf.zeros([T, D]);
    for (let e = 0; e < E; e++) {
      if (tokensOf[e].length === 0) continue;
      const rows = tf.tensor1d(tokensOf[e], "int32");
      const [wGate, wUp, wDown] = experts.slice(3 * e, 3 * e + 3);
      const x_rD = gatherRows(x_TD, rows);
      const gate_rF = multiply(x_rD, wGate);
      const hidden_rF = gate_rF.mul(tf.sigmoid(gate_rF)).mul(multiply(x_rD, wUp));
      const weight_r1 = gatherRows(weights_TE.slice([0, e], [T, 1]), rows);
      y_TD = y_TD.add(scatterRows(multiply(hidden_rF, wDown).mul(weight_r1), rows, T));
    }
    return y_TD;
  };
  const gradients = tf.grads((...inputs) =>
    layer(...inputs)
      .mul(dy)
      .sum(),
  );
  return {
    run() {
      tf.tidy(() => {
        if (pass === "forward") layer(x, ...weights).dataSync();
        else for (const grad of gradients([x, ...weights])) grad.dataSync();
      });
    },
    dispose: () => tf.dispose([x, dy, ...weights]),
  };
}

await serve({ name: "TensorFlow.js (wasm)", version: tf.version.tfjs, threads }, (one) => {
  if (one.dtype !== "f32") throw new Error(`no ${one.dtype}`);
  if (one.op === "gemm") return gemm(one);
  if (one.op === "moe") return moe(one);
  throw new Error(`no ${one.op}`);
});
