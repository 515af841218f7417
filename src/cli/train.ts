import { totalmem } from "node:os";
import type { Command } from "commander";
import pc from "picocolors";
import { fail } from "../errors.ts";
import { demoCorpus, pathExists, readCorpus, readJson, readTextIfThere } from "../formats/files.ts";
import type { Document, TokenizerFiles } from "../formats/index.ts";
import { causalityNotes, causalityOf } from "../moe/index.ts";
import type { Seed } from "../tensor/index.ts";
import {
  checkLabels,
  checkPriority,
  checkRunFolder,
  type Evaluation,
  type Json,
  leastStepBytes,
  type PresetName,
  prepareCorpus,
  readRunConfig,
  resolveConfig,
  type TrainConfig,
  type TrainEvent,
  train,
} from "../train/index.ts";
import { kernelLine, openDevice } from "./options.ts";
import { bytes, commandLine, grouped, printJson, remark, short } from "./output.ts";
import { type ProgressView, progressView } from "./progress.ts";
import { writeRunReport } from "./run-report.ts";
import { printRunTable } from "./run-table.ts";

interface TrainFlags {
  readonly preset?: string;
  readonly config?: string;
  readonly data?: readonly string[];
  readonly out?: string;
  readonly resume?: string;
  readonly steps?: number;
  readonly batch?: number;
  readonly lr?: number;
  readonly warmup?: number;
  readonly seed?: Seed;
  readonly precision?: string;
  readonly checkpointEvery?: number;
  readonly twin: boolean;
  readonly json?: boolean;
}

/** Does what `conclave train` was asked. */
export async function runTrain(flags: TrainFlags, command: Command): Promise<void> {
  const out = flags.resume ?? flags.out ?? (await freeFolder(`runs/${flags.preset ?? "small"}`));
  const config = flags.resume ? await resumedConfig(flags, command) : await newConfig(flags);
  await checkRunFolder(out, flags.resume !== undefined);
  checkMemory(config);
  const { device } = await openDevice(command);
  remark(`kernels: ${kernelLine(device)}`);
  const causality = causalityOf(config.model.routing);
  if (causality !== "causal")
    remark(
      `${pc.yellow("note:")} not a causal model (${causality}): ${causalityNotes[causality].why}. Held-out figures read each position from its prefix alone, as the model does when it generates`,
    );
  const documents = await readDocuments(config);
  const source = flags.resume ? `${out}/run.json` : flags.config;
  checkLabels(config, documents, source);
  checkPriority(config, documents, source);
  const { corpus, tokenizer, files } = prepareCorpus(
    documents,
    config.data,
    flags.resume ? await runTokenizer(out) : null,
  );
  const tokens = corpus.train.map(({ domain, ids }) => `${domain} ${grouped(ids.length)}`).join(", ");
  remark(`tokenizer: ${grouped(tokenizer.vocabSize)} entries; training tokens: ${tokens}`);
  remark(`run: ${out}\n`);

  const view = progressView();
  const stop = new AbortController();
  const interrupt = () => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort();
    view.note("stopping: the step is finished and a checkpoint written (Ctrl-C again to leave at once)");
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  const leaveSignals = () => {
    for (const signal of signals) process.removeListener(signal, interrupt);
  };
  for (const signal of signals) process.on(signal, interrupt);
  try {
    const watch = new Watch(view, corpus);
    const outcome = await train(config, {
      device,
      corpus,
      tokenizer,
      files,
      out,
      resume: flags.resume !== undefined,
      signal: stop.signal,
      onEvent: (event) => watch.see(event),
    });
    view.close();
    if (outcome.status === "interrupted") {
      remark(`stopped after step ${outcome.step} of the ${outcome.role} model; go on with:`);
      remark(`  ${commandLine("train", "--resume", out)}`);
      process.exitCode = 130;
      return;
    }
    leaveSignals(); // nothing is left to save
    remark("\nlooking at where the held-out tokens go ...");
    const { summary, report } = await writeRunReport(outcome.summary, {
      out,
      config,
      device,
      corpus,
      tokenizer,
      notices: watch.notices,
    });
    if (flags.json) printJson(summary);
    else printRunTable(summary, report, out);
  } finally {
    leaveSignals();
    device.dispose();
  }
}

async function newConfig(flags: TrainFlags): Promise<TrainConfig> {
  const {
    preset,
    config: path,
    data,
    steps,
    batch,
    lr,
    warmup,
    seed,
    precision,
    checkpointEvery,
    twin,
  } = flags;
  const overrides: Json = {
    steps,
    seed,
    precision,
    checkpointEvery,
    ...(twin ? {} : { twin: false }),
    data: { paths: data, batch },
    // The least rate stays a tenth of the highest, as in the presets.
    optimizer: { warmup, ...(lr === undefined ? {} : { lr, minLr: lr / 10 }) },
  };
  const file = path === undefined ? undefined : { path, json: await readJson(path) };
  return resolveConfig({ preset: preset as PresetName | undefined, file, overrides });
}

/** Refuses a step that cannot fit, which would end in the process being killed. */
function checkMemory(config: TrainConfig): void {
  const { batch, sequence } = config.data;
  const [least, machine] = [leastStepBytes(config), totalmem()];
  if (least > machine)
    fail(
      "memory",
      `a pass over ${grouped(batch)} windows of ${grouped(sequence)} tokens takes ${bytes(least)} or more; this machine has ${bytes(machine)}`,
      "lower --batch, or data.sequence",
    );
}

async function resumedConfig(flags: TrainFlags, command: Command): Promise<TrainConfig> {
  const given = command.options.find(
    (option) =>
      command.getOptionValueSource(option.attributeName()) === "cli" &&
      !["resume", "json"].includes(option.attributeName()),
  );
  if (given)
    fail(
      "usage",
      `--resume goes on with the run's own configuration; it cannot be given with ${given.long}`,
      `leave ${given.long} out, or start a new run`,
    );
  return await readRunConfig(flags.resume ?? "");
}

async function runTokenizer(out: string): Promise<TokenizerFiles | null> {
  const tokenizer = await readTextIfThere(`${out}/tokenizer.json`);
  const config = await readTextIfThere(`${out}/tokenizer_config.json`);
  return tokenizer !== undefined && config !== undefined ? { tokenizer, config } : null;
}

async function readDocuments({ data }: TrainConfig): Promise<readonly Document[]> {
  if (data.paths.length === 0) {
    const documents = await demoCorpus();
    remark(
      "text: the demo corpus (novel: Moby Dick; speeches: State of the Union; code: the TypeScript compiler)",
    );
    return documents;
  }
  const { documents, counts } = await readCorpus(data.paths);
  remark(`text: ${grouped(counts.files)} files, ${bytes(counts.bytes)}`);
  const note = (n: number, what: string) => n > 0 && remark(`${pc.yellow("note:")} ${grouped(n)} ${what}`);
  note(counts.badSequences, "byte sequences were no UTF-8 and were replaced by U+FFFD");
  note(counts.binaryFiles, "binary files were left out");
  note(counts.duplicates, "files were left out because another has the same text");
  return documents;
}

/** "1.905 bits/byte"; of prefixes where the mixture is not causal. */
function heldOutBits(evaluation: Evaluation): string {
  const { bitsPerByte, prefixBitsPerByte, prefixStandardError = 0 } = evaluation;
  if (prefixBitsPerByte === undefined) return `${bitsPerByte.toFixed(3)} bits/byte`;
  const whole = evaluation.causality === "causal" ? "" : `, ${bitsPerByte.toFixed(3)} over whole windows`;
  return `${prefixBitsPerByte.toFixed(3)} ± ${prefixStandardError.toFixed(3)} bits/byte from prefixes${whole}`;
}

async function freeFolder(base: string): Promise<string> {
  for (let n = 1; ; n++) if (!(await pathExists(`${base}-${n}`))) return `${base}-${n}`;
}

/** Turns the events of a run into what the view shows. */
class Watch {
  readonly notices: string[] = [];
  private readonly view: ProgressView;
  private readonly tokensPerByte: number;
  private smoothed: number | null = null;

  constructor(
    view: ProgressView,
    corpus: { heldOut: readonly { ids: Int32Array }[]; tokenBytes: Int32Array },
  ) {
    this.view = view;
    let tokens = 0;
    let size = 0;
    for (const { ids } of corpus.heldOut) {
      tokens += ids.length;
      for (const id of ids) size += corpus.tokenBytes[id];
    }
    this.tokensPerByte = tokens / Math.max(1, size);
  }

  see(event: TrainEvent): void {
    switch (event.type) {
      case "start":
        this.smoothed = null;
        this.view.note(
          `${pc.bold(event.role)}: ${short(event.totalParams)} parameters, ${short(event.activeParams)} active a token` +
            (event.step > 0 ? `; going on after step ${event.step}` : ""),
        );
        break;
      case "step":
        this.step(event);
        break;
      case "eval": {
        this.view.note(`${event.role} step ${event.step}: held-out ${heldOutBits(event.evaluation)}`);
        break;
      }
      case "alarm": {
        const { step, message } = event.alarm;
        const notice = `${event.role}, step ${step}, ${message}`;
        this.notices.push(notice);
        this.view.note(`${pc.yellow("collapse alarm:")} ${notice}`);
        break;
      }
      case "warning":
        this.view.note(`${pc.yellow("note:")} ${event.message}`);
        break;
      case "checkpoint":
      case "interrupted":
      case "done":
        break;
      default:
        event satisfies never;
    }
  }

  private step({
    role,
    record,
    steps,
    tokensPerSecond,
    secondsLeft,
    load,
  }: Extract<TrainEvent, { type: "step" }>): void {
    const bits = (record.loss / Math.LN2) * this.tokensPerByte;
    this.smoothed = this.smoothed === null ? bits : 0.9 * this.smoothed + 0.1 * bits;
    this.view.update({
      model: role,
      step: record.step,
      steps,
      bitsPerByte: this.smoothed,
      tokensPerSecond,
      secondsLeft,
      load,
    });
    if (record.step === steps) this.view.close();
  }
}
