import { readText, writeFileAtomic } from "../formats/files.ts";
import type { Tokenizer } from "../formats/index.ts";
import { generate } from "../infer/index.ts";
import {
  type Analysis,
  analyse,
  type Curve,
  type LoadOverTime,
  type ReportData,
  reportHtml,
} from "../inspect/index.ts";
import { loadModel } from "../models/index.ts";
import { causalityNotes } from "../moe/index.ts";
import { type Context, context, type Device } from "../tensor/index.ts";
import {
  type EvaluationRecord,
  leadingBitsPerByte,
  type StepRecord,
  type Summary,
  type TokenCorpus,
  type TrainConfig,
} from "../train/index.ts";
import { kernelLine } from "./options.ts";
import { duration, grouped, short } from "./output.ts";

export interface FinishedRun {
  readonly out: string;
  readonly config: TrainConfig;
  readonly device: Device;
  readonly corpus: TokenCorpus;
  readonly tokenizer: Tokenizer;
  /** What the collapse alarm said. */
  readonly notices: readonly string[];
}

/** summary.json: what the run measured, and what its experts took. */
export interface RunSummary extends Omit<Summary, "seconds"> {
  readonly seconds: { readonly install?: number; readonly train: number };
  readonly experts: readonly {
    readonly layer: number;
    readonly expert: number;
    readonly share: number;
    readonly domains: Readonly<Record<string, number>>;
    readonly kinds: Readonly<Record<string, number>>;
    readonly typical: readonly string[];
  }[];
  readonly sample: { readonly prompt: string; readonly text: string };
  readonly notices: readonly string[];
}

const promptTokens = 32;
const sampleTokens = 96;
const passageTokens = 220;
/** Columns of the load picture: a step or more each. */
const loadColumns = 160;
/** Points of a training curve: more than a picture shows. */
const curveColumns = 1000;

/** Looks into the trained mixture with held-out text, and writes `summary.json` and `report.html` beside the model. */
export async function writeRunReport(
  measured: Summary,
  run: FinishedRun,
): Promise<{ summary: RunSummary; report: ReportData }> {
  const { out, config, device, corpus, tokenizer } = run;
  const model = await loadModel(out, device);
  const labelled = config.model.routing.select.by === "label";
  const texts = corpus.heldOut
    .filter(({ ids }) => ids.length > 0)
    .map(({ domain, ids }) => ({ domain, ids, label: labelled ? domain : undefined }));
  const analysis = await analyse(model, texts, {
    tokenizer,
    window: config.data.sequence,
    passageTokens,
    precision: config.precision,
  });
  const [{ ids, domain }] = texts;
  const start = wordStart(ids, tokenizer);
  const prompt = ids.slice(start, start + Math.min(promptTokens, model.config.maxPositions));
  const labels = labelled ? Array.from(prompt, () => domain) : undefined;
  const sample = { prompt: tokenizer.decode(prompt), text: "" };
  const stream = tokenizer.stream();
  const ctx: Context = context({ precision: config.precision });
  for await (const { id, finish } of generate(model, [...prompt], {
    maxTokens: sampleTokens,
    temperature: 0.7,
    topP: 0.95,
    seed: config.seed,
    ctx,
    labels,
  })) {
    if (finish !== "end") sample.text += stream.push(id);
  }
  model.dispose();
  const summary = summaryOf(measured, analysis, sample, run.notices);
  const report = await reportOf(run, summary, analysis);
  await writeFileAtomic(`${out}/summary.json`, `${JSON.stringify(summary, null, 2)}\n`);
  await writeFileAtomic(`${out}/report.html`, reportHtml(report));
  return { summary, report };
}

/** Where a word begins, from the middle of a text on: its beginning holds headings. */
function wordStart(ids: Int32Array, tokenizer: Tokenizer): number {
  const space = 0x20;
  const middle = Math.floor(ids.length / 2);
  const found = ids.subarray(middle, -promptTokens).findIndex((id) => tokenizer.bytes(id)[0] === space);
  return found < 0 ? 0 : middle + found;
}

function summaryOf(
  measured: Summary,
  { specialisation }: Analysis,
  sample: RunSummary["sample"],
  notices: readonly string[],
): RunSummary {
  const install = Number(process.env.CONCLAVE_INSTALL_SECONDS);
  const named = (names: readonly string[], shares: readonly number[]) =>
    Object.fromEntries(names.map((name, i) => [name, shares[i]]));
  const experts = specialisation.layers.flatMap((profile, layer) =>
    profile.experts.map(({ share, domains, kinds, typical }, expert) => ({
      layer,
      expert,
      share,
      domains: named(specialisation.domains, domains),
      kinds: named(specialisation.kinds, kinds),
      typical: typical.map(({ text }) => text),
    })),
  );
  const seconds = { ...(install > 0 ? { install } : {}), ...measured.seconds };
  return { ...measured, seconds, experts, sample, notices };
}

async function reportOf(run: FinishedRun, summary: RunSummary, analysis: Analysis): Promise<ReportData> {
  const { out, config, device } = run;
  const moe = await readMetrics(`${out}/metrics.jsonl`);
  const dense = config.twin ? await readMetrics(`${out}/twin/metrics.jsonl`) : null;
  const tokensPerByte = summary.moe.tokens / summary.moe.bytes;
  const curves = [
    curveOf("MoE", moe, tokensPerByte),
    ...(dense ? [curveOf("dense", dense, tokensPerByte)] : []),
  ];
  const bits = (model: Summary["moe"]) => leadingBitsPerByte(model).toFixed(3);
  const { causality, prefixStandardError = 0, prefixPositions = 0 } = summary.moe;
  const against = summary.dense
    ? `; its dense twin, with the same active parameters, the same tokens and steps, reaches ${bits(summary.dense)}`
    : "";
  const notes = causality === "causal" ? null : causalityNotes[causality];
  const honest = notes
    ? ` It is not causal (${causality}): ${notes.why}. So ${summary.dense ? "both figures are" : "the figure is"} taken from ${grouped(prefixPositions)} positions, each read from its prefix alone (standard error ${prefixStandardError.toFixed(3)}). Over whole windows it reads ${summary.moe.bitsPerByte.toFixed(3)}, which does not count: ${notes.whole}.`
    : "";
  return {
    title: `${config.model.routing.experts} experts, ${config.model.layers} layers: where the tokens went`,
    headline: `The mixture of experts reaches ${bits(summary.moe)} bits per byte on held-out text${against}.${honest}`,
    facts: [
      {
        label: "bits per byte, MoE",
        value: bits(summary.moe),
        note: causality === "causal" ? undefined : "from prefixes",
      },
      ...(summary.dense ? [{ label: "bits per byte, dense twin", value: bits(summary.dense) }] : []),
      {
        label: "parameters",
        value: short(summary.moe.totalParams),
        note: `${short(summary.moe.activeParams)} active a token`,
      },
      { label: "tokens seen", value: short(summary.tokens), note: `${grouped(summary.steps)} steps` },
      { label: "tokens a second", value: grouped(summary.tokensPerSecond), note: kernelLine(device) },
      {
        label: "training time",
        value: duration(summary.seconds.train),
        note: summary.dense ? "both models" : undefined,
      },
    ],
    curves,
    load: loadOverTime(moe.steps),
    specialisation: analysis.specialisation,
    passages: analysis.passages,
    notices: run.notices,
    layerNumbers: analysis.layerNumbers,
    layers: summary.moe.layers,
    sample: summary.sample,
  };
}

interface Metrics {
  readonly steps: readonly StepRecord[];
  readonly evaluations: readonly EvaluationRecord[];
}

async function readMetrics(path: string): Promise<Metrics> {
  const records = (await readText(path))
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as StepRecord | EvaluationRecord);
  return {
    steps: records.filter((r): r is StepRecord => "loss" in r),
    evaluations: records.filter((r): r is EvaluationRecord => "heldOut" in r),
  };
}

function curveOf(name: string, { steps, evaluations }: Metrics, tokensPerByte: number): Curve {
  const bits = (nats: number) => (nats / Math.LN2) * tokensPerByte;
  return {
    name,
    train: inColumns(steps, curveColumns).map((column) => {
      const loss = column.reduce((sum, record) => sum + record.loss, 0) / column.length;
      return [column[column.length - 1].step, bits(loss)];
    }),
    heldOut: evaluations.map(({ step, heldOut }) => [step, leadingBitsPerByte(heldOut)]),
  };
}

/** Neighbouring steps together, so that there are at most `most` groups. */
function inColumns(steps: readonly StepRecord[], most: number): StepRecord[][] {
  const width = Math.max(1, Math.ceil(steps.length / most));
  return Array.from({ length: Math.ceil(steps.length / width) }, (_, c) =>
    steps.slice(c * width, (c + 1) * width),
  );
}

function loadOverTime(steps: readonly StepRecord[]): LoadOverTime[] {
  const layers = steps[0]?.layers.length ?? 0;
  const columns = inColumns(steps, loadColumns);
  return Array.from({ length: layers }, (_, layer) => ({
    steps: columns.map((column) => column[0].step),
    shares: columns.map((column) => sharesOf(column.map((record) => record.layers[layer].counts))),
  }));
}

function sharesOf(counts: readonly (readonly number[])[]): number[] {
  const sums = counts[0].map((_, e) => counts.reduce((sum, row) => sum + row[e], 0));
  const total = sums.reduce((a, b) => a + b, 0);
  return sums.map((n) => (total > 0 ? n / total : 0));
}
