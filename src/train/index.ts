/** Training. What touches files is loaded when it is called, so that this module can be part of a program for browsers. */
import type { TrainConfig } from "./config.ts";
import type { TrainOptions, TrainOutcome } from "./loop.ts";

export {
  type ConfigSources,
  type Json,
  parseConfig,
  resolveConfig,
  type TrainConfig,
  tokensPerStep,
} from "./config.ts";
export { type PreparedCorpus, prepareCorpus } from "./corpus.ts";
export {
  type Batch,
  batched,
  bitsPerByte,
  checkLabels,
  checkPriority,
  checkSizes,
  heldOutWindows,
  type Stream,
  type TokenCorpus,
  trainingBatch,
  type Window,
} from "./data.ts";
export {
  type DomainFigures,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  leadingBitsPerByte,
} from "./evaluate.ts";
export type { EvaluationRecord, ModelSummary, Role, StepRecord, Summary, TrainEvent } from "./events.ts";
export { Divergence, Learner } from "./learner.ts";
export type { EvaluatedLayer } from "./load.ts";
export type { TrainOptions, TrainOutcome } from "./loop.ts";
export { leastStepBytes } from "./memory.ts";
export { modelOf } from "./model.ts";
export { AdamW, type AdamWOptions } from "./optimizer.ts";
export { type PrefixFigures, prefixPositions } from "./prefix.ts";
export { type PresetName, presets } from "./presets.ts";
export { learningRate } from "./schedule.ts";

/** {@inheritDoc "./loop.ts".train} */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainOutcome> {
  return (await import("./loop.ts")).train(config, options);
}

/** {@inheritDoc "./run-folder.ts".checkRunFolder} */
export async function checkRunFolder(path: string, resume: boolean): Promise<void> {
  await (await import("./run-folder.ts")).checkRunFolder(path, resume);
}

/** The configuration a run folder was started with. Error "checkpoint" where there is no run. */
export async function readRunConfig(folder: string): Promise<TrainConfig> {
  return (await import("./run-folder.ts")).readRunConfig(folder);
}
