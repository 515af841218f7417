import { basename } from "node:path";
import type { Command } from "commander";
import { fail } from "../errors.ts";
import { checkWritable, loadTokenizer, readBytes, writeFileAtomic } from "../formats/files.ts";
import { decodeText } from "../formats/text.ts";
import { type Analysis, analyse, type ReportData, reportHtml } from "../inspect/index.ts";
import { type Decoder, parameterCounts } from "../models/index.ts";
import { causalityNotes } from "../moe/index.ts";
import { labelFor, openModel, precisionOf, remarkCausality, resolveModel } from "./model.ts";
import { Notes } from "./notes.ts";
import { defaultWindow, openDevice } from "./options.ts";
import { commandLine, grouped, print, printJson, remark, short, table } from "./output.ts";

interface InspectFlags {
  readonly file?: string;
  readonly out: string;
  readonly window?: number;
  readonly passage: number;
  readonly label?: string;
  readonly precision: string;
  readonly json?: boolean;
}

/** Does what `conclave inspect` was asked. */
export async function runInspect(
  argument: string,
  prompt: string | undefined,
  flags: InspectFlags,
  command: Command,
): Promise<void> {
  if (prompt === undefined && flags.file === undefined)
    fail(
      "usage",
      "inspect routes a text, and none is given",
      `type it after the model: ${commandLine("inspect", argument, "The whale rose.")}; or name a file with --file`,
    );
  if (prompt !== undefined && flags.file !== undefined)
    fail("usage", "a prompt and --file are given; only one text can be routed", "leave one of them out");
  const precision = precisionOf(flags.precision);
  await checkWritable(flags.out);
  const text = prompt ?? decodeText(await readBytes(flags.file ?? "")).text;
  if (text === "")
    fail("data", `${flags.file ?? "the prompt"} holds no text`, "inspect a text of one character or more");
  const path = await resolveModel(argument);
  const { device } = await openDevice(command);
  const tokenizer = await loadTokenizer(path);
  const ids = tokenizer.encode(text, { addSpecial: true });
  const model = await openModel(path, device);
  if (model.routers.length === 0)
    fail("model", `${argument}: the model has no experts to look at`, "inspect a mixture of experts");
  const name = flags.file === undefined ? "prompt" : basename(flags.file);
  const { reach, mostPositions } = model;
  const { window = Math.min(defaultWindow, reach) } = flags;
  if (window > mostPositions)
    fail(
      "usage",
      `--window ${window}: the model has ${mostPositions} positions`,
      "ask for a smaller window, or leave --window out",
    );
  new Notes(model).checkPositions(Math.min(window, ids.length));
  const label = labelFor(model, flags.label);
  const analysis = await analyse(model, [{ domain: name, ids, label }], {
    tokenizer,
    window,
    passageTokens: flags.passage,
    precision,
  });
  remarkCausality(model, "a token's experts depend on the text around it, here on the whole window");
  await writeFileAtomic(flags.out, reportHtml(reportOf(argument, name, ids.length, model, analysis)));
  if (flags.json) printJson({ report: flags.out, tokens: ids.length, ...analysis });
  else show(analysis);
  remark(`report: ${flags.out}`);
  device.dispose();
}

function reportOf(
  model: string,
  name: string,
  tokens: number,
  decoder: Decoder,
  analysis: Analysis,
): ReportData {
  const counts = parameterCounts(decoder);
  const experts = analysis.layers[0].counts.length;
  return {
    title: `${basename(model)}: where the tokens of ${name === "prompt" ? "a prompt" : name} went`,
    headline: `${grouped(tokens)} tokens through ${analysis.layers.length} layers of ${experts} experts.${readingNote(decoder)}`,
    facts: [
      { label: "parameters", value: short(counts.total), note: `${short(counts.active)} active a token` },
      { label: "tokens", value: grouped(tokens) },
      { label: "expert layers", value: String(analysis.layers.length) },
      { label: "experts a layer", value: String(experts) },
    ],
    curves: [],
    load: [],
    specialisation: analysis.specialisation,
    passages: analysis.passages,
    notices: [],
    layerNumbers: analysis.layerNumbers,
    layers: analysis.layers,
    sample: null,
  };
}

/** Routes of a text that was seen whole are not those that a model meets as it writes. */
function readingNote({ causality }: Decoder): string {
  if (causality === "causal") return "";
  return ` Not a causal model (${causality}): ${causalityNotes[causality].why}, so a token's experts depend on the text around it, here on the whole window.`;
}

function show({ layerNumbers, layers, specialisation, passages }: Analysis): void {
  const balance = layers.map(({ maxOverMean, cv, entropy, dropped }, layer) => [
    String(layerNumbers[layer]),
    maxOverMean.toFixed(2),
    cv.toFixed(3),
    entropy.toFixed(3),
    `${(100 * dropped).toFixed(1)} %`,
    specialisation.layers[layer].kindBits.toFixed(3),
  ]);
  print(
    table(["layer", "max/mean load", "CV", "token entropy (nats)", "dropped", "bits about kind"], balance),
  );
  const [{ tokens, routes }] = passages;
  const most = 40;
  const rows = tokens
    .slice(0, most)
    .map((token, t) => [
      JSON.stringify(token),
      ...routes.map((layer) => layer[t].map(([expert]) => (expert < 0 ? "-" : String(expert))).join(" ")),
    ]);
  print(`\n${table(["token", ...layerNumbers.map((layer) => `layer ${layer}`)], rows)}`);
  if (tokens.length > most) print(`(the first ${most} tokens; the report shows ${grouped(tokens.length)})`);
}
