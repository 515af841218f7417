import pc from "picocolors";
import type { ReportData } from "../inspect/index.ts";
import { type Causality, causalityNotes } from "../moe/index.ts";
import { leadingBitsPerByte } from "../train/index.ts";
import { commandLine, duration, grouped, harmless, print, short, table } from "./output.ts";
import type { RunSummary } from "./run-report.ts";

const tokensShown = 8;

/** The end of a run: both models, the balance of each layer, what each expert takes, a sample. */
export function printRunTable(summary: RunSummary, report: ReportData, out: string): void {
  const models = [
    ["MoE", summary.moe] as const,
    ...(summary.dense ? [["dense twin", summary.dense] as const] : []),
  ];
  const domains = summary.moe.domains.map(({ domain }) => domain);
  const { causality } = summary.moe;
  const rows = models.map(([name, model]) => [
    name,
    leadingBitsPerByte(model).toFixed(3),
    ...(causality === "causal"
      ? []
      : [(model.prefixStandardError ?? 0).toFixed(3), model.bitsPerByte.toFixed(3)]),
    ...model.domains.map((domain) => leadingBitsPerByte(domain).toFixed(3)),
    short(model.totalParams),
    short(model.activeParams),
  ]);
  const figures = causality === "causal" ? ["all"] : ["from prefixes", "±", "whole windows"];
  print(`\n${table(["held-out bits per byte", ...figures, ...domains, "parameters", "active"], rows)}\n`);
  if (causality !== "causal") print(`${causalityLines(causality, summary)}\n`);
  const balance = summary.moe.layers.map(({ maxOverMean, cv, entropy, dropped }, layer) => [
    String(layer),
    maxOverMean.toFixed(2),
    cv.toFixed(3),
    entropy.toFixed(3),
    `${(100 * dropped).toFixed(1)} %`,
  ]);
  print(`${table(["layer", "max/mean load", "CV", "token entropy (nats)", "dropped"], balance)}\n`);
  const experts = summary.experts.map(({ layer, expert, share, domains: shares, typical }) => [
    `${layer}.${expert}`,
    percent(share),
    ...domains.map((domain) => percent(shares[domain])),
    typical.slice(0, tokensShown).map(visible).join(" "),
  ]);
  const looked = report.specialisation;
  const shareOf = (domain: string) => looked?.domainShares[looked.domains.indexOf(domain)] ?? 0;
  const all = ["all text", "", ...domains.map((domain) => percent(shareOf(domain))), ""];
  print("of each expert's tokens, the share from each domain");
  print(leftLast(["layer.expert", "load", ...domains, "most typical tokens"], [all, ...experts]));
  print(
    `\n${pc.bold("sample")}  ${pc.dim(harmless(summary.sample.prompt))}${harmless(summary.sample.text)}\n`,
  );
  for (const notice of report.notices) print(`${pc.yellow("collapse alarm:")} ${notice}`);
  print(
    `${grouped(summary.tokensPerSecond)} tokens/s, trained in ${duration(summary.seconds.train)} on ${summary.kernels}`,
  );
  print(
    `\nmodel      ${out}\nfigures    ${out}/summary.json\nreport     ${pc.bold(`${out}/report.html`)}  (open it in a browser)`,
  );
  print(`try        ${commandLine("generate", out, "The")}`);
}

/** Which figures count for a mixture that is not causal, and why. */
function causalityLines(causality: Exclude<Causality, "causal">, { moe, dense }: RunSummary): string {
  const { why, whole } = causalityNotes[causality];
  const positions = `${grouped(moe.prefixPositions ?? 0)} positions${dense ? ", the same for both models" : ""}`;
  return (
    `The mixture is not causal (${causality}): ${why}. Judge it by the figures from prefixes (${positions}):\n` +
    `each position is read from its prefix alone, as the model reads when it generates. The figure over whole windows is no such figure:\n${whole}.`
  );
}

/** A table whose last column is text, to the left. */
function leftLast(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widest = Math.max(...[head, ...rows].map((row) => [...(row.at(-1) ?? "")].length));
  const fill = (row: readonly string[]) => [...row.slice(0, -1), (row.at(-1) ?? "").padEnd(widest)];
  return table(fill(head), rows.map(fill));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function visible(text: string): string {
  return text.replaceAll(" ", "·").replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll("\r", "␍");
}
