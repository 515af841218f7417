/** A whole run: the mixture, then its dense twin, each exactly resumable. */
import { writeFileAtomic } from "../formats/files.atomic.ts";
import { makeFolder } from "../formats/files.folders.ts";
import type { Tokenizer, TokenizerFiles } from "../formats/index.ts";
import { parameterCounts, saveModel } from "../models/index.ts";
import { CollapseAlarm, picksOf } from "../moe/index.ts";
import type { Device } from "../tensor/index.ts";
import type { Progress } from "./checkpoint.ts";
import { type TrainConfig, tokensPerStep } from "./config.ts";
import { Course } from "./course.ts";
import { checkLabels, checkPriority, checkSizes, domainsNeverDrawn, type TokenCorpus } from "./data.ts";
import type { ModelSummary, Role, Summary, TrainEvent } from "./events.ts";
import { Learner } from "./learner.ts";
import { modelOf } from "./model.ts";
import { fingerprintOf, folderOf, openRunFolder } from "./run-folder.ts";

export interface TrainOptions {
  readonly device: Device;
  readonly corpus: TokenCorpus;
  readonly tokenizer: Tokenizer;
  readonly files: TokenizerFiles;
  /** The run's folder; a new one unless `resume`. */
  readonly out: string;
  /** Goes on where the run in `out` stopped. */
  readonly resume?: boolean;
  /** Aborted: the step under way is finished, a checkpoint is written, and the run ends as interrupted. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainEvent) => void;
}

export type TrainOutcome =
  | { readonly status: "done"; readonly summary: Summary }
  | { readonly status: "interrupted"; readonly role: Role; readonly step: number };

/**
 * Trains the mixture and, if `config.twin`, the dense model of the same active size on the same batches; leaves model folders in
 * Hugging Face form and `summary.json`.
 *
 * A run that is stopped at any moment and resumed writes, from its last checkpoint on, the same `metrics.jsonl` byte for byte and the
 * same final weights as one that is not (on the same kernels).
 *
 * Errors: "data" (text too small), "config", "file-exists" (the folder is taken), "checkpoint" (nothing to resume, or it does not
 * fit), "diverged" (a loss or gradient that is not a number), "disk".
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainOutcome> {
  const { device, corpus, files, out, resume = false } = options;
  checkSizes(corpus, config.data.sequence);
  checkLabels(config, corpus.train);
  checkPriority(config, corpus.train);
  const fingerprint = await fingerprintOf(corpus, files, device.kernels);
  const folder = await openRunFolder(out, resume, config, fingerprint);
  // Every step is told of before anything of it is saved.
  const onEvent = (event: TrainEvent): void => {
    folder.check();
    options.onEvent?.(event);
  };
  try {
    for (const message of folder.warnings) onEvent({ type: "warning", message });
    const undrawn = undrawnWarning(config, corpus);
    if (undrawn) onEvent({ type: "warning", message: undrawn });
    const ends: ModelEnd[] = [];
    for (const role of config.twin ? (["moe", "dense"] as const) : (["moe"] as const)) {
      const end = await trainModel(role, config, options, onEvent);
      if (end.status === "interrupted") {
        onEvent({ type: "interrupted", role, step: end.step, out });
        return { status: "interrupted", role, step: end.step };
      }
      ends.push(end);
    }
    const summary = summarise(config, device, ends);
    await writeFileAtomic(`${out}/summary.json`, `${JSON.stringify(summary, null, 2)}\n`);
    onEvent({ type: "done", summary });
    return { status: "done", summary };
  } finally {
    await folder.release();
  }
}

/** What the run evaluates though it never trains on it; null: nothing. */
function undrawnWarning({ data, seed, steps }: TrainConfig, corpus: TokenCorpus): string | null {
  const size = { batch: data.batch * data.accumulate, sequence: data.sequence };
  const domains = domainsNeverDrawn(corpus, size, seed, steps);
  if (domains.length === 0) return null;
  const each = domains.map((name) => {
    const tokens = corpus.train.find(({ domain }) => domain === name)?.ids.length ?? 0;
    return `${JSON.stringify(name)} (${tokens} training tokens)`;
  });
  return `none of the run's ${steps * size.batch} windows is of ${each.join(", ")}: the held-out figures there are of text of a kind that the models never saw. Give more steps, or more of that text`;
}

interface ModelEnd {
  readonly status: "done";
  readonly summary: ModelSummary;
  readonly seconds: Progress["seconds"];
}

interface ModelStopped {
  readonly status: "interrupted";
  readonly step: number;
}

async function trainModel(
  role: Role,
  config: TrainConfig,
  options: TrainOptions,
  onEvent: (event: TrainEvent) => void,
): Promise<ModelEnd | ModelStopped> {
  const { device, corpus, tokenizer, files, out, signal } = options;
  const folder = folderOf(out, role);
  await makeFolder(folder);
  const model = modelOf(config, tokenizer, role);
  const { total: totalParams, active: activeParams } = parameterCounts(model);
  const learner = new Learner(model, config, corpus, device);
  const alarm = role === "moe" ? alarmOf(config) : null;
  let course: Course | null = null;
  try {
    course = await Course.open({ role, folder, learner, config, corpus, device, alarm, onEvent });
    const { step } = course.now;
    onEvent({
      type: "start",
      role,
      totalParams,
      activeParams,
      step,
      steps: config.steps,
      tokensPerStep: tokensPerStep(config),
    });
    const evaluation = await course.run(signal);
    if (!evaluation) return { status: "interrupted", step: course.now.step };
    const tokenizerFiles = { "tokenizer.json": files.tokenizer, "tokenizer_config.json": files.config };
    await saveModel(folder, model, { files: tokenizerFiles });
    return {
      status: "done",
      summary: { ...evaluation, totalParams, activeParams },
      seconds: course.now.seconds,
    };
  } finally {
    await course?.close();
    learner.dispose();
    device.trim();
  }
}

/** Routing that fills all experts alike by its nature needs no watch. */
function alarmOf({ model }: TrainConfig): CollapseAlarm | null {
  const picks = picksOf(model.routing);
  return picks === null ? null : new CollapseAlarm({ experts: model.routing.experts, picks });
}

function summarise(config: TrainConfig, { kernels }: Device, ends: readonly ModelEnd[]): Summary {
  const [moe, dense] = ends;
  const tokens = config.steps * tokensPerStep(config);
  return {
    causality: moe.summary.causality,
    moe: moe.summary,
    ...(dense && { dense: dense.summary }),
    seconds: { train: ends.reduce((sum, { seconds }) => sum + seconds.all, 0) },
    tokensPerSecond: tokens / moe.seconds.steps,
    kernels: `${kernels.name} (${kernels.isa})`,
    threads: kernels.threads,
    steps: config.steps,
    tokens,
  };
}
