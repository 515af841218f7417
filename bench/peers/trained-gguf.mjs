/**
 * Writes a mixture that `conclave train` made as a GGUF file, to be asked about by agree.mjs: random weights have nearly flat logits, trained ones not.
 *
 *     node bench/peers/trained-gguf.mjs runs/small-1 OUT.gguf [--type q8_0|q4_0|f16|f32]
 *
 * Its vocabulary stays behind: agree.mjs speaks in ids. So does the attention window, so prompts must be shorter than that.
 */
import { open, readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { openTensors } from "../../dist/formats/files.js";
import { encodeBlocks, fromFloat32, ggufPieces, toFloat32 } from "../../dist/formats/index.js";
import { beyondMixtral, readMixtral } from "../../dist/models/index.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { type: { type: "string", default: "q8_0" } },
});
const [folder, out] = positionals;
const stop = (line, code = 1) => {
  console.error(line);
  process.exit(code);
};
if (!out)
  stop("give a run and the file to write: node bench/peers/trained-gguf.mjs runs/small-1 trained.gguf", 2);
const types = { q8_0: "Q8_0", q4_0: "Q4_0", f16: "F16", f32: "F32" };
const type =
  types[flags.type] ?? stop(`--type ${flags.type}: it is one of ${Object.keys(types).join(", ")}`, 2);
const config = await mixtralOf(folder);
const { width: D, heads, kvHeads } = config;
const { experts } = config.routing;
const store = await openTensors(folder).catch((error) => stop(error.message));
const stored = (name) => store.tensors.get(name) ?? stop(`${folder} has no tensor ${name}`);
const values = async (name) => toFloat32(stored(name).dtype, await store.read(name));

/** The configuration of a run that llama.cpp's Mixtral computes too. */
async function mixtralOf(folder) {
  const path = `${folder}/config.json`;
  const text = await readFile(path, "utf8").catch((error) => stop(`${path}: ${error.message}`));
  const json = JSON.parse(text);
  if (json.model_type !== "mixtral") stop(`${folder} is a ${json.model_type}; only a Mixtral can be written`);
  try {
    const config = readMixtral(json, path);
    const beyond = [
      ...beyondMixtral(config),
      ...(config.rope.scaling.kind === "none" ? [] : ["rope_scaling"]),
    ];
    if (beyond.length > 0) stop(`${folder} has what llama.cpp's Mixtral has not: ${beyond.join(", ")}`);
    return config;
  } catch (error) {
    return stop(error.message);
  }
}

function encode(dtype, floats) {
  return ["F32", "F16", "BF16"].includes(dtype)
    ? fromFloat32(dtype, floats)
    : encodeBlocks(dtype.toLowerCase(), floats);
}
const tensors = [];
const add = (name, dtype, shape, floats) =>
  tensors.push({ name, dtype, shape, bytes: () => encode(dtype, floats) });
const shapeOf = (name) => stored(name).shape;
const matrix = async (to, from) => add(to, type, shapeOf(from), await values(from));
const plain = async (to, from) => add(to, "F32", shapeOf(from), await values(from));

/** Rows of queries and keys as llama.cpp turns them: feature i of a head beside i + C/2. */
function paired(floats, count) {
  const rows = floats.length / D;
  const half = rows / count / 2;
  const moved = new Float32Array(floats.length);
  for (let row = 0; row < rows; row++) {
    const [head, i] = [Math.floor(row / (2 * half)), row % (2 * half)];
    const to = head * 2 * half + 2 * (i % half) + Math.floor(i / half);
    moved.set(floats.subarray(row * D, (row + 1) * D), to * D);
  }
  return moved;
}

await matrix("token_embd.weight", "model.embed_tokens.weight");
await plain("output_norm.weight", "model.norm.weight");
if (!config.tied) await matrix("output.weight", "lm_head.weight");
for (let layer = 0; layer < config.layers; layer++) {
  const at = (name) => `blk.${layer}.${name}.weight`;
  const from = (name) => `model.layers.${layer}.${name}.weight`;
  await plain(at("attn_norm"), from("input_layernorm"));
  await plain(at("ffn_norm"), from("post_attention_layernorm"));
  for (const [to, name, count] of [
    ["attn_q", "self_attn.q_proj", heads],
    ["attn_k", "self_attn.k_proj", kvHeads],
  ])
    add(at(to), type, shapeOf(from(name)), paired(await values(from(name)), count));
  await matrix(at("attn_v"), from("self_attn.v_proj"));
  await matrix(at("attn_output"), from("self_attn.o_proj"));
  await plain(at("ffn_gate_inp"), from("block_sparse_moe.gate"));
  for (const [to, name] of [
    ["ffn_gate_exps", "w1"],
    ["ffn_up_exps", "w3"],
    ["ffn_down_exps", "w2"],
  ]) {
    const each = [];
    for (let e = 0; e < experts; e++) each.push(await values(from(`block_sparse_moe.experts.${e}.${name}`)));
    const all = new Float32Array(each.length * each[0].length);
    for (const [e, floats] of each.entries()) all.set(floats, e * floats.length);
    add(at(to), type, [experts, ...shapeOf(from(`block_sparse_moe.experts.0.${name}`))], all);
  }
}
await store.close();

const text = (value) => ({ type: "string", value });
const u32 = (value) => ({ type: "u32", value });
const f32 = (value) => ({ type: "f32", value });
const key = (name) => `llama.${name}`;
const tokens = Array.from({ length: config.vocabulary }, (_, id) => `<token${id}>`);
const metadata = {
  "general.architecture": text("llama"),
  "general.name": text("trained"),
  [key("block_count")]: u32(config.layers),
  [key("context_length")]: u32(config.maxPositions),
  [key("embedding_length")]: u32(D),
  [key("feed_forward_length")]: u32(config.expertHidden),
  [key("attention.head_count")]: u32(heads),
  [key("attention.head_count_kv")]: u32(kvHeads),
  [key("rope.dimension_count")]: u32(config.headDim),
  [key("attention.layer_norm_rms_epsilon")]: f32(config.normEps),
  [key("rope.freq_base")]: f32(config.rope.theta),
  [key("expert_count")]: u32(experts),
  [key("expert_used_count")]: u32(config.routing.select.k),
  "tokenizer.ggml.model": text("gpt2"),
  "tokenizer.ggml.pre": text("gpt-2"),
  "tokenizer.ggml.tokens": { type: "array", of: "string", values: tokens },
  "tokenizer.ggml.token_type": { type: "array", of: "i32", values: tokens.map(() => 1) },
  "tokenizer.ggml.merges": { type: "array", of: "string", values: [] },
  "tokenizer.ggml.eos_token_id": u32(0),
};
const pieces = ggufPieces(tensors, metadata);
const begin = await pieces.next().catch((error) => stop(error.message)); // whether the sizes go into the type's blocks shows here
const file = await open(out, "w");
await file.write(begin.value);
for await (const piece of pieces) await file.write(piece);
await file.close();
console.log(`${out}: ${folder} as ${type}`);
