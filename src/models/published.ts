/** Shapes of published models. Sources: each model's config.json and its paper or model card. */
import type {
  AttentionShape,
  DenseShape,
  ExpertsShape,
  LayersShape,
  ModelShape,
  PublishedShape,
  RumouredShape,
} from "./shape.ts";

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

/** Table 2.1 of Brown et al. 2020, with GPT-2's vocabulary, offsets and tied head; its sparse attention has the same weights. */
const gpt3 = {
  ...decoder,
  width: 12_288,
  vocabulary: 50_257,
  positions: 2048,
  head: { kind: "tied" },
  norm: "layer",
  layers: [
    {
      layers: 96,
      attentions: 1,
      attention: { ...plain, heads: 96, kvHeads: 96, headDim: 128, bias: true },
      feedForward: { kind: "dense", hidden: 4 * 12_288, gated: false, bias: true },
    },
  ],
} as const;

/** Table 9 of Fedus et al. 2022 gives 32 heads; the weights that were released have 30, and a head of their own. */
const switchC = { ...plain, heads: 30, kvHeads: 30, headDim: 64 } as const;
const switchCExperts: ExpertsShape = { ...swiglu, experts: 2048, active: 1, hidden: 6144, gated: false };

const gshard = { ...plain, heads: 16, kvHeads: 16, headDim: 128 } as const;
const gshardDense: DenseShape = { kind: "dense", hidden: 8192, gated: false, bias: false };
const gshardExperts: ExpertsShape = { ...swiglu, experts: 2048, active: 2, hidden: 8192, gated: false };

const vmoe = { ...plain, heads: 16, kvHeads: 16, headDim: 88, bias: true } as const;

/** Models whose shape is known. GPT-3.5 is here because the shape that is told of it is a published one. */
export type PublishedName =
  | "mixtral-8x7b"
  | "mixtral-8x22b"
  | "olmoe-1b-7b"
  | "qwen3-30b-a3b"
  | "gpt-oss-20b"
  | "gpt-oss-120b"
  | "deepseek-v3"
  | "llama-4-scout"
  | "gpt-3"
  | "gpt-3.5"
  | "switch-base-8"
  | "switch-c-2048"
  | "gshard-600b"
  | "v-moe-15b";

export const publishedModels: Readonly<Record<PublishedName, ModelShape>> = {
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
  "gpt-3": { ...gpt3, title: "GPT-3 175B (OpenAI 2020)" },
  "gpt-3.5": {
    ...gpt3,
    title: "GPT-3.5 as told, with GPT-3's shape; OpenAI has never published GPT-3.5's own",
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
  "switch-c-2048": {
    ...decoder,
    title: "Switch-C, 2048 experts (Google 2021); active: encoder and decoder together",
    width: 2080,
    vocabulary: 32_128,
    finalNorms: 2,
    positionBias: 2 * 32 * 30,
    layers: [
      { layers: 15, attentions: 1, attention: switchC, feedForward: switchCExperts },
      { layers: 15, attentions: 2, attention: switchC, feedForward: switchCExperts },
    ],
  },
  // Lepikhin et al. 2020, Table 1 and appendix A.2. The paper is silent on the head and on offsets of the norms: both count here, and are
  // 0.006 % of the sum.
  "gshard-600b": {
    ...decoder,
    title: "GShard 600B, MoE(2048E, 36L) (Google 2020); active: encoder and decoder together",
    width: 1024,
    vocabulary: 64_000 + 32_000,
    head: { kind: "outputs", outputs: 32_000, bias: false },
    norm: "layer",
    finalNorms: 0,
    layers: [
      { layers: 9, attentions: 1, attention: gshard, feedForward: gshardDense },
      { layers: 9, attentions: 1, attention: gshard, feedForward: gshardExperts },
      { layers: 9, attentions: 2, attention: gshard, feedForward: gshardDense },
      { layers: 9, attentions: 2, attention: gshard, feedForward: gshardExperts },
    ],
  },
  // Riquelme et al. 2021: 48 blocks, experts in every second. The count of classes is that of JFT in the authors' later code
  // (google-research/vmoe, NUM_CLASSES), not from the paper; with it the sum is the paper's to the last digit, 14,705.1 M.
  "v-moe-15b": {
    ...decoder,
    title: "V-MoE 15B (Google 2021); a token is an image patch",
    width: 1408,
    vocabulary: 0,
    positions: 1 + (224 / 14) ** 2 + 1,
    patch: 14 * 14 * 3,
    head: { kind: "outputs", outputs: 29_593, bias: true },
    norm: "layer",
    layers: [
      {
        layers: 24,
        attentions: 1,
        attention: vmoe,
        feedForward: { kind: "dense", hidden: 6400, gated: false, bias: true },
      },
      {
        layers: 24,
        attentions: 1,
        attention: vmoe,
        feedForward: { ...swiglu, experts: 32, active: 2, hidden: 6400, gated: false, bias: true },
      },
    ],
  },
};

export type RumouredName = "gpt-4";

/**
 * Models known by hearsay. GPT-4's 8 experts of 220 B are from George Hotz (June 2023); that a token passes 2 is from a later report
 * (SemiAnalysis, July 2023), which tells of 16 experts of 111 B and 55 B of shared attention instead: 1.83 T in all, 277 B active. OpenAI
 * has confirmed neither.
 */
export const rumouredModels: Readonly<Record<RumouredName, RumouredShape>> = {
  "gpt-4": {
    kind: "rumour",
    title: "GPT-4 as told in 2023 (8 experts of 220 B, 2 a token; OpenAI has published nothing)",
    experts: 8,
    active: 2,
    expertParameters: 220e9,
    // A block with hidden width 4D has 4 D^2 weights of attention and 8 D^2 of feed-forward.
    feedForwardShare: 2 / 3,
    bounds: {
      low: "the experts share attention and embeddings, a third of each if they are built like GPT-3",
      high: "the experts share nothing",
    },
  },
};

export const publishedNames: readonly (PublishedName | RumouredName)[] = [
  ...(Object.keys(publishedModels) as PublishedName[]),
  ...(Object.keys(rumouredModels) as RumouredName[]),
];

/** Names that are understood but not listed: short ones, and one of an earlier version. */
const otherNames: Readonly<Record<string, string>> = {
  gshard: "gshard-600b",
  "switch-c": "switch-c-2048",
  "v-moe": "v-moe-15b",
  "gpt-4-rumoured": "gpt-4",
};

/** The shape of a model by its name, in capitals or not. */
export function findPublished(name: string): PublishedShape | undefined {
  const lower = name.toLowerCase();
  const shapes: Readonly<Record<string, PublishedShape>> = { ...publishedModels, ...rumouredModels };
  const known = Object.hasOwn(otherNames, lower) ? otherNames[lower] : lower;
  return Object.hasOwn(shapes, known) ? shapes[known] : undefined;
}
