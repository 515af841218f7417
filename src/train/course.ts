/** The way of one model through its steps: what is written down, and when it is evaluated, saved, stopped. */
import { z } from "zod";
import { fail } from "../errors.ts";
import { Journal } from "../formats/files.journal.ts";
import { type CollapseAlarm, causalityOf } from "../moe/index.ts";
import type { Device } from "../tensor/index.ts";
import {
  checkpointPath,
  checkpointSteps,
  loadCheckpoint,
  type Progress,
  saveCheckpoint,
} from "./checkpoint.ts";
import { type TrainConfig, tokensPerStep } from "./config.ts";
import type { TokenCorpus } from "./data.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import type { Role, StepRecord, TrainEvent } from "./events.ts";
import { Divergence, type Learner } from "./learner.ts";
import { pause } from "./pause.ts";
import { prefixPositions } from "./prefix.ts";

/** What the alarm reads of a line of `metrics.jsonl`. */
const stepSchema = z.object({
  step: z.int(),
  layers: z.array(z.object({ counts: z.array(z.number()).readonly() })).readonly(),
});

/** Weight of the newest step in the running mean of a step's time: about the last ten count. */
const newest = 0.1;

export interface CourseOptions {
  readonly role: Role;
  /** Where `metrics.jsonl` and `state/` lie. */
  readonly folder: string;
  readonly learner: Learner;
  readonly config: TrainConfig;
  readonly corpus: TokenCorpus;
  readonly device: Device;
  /** Watches the routers; null for a dense model. */
  readonly alarm: CollapseAlarm | null;
  readonly onEvent: (event: TrainEvent) => void;
}

export class Course {
  private readonly options: CourseOptions;
  private readonly metrics: Journal;
  private progress: Progress;
  /** The step of the newest checkpoint. */
  private saved: number;
  private secondsAStep: number | null = null;
  /** Time up to this moment is in `progress`. */
  private clock = 0;
  /** The time of a step runs from here. */
  private stepClock = 0;

  private constructor(options: CourseOptions, metrics: Journal, progress: Progress) {
    this.options = options;
    this.metrics = metrics;
    this.progress = progress;
    this.saved = progress.step;
  }

  /** Puts the learner where the folder's newest checkpoint left it, or at the start; `metrics.jsonl` is cut to that moment. */
  static async open(options: CourseOptions): Promise<Course> {
    const { folder, learner } = options;
    const start = { step: 0, metricsBytes: 0, seconds: { steps: 0, all: 0 }, evaluation: null };
    const progress = (await loadCheckpoint(folder, learner.optimizer)) ?? start;
    return new Course(
      options,
      await Journal.open(`${folder}/metrics.jsonl`, progress.metricsBytes),
      progress,
    );
  }

  /** Where it stands. */
  get now(): Progress {
    return this.progress;
  }

  /** Does the steps that are left. Returns the evaluation after the last one; null when `signal` stopped it, with a checkpoint written. */
  async run(signal: AbortSignal | undefined): Promise<Evaluation | null> {
    const { steps } = this.options.config;
    await this.recall();
    this.clock = this.stepClock = performance.now();
    while (this.progress.step < steps) {
      if (signal?.aborted) {
        if (this.saved < this.progress.step) await this.save();
        return null;
      }
      await this.advance();
      await pause();
    }
    return this.progress.evaluation;
  }

  async close(): Promise<void> {
    await this.metrics.close();
  }

  /** Shows the alarm what the run's earlier part wrote down: it then knows, and has said, what it would in an unbroken run. */
  private async recall(): Promise<void> {
    if (!this.options.alarm) return;
    for await (const line of this.metrics.records()) {
      if (!("layers" in line)) continue;
      const record = stepSchema.safeParse(line);
      if (!record.success)
        fail(
          "checkpoint",
          `${this.options.folder}/metrics.jsonl: a line says of the experts what is not of their form: ${JSON.stringify(line).slice(0, 80)}`,
          "bring the file back as it was when the run stopped, or start the run anew",
        );
      this.watch(record.data);
    }
  }

  private watch({ step, layers }: z.infer<typeof stepSchema>): void {
    const { role, alarm, onEvent } = this.options;
    layers.forEach(({ counts }, layer) => {
      for (const alert of alarm?.observe(step, layer, counts) ?? [])
        onEvent({ type: "alarm", role, alarm: alert });
    });
  }

  /** One step, with the evaluation and the checkpoint that are due after it. */
  private async advance(): Promise<void> {
    const { config, device } = this.options;
    const record = await this.learn(this.progress.step + 1);
    const { step } = record;
    const last = step === config.steps;
    const evaluates = last || step % config.evalEvery === 0;
    const saves = last || step % config.checkpointEvery === 0;
    // The optimizer's kernels may still run: before another step they are in that one's time, before anything else in this one's.
    if (evaluates || saves) device.kernels.finish();
    const stepEnd = performance.now();
    const stepSeconds = (stepEnd - this.stepClock) / 1000;
    this.stepClock = stepEnd;
    await this.metrics.append(record);
    this.report(record, stepSeconds);
    const evaluation = evaluates ? await this.evaluate(step, last) : this.progress.evaluation;
    const { seconds } = this.progress;
    const now = performance.now();
    const all = seconds.all + (now - this.clock) / 1000; // with the checkpoint before, if any
    this.clock = now;
    this.progress = {
      step,
      metricsBytes: this.metrics.bytes,
      seconds: { steps: seconds.steps + stepSeconds, all },
      evaluation,
    };
    if (saves) await this.save();
    if (evaluates || saves) this.stepClock = performance.now();
  }

  private async learn(step: number): Promise<StepRecord> {
    try {
      return await this.options.learner.step(step);
    } catch (error) {
      if (!(error instanceof Divergence)) throw error;
      return this.stop(step, error.message, step - 1);
    }
  }

  /** Ends a run that diverged. The weights after step `failed` are those that showed it, so a checkpoint of them is no good one. */
  private async stop(step: number, what: string, failed: number): Promise<never> {
    const { folder, role } = this.options;
    const good = (await checkpointSteps(folder)).filter((at) => at < failed).at(-1);
    const back =
      good === undefined
        ? "there is no good checkpoint"
        : `the last good checkpoint is ${checkpointPath(folder, good)}`;
    return fail(
      "diverged",
      `${role} model, step ${step}: ${what}; ${back}`,
      "start a new run with a lower optimizer.lr, or a longer optimizer.warmup",
    );
  }

  private report(record: StepRecord, seconds: number): void {
    const { role, config, onEvent } = this.options;
    const { step, layers } = record;
    const mean = this.secondsAStep ?? seconds;
    this.secondsAStep = mean + newest * (seconds - mean);
    onEvent({
      type: "step",
      role,
      record,
      steps: config.steps,
      tokensPerSecond: tokensPerStep(config) / this.secondsAStep,
      secondsLeft: (config.steps - step) * this.secondsAStep,
      load: layers.map(({ counts }) => {
        const places = counts.reduce((sum, count) => sum + count, 0);
        return counts.map((count) => count / Math.max(1, places));
      }),
    });
    this.watch(record);
  }

  private async evaluate(step: number, last: boolean): Promise<Evaluation> {
    const { role, config, corpus, device, learner, onEvent } = this.options;
    const { sequence, batch } = config.data;
    const limit = last ? Infinity : config.evalWindows;
    const heldOut = await evaluate(learner.model, corpus, {
      device,
      precision: config.precision,
      sequence,
      batch,
      limit,
      // The twin of a mixture that is not causal is read at the same places, so that the two compare.
      prefixes:
        causalityOf(config.model.routing) === "causal" ? null : { count: prefixPositions, seed: config.seed },
    });
    if (!Number.isFinite(heldOut.loss)) {
      const { message } = await learner.divergence(step + 1, `the held-out loss is ${heldOut.loss}`);
      return this.stop(step, message, step);
    }
    await this.metrics.append({ step, heldOut });
    onEvent({ type: "eval", role, step, evaluation: heldOut });
    return heldOut;
  }

  private async save(): Promise<void> {
    const { role, folder, learner, config, onEvent } = this.options;
    await this.metrics.sync(); // the checkpoint counts on the lines before it
    const path = await saveCheckpoint(folder, learner.optimizer, this.progress, config.keepCheckpoints);
    this.saved = this.progress.step;
    onEvent({ type: "checkpoint", role, step: this.saved, path });
  }
}
