/** ONNX Runtime (native, CPU): node onnx.mjs [threads]. It runs graphs and does not train: products only. */
import { readFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { normals, serve } from "./protocol.mjs";

const threads = Number(process.argv[2] ?? 2);
const { version } = JSON.parse(
  readFileSync(new URL("node_modules/onnxruntime-node/package.json", import.meta.url), "utf8"),
);

// The few protobuf fields (onnx.proto) of a model that is one MatMul.
const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >> 7)]);
const int = (field, value) => [...varint(field << 3), ...varint(value)];
const bytes = (field, value) => [...varint((field << 3) | 2), ...varint(value.length), ...value];
const text = (field, value) => bytes(field, [...new TextEncoder().encode(value)]);

function value(name, shape) {
  const dims = shape.flatMap((size) => bytes(1, int(1, size)));
  const tensorType = [...int(1, 1), ...bytes(2, dims)]; // FLOAT
  return [...text(1, name), ...bytes(2, bytes(1, tensorType))];
}

function matMulModel({ m, n, k }) {
  const node = [...text(1, "a"), ...text(1, "b"), ...text(2, "y"), ...text(4, "MatMul")];
  const graph = [
    ...bytes(1, node),
    ...text(2, "product"),
    ...bytes(11, value("a", [m, k])),
    ...bytes(11, value("b", [k, n])),
    ...bytes(12, value("y", [m, n])),
  ];
  return Uint8Array.from([...int(1, 8), ...bytes(7, graph), ...bytes(8, int(2, 17))]);
}

async function gemm({ m, n, k }) {
  const session = await InferenceSession.create(matMulModel({ m, n, k }), { intraOpNumThreads: threads });
  const a = new Tensor("float32", normals(m * k), [m, k]);
  const b = new Tensor("float32", normals(k * n), [k, n]);
  return { run: () => session.run({ a, b }), dispose: () => session.release() };
}

await serve({ name: "ONNX Runtime", version, threads }, (one) => {
  if (one.op !== "gemm" || one.dtype !== "f32") throw new Error(`no ${one.op} in ${one.dtype}`);
  return gemm(one);
});
