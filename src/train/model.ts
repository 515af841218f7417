/** The two models of a run, described from its configuration. */

import type { Tokenizer } from "../formats/index.ts";
import { type Decoder, inMixtralForm, MistralModel, MixtralModel, plainRope } from "../models/index.ts";
import { picksOf } from "../moe/index.ts";
import type { TrainConfig } from "./config.ts";
import type { Role } from "./events.ts";

/** Longest text the model takes, in training windows. */
const positionsPerSequence = 32;

/** The mixture, or the dense model whose hidden layers are as wide as all the experts that one token passes. No memory is taken. */
export function modelOf(
  config: TrainConfig,
  tokenizer: Pick<Tokenizer, "vocabSize" | "bosId" | "eosId">,
  role: Role,
): Decoder {
  const { model, data } = config;
  const { width, heads, kvHeads, layers, expertWidth, sharedExperts } = model;
  const routing = inMixtralForm(model.routing);
  const common = {
    vocabulary: tokenizer.vocabSize,
    width,
    layers,
    heads,
    kvHeads,
    headDim: model.headDim ?? width / heads,
    // Longer texts than it was trained on are read through a window of that length, so that no distance is new to it.
    maxPositions: positionsPerSequence * data.sequence,
    window: data.sequence,
    rope: plainRope(model.ropeTheta),
    normEps: 1e-5,
    tied: model.tieEmbeddings,
    initStd: model.initStd,
    bosId: tokenizer.bosId,
    eosIds: tokenizer.eosId === null ? [] : [tokenizer.eosId],
    padId: null,
  };
  const sharedHidden = sharedExperts * expertWidth;
  // transformers sums f_e P_e over the K choices of a token, where ours is a mean over them; it knows no reward for imbalance.
  const balanceCoefficient = Math.max(0, config.losses.balance.weight) / (picksOf(routing) ?? 1);
  const shape = { ...common, expertHidden: expertWidth, routing, sharedHidden, balanceCoefficient };
  const mixture = new MixtralModel(shape, config.losses);
  if (role === "moe") return mixture;
  const activeExperts = mixture.expertShare * routing.experts;
  return new MistralModel({ ...common, hidden: Math.round(expertWidth * activeExperts) + sharedHidden });
}
