/** Shapes of published models. Sources: each model's config.json and its paper or model card. */
import type { AttentionShape, DenseShape, ExpertsShape, LayersShape, PublishedShape } from "./shape.ts";

const plain = { kind: "grouped", bias: false, sinks: false, headNorm: "none" } as const;
const swiglu = { kind: "experts", gated: true, bias: false, routerBias: false, shared: 0 } as const;
const decoder = {
  kind: "shape",
  positions: 0,
  patch: 0,
  head: { kind: "vocabulary" },
  norm: "rms",
  finalNorms: 1,
  positionBias: 0,
  other: 0,
} as const;

const gptOssLayers = (layers: number, experts: number): LayersShape => ({
  layers,
  attentions: 1,
  attention: {
    kind: "grouped",
    heads: 64,
    kvHeads: 8,
    headDim: 64,
    bias: true,
    sinks: true,
    headNorm: "none",
  },
  feedForward: { ...swiglu, experts, active: 4, hidden: 2880, bias: true, routerBias: true },
});
const deepseekAttention: AttentionShape = {
  kind: "latent",
  heads: 128,
  queryRank: 1536,
  kvRank: 512,
  plainDim: 128,
  ropeDim: 64,
  valueDim: 128,
};
const t5Base = { ...plain, heads: 12, kvHeads: 12, headDim: 64 } as const;
const switchDense: DenseShape = { kind: "dense", hidden: 3072, gated: false, bias: false };
const switchExperts: ExpertsShape = { ...swiglu, experts: 8, active: 1, hidden: 3072, gated: false };

export type PublishedName =
  | "mixtral-8x7b"
  | "mixtral-8x22b"
  | "olmoe-1b-7b"
  | "qwen3-30b-a3b"
  | "gpt-oss-20b"
  | "gpt-oss-120b"
  | "deepseek-v3"
  | "llama-4-scout"
  | "switch-base-8"
  | "gpt-4-rumoured";

export const publishedModels: Readonly<Record<PublishedName, PublishedShape>> = {
  "mixtral-8x7b": {
    ...decoder,
    title: "Mixtral 8x7B (Mistral AI 2023)",
    width: 4096,
    vocabulary: 32_000,
    layers: [
      {
        layers: 32,
        attentions: 1,
        attention: { ...plain, heads: 32, kvHeads: 8, headDim: 128 },
        feedForward: { ...swiglu, experts: 8, active: 2, hidden: 14_336 },
      },
    ],
  },
  "mixtral-8x22b": {
    ...decoder,
    title: "Mixtral 8x22B (Mistral AI 2024)",
    width: 6144,
    vocabulary: 32_000,
    layers: [
      {
        layers: 56,
        attentions: 1,
        attention: { ...plain, heads: 48, kvHeads: 8, headDim: 128 },
        feedForward: { ...swiglu, experts: 8, active: 2, hidden: 16_384 },
      },
    ],
  },
  "olmoe-1b-7b": {
    ...decoder,
    title: "OLMoE 1B-7B (Ai2 2024)",
    width: 2048,
    vocabulary: 50_304,
    layers: [
      {
        layers: 16,
        attentions: 1,
        attention: { ...plain, heads: 16, kvHeads: 16, headDim: 128, headNorm: "all-heads" },
        feedForward: { ...swiglu, experts: 64, active: 8, hidden: 1024 },
      },
    ],
  },
  "qwen3-30b-a3b": {
    ...decoder,
    title: "Qwen3 30B-A3B (Qwen 2025)",
    width: 2048,
    vocabulary: 151_936,
    layers: [
      {
        layers: 48,
        attentions: 1,
        attention: { ...plain, heads: 32, kvHeads: 4, headDim: 128, headNorm: "shared" },
        feedForward: { ...swiglu, experts: 128, active: 8, hidden: 768 },
      },
    ],
  },
  "gpt-oss-20b": {
    ...decoder,
    title: "gpt-oss 20b (OpenAI 2025)",
    width: 2880,
    vocabulary: 201_088,
    layers: [gptOssLayers(24, 32)],
  },
  "gpt-oss-120b": {
    ...decoder,
    title: "gpt-oss 120b (OpenAI 2025)",
    width: 2880,
    vocabulary: 201_088,
    layers: [gptOssLayers(36, 128)],
  },
  "deepseek-v3": {
    ...decoder,
    title: "DeepSeek-V3 (2024), without its multi-token prediction module",
    width: 7168,
    vocabulary: 129_280,
    layers: [
      {
        layers: 3,
        attentions: 1,
        attention: deepseekAttention,
        feedForward: { kind: "dense", hidden: 18_432, gated: true, bias: false },
      },
      {
        layers: 58,
        attentions: 1,
        attention: deepseekAttention,
        feedForward: { ...swiglu, experts: 256, active: 8, hidden: 2048, routerBias: true, shared: 2048 },
      },
    ],
  },
  "llama-4-scout": {
    ...decoder,
    title: "Llama 4 Scout 17B-16E (Meta 2025); other: its vision tower",
    width: 5120,
    vocabulary: 202_048,
    layers: [
      {
        layers: 48,
        attentions: 1,
        attention: { ...plain, heads: 40, kvHeads: 8, headDim: 128 },
        feedForward: { ...swiglu, experts: 16, active: 1, hidden: 8192, shared: 8192 },
      },
    ],
    other: 871_932_416,
  },
  "switch-base-8": {
    ...decoder,
    title: "Switch Transformer Base, 8 experts (Google 2021); active: encoder and decoder together",
    width: 768,
    vocabulary: 32_128,
    head: { kind: "tied" },
    finalNorms: 2,
    positionBias: 2 * 32 * 12,
    layers: [
      { layers: 6, attentions: 1, attention: t5Base, feedForward: switchDense },
      { layers: 6, attentions: 1, attention: t5Base, feedForward: switchExperts },
      { layers: 6, attentions: 2, attention: t5Base, feedForward: switchDense },
      { layers: 6, attentions: 2, attention: t5Base, feedForward: switchExperts },
    ],
  },
  "gpt-4-rumoured": {
    kind: "rumour",
    title:
      "GPT-4 as rumoured in 2023: 8 experts of 220 B each, 2 a token; nothing is published, and what they share is not known",
    experts: 8,
    active: 2,
    expertParameters: 220e9,
  },
};

export const publishedNames: readonly PublishedName[] = Object.keys(publishedModels) as PublishedName[];
