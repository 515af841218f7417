/** What is timed. T tokens, D width, F expert width, E experts, K picks a token. */
import { basename } from "node:path";
import { trainBenchConfig } from "../../dist/cli/bench/workloads.js";

const few = { D: 512, F: 1024, E: 8, K: 2, T: 2048 };
const many = { D: 512, F: 256, E: 64, K: 8, T: 2048 };
const both = "forward+backward";

/** Products of 2 D F a routed row: three forward, six more backward. */
function moe(shape, pass, dtype) {
  const flops = (pass === both ? 18 : 6) * shape.D * shape.F * shape.T * shape.K;
  return { op: "moe", ...shape, pass, dtype, flops };
}

const title = ({ D, F, E, K, T }) => `D=${D} F=${F} E=${E} K=${K} T=${T}`;
const pytorch = ["PyTorch eager", "PyTorch grouped_mm"];
const native = ["Conclave", "Conclave, 1 thread"];
const wasm = ["Conclave wasm", "Conclave wasm, 1 thread"];

/** Token ids that mean nothing, the same for all. */
const prompt = Array.from({ length: 512 }, (_, i) => ((i * 7919 + 13) % 31000) + 300);

/** Reading a prompt of 512 tokens, and writing after it, for each GGUF file. Times are of the whole prompt, and of one token. */
function generation(files) {
  const contenders = ["Conclave", "Conclave, 1 thread", "llama.cpp"];
  return files.flatMap((model) => [
    {
      title: `${basename(model)}, prompt of ${prompt.length}`,
      case: { op: "prefill", model, prompt, tokens: 1 },
      contenders,
    },
    {
      title: `${basename(model)}, a token`,
      case: { op: "decode", model, prompt: prompt.slice(0, 64), tokens: 65 },
      contenders,
    },
  ]);
}

/** Groups by name; each case names its contenders. `quick` keeps what takes seconds; `files` are GGUF models to generate with. */
export function casesOf(quick, files) {
  const layers = [few, many].flatMap((shape) =>
    ["f32", "bf16"].flatMap((dtype) =>
      ["forward", both].map((pass) => ({
        title: `MoE ${title(shape)}, ${dtype}, ${pass}`,
        case: moe(shape, pass, dtype),
        contenders: [
          ...native,
          ...pytorch,
          ...(dtype === "f32" && pass === both ? [wasm[0], "TensorFlow.js", "jax-js"] : []),
        ],
      })),
    ),
  );
  const steps = ["small", "deep"].flatMap((model) =>
    ["f32", "bf16"].map((dtype) => ({
      title: `training step, ${model}, ${dtype}`,
      case: { op: "train", model, dtype, config: trainBenchConfig(model, dtype) },
      contenders: [...native, ...pytorch],
    })),
  );
  const product = {
    title: "product of 1024 x 1024 x 1024, f32",
    case: { op: "gemm", m: 1024, n: 1024, k: 1024, dtype: "f32", flops: 2 * 1024 ** 3 },
    contenders: [...native, ...wasm, "TensorFlow.js", "jax-js", "ONNX Runtime", "PyTorch eager"],
  };
  const sweep = (along, shapes) =>
    ["f32", "bf16"].flatMap((dtype) =>
      shapes.map((shape) => ({
        title: `${title(shape)}, ${dtype}`,
        along,
        case: moe(shape, both, dtype),
        contenders: ["Conclave", "PyTorch grouped_mm"],
      })),
    );
  const tokens = quick ? [1024, 2048] : [1024, 2048, 4096, 8192, 16384];
  const experts = quick ? [8, 16] : [8, 16, 32, 64];
  const long = quick ? 4096 : 16384;
  return {
    generate: generation(files),
    gemm: [product],
    moe: layers,
    train: quick ? steps.filter((step) => step.case.model === "small") : steps,
    tokens: sweep(
      "T",
      tokens.map((T) => ({ ...few, T })),
    ),
    experts: [
      ...sweep(
        `E at T=${long}`,
        experts.map((E) => ({ ...few, E, T: long })),
      ),
      ...sweep(
        "E at T=2048",
        experts.map((E) => ({ ...few, E })),
      ),
    ],
    memory: [
      ...[few, many, { ...few, T: long }].flatMap((shape) =>
        ["f32", "bf16"].map((dtype) => ({
          title: `MoE ${title(shape)}, ${dtype}`,
          case: moe(shape, both, dtype),
        })),
      ),
      ...(quick ? steps.slice(0, 2) : steps),
    ].map((one) => ({ ...one, contenders: ["Conclave"] })),
  };
}
