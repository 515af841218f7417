/**
 * How our parameters lie in GGUF files: one table for all architectures, whose names are shared. The experts of a layer are one
 * tensor a matrix, gate and up apart or, with llama.cpp's option for it, in one.
 *
 * E experts, F hidden width, D width, H heads, G key/value heads, C headDim.
 */
import type { DecoderConfig } from "../decoder.ts";
import {
  eachExpert,
  type FileLayout,
  type FileParts,
  type PartsRule,
  part,
  partOfLarger,
} from "../layout.ts";

/** The layout of a model of these sizes. */
export function ggufLayout({ heads, kvHeads, headDim }: DecoderConfig): FileLayout {
  const rows = { q: heads * headDim, k: kvHeads * headDim, v: kvHeads * headDim };
  const all = rows.q + rows.k + rows.v;
  return {
    ...outer,
    ...feedForward,
    ...mixture,
    ...projection("q", 0, all),
    ...projection("k", rows.q, all),
    ...projection("v", rows.q + rows.k, all),
  };
}

/** One file tensor of the block. */
function inBlock(...names: readonly string[]): PartsRule {
  return (at) => names.map((name) => [part(`blk.${at}.${name}`)]);
}

const outer: FileLayout = {
  "embedding.weight": () => [[part("token_embd.weight")]],
  "norm.weight": () => [[part("output_norm.weight")]],
  "head.weight": () => [[part("output.weight")]],
  "layers.#.attentionNorm.weight": inBlock("attn_norm.weight"),
  "layers.#.mlpNorm.weight": inBlock("ffn_norm.weight", "post_attention_norm.weight"),
  "layers.#.attention.o.weight": inBlock("attn_output.weight"),
  "layers.#.attention.o.bias": inBlock("attn_output.bias"),
  "layers.#.attention.qNorm.weight": inBlock("attn_q_norm.weight"),
  "layers.#.attention.kNorm.weight": inBlock("attn_k_norm.weight"),
  "layers.#.attention.sinks": inBlock("attn_sinks.weight"),
};

/** Queries, keys or values: a tensor of their own, or `all` rows of them in one, these from row `first` on. */
function projection(letter: "q" | "k" | "v", first: number, all: number): FileLayout {
  const rule =
    (kind: string): PartsRule =>
    (at, shape) => [
      [part(`blk.${at}.attn_${letter}.${kind}`)],
      [partOfLarger(`blk.${at}.attn_qkv.${kind}`, shape, [all, ...shape.slice(1)], first * (shape[1] ?? 1))],
    ];
  return {
    [`layers.#.attention.${letter}.weight`]: rule("weight"),
    [`layers.#.attention.${letter}.bias`]: rule("bias"),
  };
}

const feedForward: FileLayout = {
  "layers.#.mlp.gateUp": (at, [rows, width]) => [
    ["gate", "up"].map((name) => part(`blk.${at}.ffn_${name}.weight`, [rows / 2, width])),
  ],
  "layers.#.mlp.down.weight": inBlock("ffn_down.weight"),
};

const mixture: FileLayout = {
  "layers.#.moe.router.gate.weight": inBlock("ffn_gate_inp.weight"),
  "layers.#.moe.router.gate.bias": inBlock("ffn_gate_inp.bias"),
  "layers.#.moe.router.bias": inBlock("exp_probs_b.bias"),
  "layers.#.moe.experts.gateUp": (at, shape) => [
    eachExpert(shape, (expert) => stackedPair(`blk.${at}`, "weight", shape, expert)),
    [part(`blk.${at}.ffn_gate_up_exps.weight`)],
    // Before 2024 each expert had tensors of its own.
    eachExpert(shape, (expert) =>
      ["gate", "up"].map((name) => part(`blk.${at}.ffn_${name}.${expert}.weight`, halfOf(shape))),
    ),
  ],
  "layers.#.moe.experts.down": (at, shape) => [
    [part(`blk.${at}.ffn_down_exps.weight`)],
    eachExpert(shape, (expert) => [part(`blk.${at}.ffn_down.${expert}.weight`, shape.slice(1))]),
  ],
  "layers.#.moe.experts.gateUpBias": (at, shape) => [
    eachExpert(shape, (expert) => stackedPair(`blk.${at}`, "bias", shape, expert)),
  ],
  "layers.#.moe.experts.downBias": inBlock("ffn_down_exps.bias"),
  "layers.#.moe.shared.expert.gateUp": (at, shape) => [
    ["gate", "up"].map((name) => part(`blk.${at}.ffn_${name}_shexp.weight`, halfOf(shape))),
  ],
  "layers.#.moe.shared.expert.down": (at, shape) => [
    [part(`blk.${at}.ffn_down_shexp.weight`, shape.slice(1))],
  ],
  "layers.#.moe.shared.gate": (at, shape) => [[part(`blk.${at}.ffn_gate_inp_shexp.weight`, shape.slice(-1))]],
};

/** The gate's rows of one expert, then the up projection's: runs of two tensors [E, F, ...]. */
function stackedPair(block: string, kind: string, shape: readonly number[], expert: number): FileParts {
  const own = halfOf(shape);
  const whole = [shape[0], ...own];
  const start = expert * own.reduce((product, size) => product * size, 1);
  return ["gate", "up"].map((name) => partOfLarger(`${block}.ffn_${name}_exps.${kind}`, own, whole, start));
}

/** Of [E, 2F, ...]: what one expert's gate has, [F, ...]. */
function halfOf([, rows, ...rest]: readonly number[]): readonly number[] {
  return [rows / 2, ...rest];
}
