// Writes a qwen3moe GGUF with random weights, for timing: node bench/peers/random-gguf.mjs OUT.gguf [--type q8_0|q4_0|q4_k|bf16|f16|f32] [--layers 8] ...
// By default 489 M parameters, 137 M of them active: D=1024, 8 layers, 32 experts, top-4, F=512, 32,000 tokens.
//
// Weights are runs of a pool of encoded normal values, so that a file of gigabytes takes seconds. Generated text means nothing.
import { open } from "node:fs/promises";
import { parseArgs } from "node:util";
import { encodeBlocks, fromFloat32, ggufPieces } from "../../dist/formats/index.js";
import { Random } from "../../dist/tensor/index.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    type: { type: "string", default: "q8_0" },
    layers: { type: "string", default: "8" },
    width: { type: "string", default: "1024" },
    experts: { type: "string", default: "32" },
    picks: { type: "string", default: "4" },
    hidden: { type: "string", default: "512" },
    vocabulary: { type: "string", default: "32000" },
  },
});
const [out] = positionals;
if (!out) {
  console.error("give the file to write: node bench/peers/random-gguf.mjs model.gguf --type q4_0");
  process.exit(2);
}
const type = flags.type.toUpperCase();
const [layers, width, experts, picks, hidden, vocabulary] = [
  "layers",
  "width",
  "experts",
  "picks",
  "hidden",
  "vocabulary",
].map((name) => Number(flags[name]));
const headDim = 64;
const heads = width / headDim;
const kvHeads = heads / 4;

/** Normal values of standard deviation 0.02, stored; pieces of it stand for the rows of every matrix. */
const poolRows = 4096;
const random = new Random(1, "weights");
const pool = encode(type, random.normals(poolRows * width, 0.02));
const rowBytes = pool.length / poolRows;

function encode(dtype, values) {
  return ["F32", "F16", "BF16"].includes(dtype)
    ? fromFloat32(dtype, values)
    : encodeBlocks(dtype.toLowerCase(), values);
}

let turn = 0;
/** A matrix of rows * columns weights whose rows start at a new place of the pool for each. */
function matrix(name, shape) {
  const count = shape.reduce((a, b) => a * b, 1) / width;
  return {
    name,
    dtype: type,
    shape,
    bytes() {
      const bytes = new Uint8Array(count * rowBytes);
      for (let row = 0; row < count; ) {
        const start = (turn++ * 1237) % poolRows;
        const rows = Math.min(poolRows - start, count - row, 64);
        bytes.set(pool.subarray(start * rowBytes, (start + rows) * rowBytes), row * rowBytes);
        row += rows;
      }
      return bytes;
    },
  };
}
const floats = (name, shape, values) => ({
  name,
  dtype: "F32",
  shape,
  bytes: () => fromFloat32("F32", values),
});
const ones = (name, n) => floats(name, [n], new Float32Array(n).fill(1));

const tensors = [
  matrix("token_embd.weight", [vocabulary, width]),
  ones("output_norm.weight", width),
  matrix("output.weight", [vocabulary, width]),
];
for (let layer = 0; layer < layers; layer++) {
  const at = (name) => `blk.${layer}.${name}.weight`;
  tensors.push(
    ones(at("attn_norm"), width),
    matrix(at("attn_q"), [heads * headDim, width]),
    matrix(at("attn_k"), [kvHeads * headDim, width]),
    matrix(at("attn_v"), [kvHeads * headDim, width]),
    matrix(at("attn_output"), [width, heads * headDim]),
    ones(at("attn_q_norm"), headDim),
    ones(at("attn_k_norm"), headDim),
    ones(at("ffn_norm"), width),
    floats(at("ffn_gate_inp"), [experts, width], random.normals(experts * width, 0.1)),
    matrix(at("ffn_gate_exps"), [experts, hidden, width]),
    matrix(at("ffn_up_exps"), [experts, hidden, width]),
    matrix(at("ffn_down_exps"), [experts, width, hidden]),
  );
}

const text = (value) => ({ type: "string", value });
const u32 = (value) => ({ type: "u32", value });
const f32 = (value) => ({ type: "f32", value });
const key = (name) => `qwen3moe.${name}`;
/** 256 bytes, then made-up words: enough for a byte-level BPE that can encode anything. */
const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
let hiddenBytes = 0;
const letters = Array.from({ length: 256 }, (_, byte) =>
  String.fromCodePoint(printable(byte) ? byte : 256 + hiddenBytes++),
);
const tokens = [...letters, ...Array.from({ length: vocabulary - 256 }, (_, i) => `<word${i}>`)];
const metadata = {
  "general.architecture": text("qwen3moe"),
  "general.name": text("random"),
  [key("block_count")]: u32(layers),
  [key("context_length")]: u32(4096),
  [key("embedding_length")]: u32(width),
  [key("feed_forward_length")]: u32(hidden),
  [key("attention.head_count")]: u32(heads),
  [key("attention.head_count_kv")]: u32(kvHeads),
  [key("attention.key_length")]: u32(headDim),
  [key("attention.value_length")]: u32(headDim),
  [key("attention.layer_norm_rms_epsilon")]: f32(1e-6),
  [key("rope.freq_base")]: f32(1e6),
  [key("expert_count")]: u32(experts),
  [key("expert_used_count")]: u32(picks),
  [key("expert_feed_forward_length")]: u32(hidden),
  "tokenizer.ggml.model": text("gpt2"),
  "tokenizer.ggml.pre": text("qwen2"),
  "tokenizer.ggml.tokens": { type: "array", of: "string", values: tokens },
  "tokenizer.ggml.token_type": { type: "array", of: "i32", values: tokens.map(() => 1) },
  "tokenizer.ggml.merges": { type: "array", of: "string", values: [] },
  "tokenizer.ggml.eos_token_id": u32(vocabulary - 1),
};

const file = await open(out, "w");
for await (const piece of ggufPieces(tensors, metadata)) await file.write(piece);
await file.close();
const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
console.log(`${out}: ${(parameters / 1e6).toFixed(0)} M parameters as ${type}`);
