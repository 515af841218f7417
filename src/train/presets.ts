/** Ready configurations. "small" is what `npm start` trains; "tiny" is a run of seconds, for trying things out. */

export type PresetName = "small" | "tiny";

const optimizer = {
  lr: 3e-3,
  minLr: 3e-4,
  warmup: 20,
  betas: [0.9, 0.95],
  eps: 1e-8,
  decay: 0.1,
  clip: 1,
};

const losses = {
  balance: 0.01,
  importance: 0,
  load: 0,
  z: 0.001,
  tokenEntropy: 0,
  marginalEntropy: 0,
  orthogonality: 0,
};

/** Mixtral's router (Jiang et al. 2024): softmax over the two best logits. */
const mixtral = { experts: 8, order: "select-then-score", select: { by: "token", k: 2 } };

export const presets: Readonly<Record<PresetName, Readonly<Record<string, unknown>>>> = {
  small: {
    model: {
      width: 128,
      layers: 4,
      heads: 4,
      kvHeads: 2,
      headDim: null,
      expertWidth: 160,
      routing: mixtral,
      sharedExperts: 0,
      tieEmbeddings: false,
      ropeTheta: 10000,
      initStd: 0.06,
    },
    data: { paths: [], heldOutShare: 0.05, vocabSize: 2048, sequence: 128, batch: 8, accumulate: 1 },
    optimizer: { ...optimizer, lr: 4e-3, minLr: 4e-4, warmup: 60, decay: 0.01 },
    losses: { ...losses, balance: 0.02 },
    precision: "bf16",
    seed: 1,
    steps: 550,
    evalEvery: 55,
    evalWindows: 48,
    checkpointEvery: 100,
    keepCheckpoints: 2,
    twin: true,
  },
  tiny: {
    model: {
      width: 32,
      layers: 2,
      heads: 4,
      kvHeads: 2,
      headDim: null,
      expertWidth: 32,
      routing: { ...mixtral, experts: 4 },
      sharedExperts: 0,
      tieEmbeddings: true,
      ropeTheta: 10000,
      initStd: 0.02,
    },
    data: { paths: [], heldOutShare: 0.1, vocabSize: 320, sequence: 32, batch: 4, accumulate: 1 },
    optimizer: { ...optimizer, warmup: 5 },
    losses,
    precision: "f32",
    seed: 1,
    steps: 40,
    evalEvery: 20,
    evalWindows: 8,
    checkpointEvery: 10,
    keepCheckpoints: 2,
    twin: true,
  },
};
