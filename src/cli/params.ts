import { Command } from "commander";
import {
  countShape,
  describeModel,
  familyNames,
  type ParameterCounts,
  parameterCounts,
  publishedModels,
  publishedNames,
  weightBytes,
} from "../models/index.ts";
import { resolveModel } from "./model.ts";
import { bytes, print, printJson, short, table } from "./output.ts";

interface Counted {
  readonly title: string;
  readonly counts: ParameterCounts;
}

export function paramsCommand(): Command {
  return new Command("params")
    .description("Count a model's parameters: total, active a token, by part, and the memory they take.")
    .argument(
      "<model>",
      "model folder, .gguf, ORG/NAME that was pulled, config.json, or a published model's name",
    )
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      `\nPublished models: ${publishedNames.join(", ")}\nFamilies of model folders: ${familyNames.join(", ")}\n\nExample:\n  conclave params mixtral-8x7b`,
    )
    .action(async (model: string, options: { json?: boolean }) => {
      const { title, counts } = await count(model);
      const memory = weightBytes(counts);
      if (options.json) printJson({ model: title, ...counts, bytes: memory });
      else show(title, counts, memory);
    });
}

const published = `models published, by name: ${publishedNames.join(", ")}`;

async function count(model: string): Promise<Counted> {
  const name = publishedNames.find((known) => known === model.toLowerCase());
  if (name) return { title: publishedModels[name].title, counts: countShape(publishedModels[name]) };
  return { title: model, counts: parameterCounts(await describeModel(await resolveModel(model, published))) };
}

function show(title: string, counts: ParameterCounts, memory: ReturnType<typeof weightBytes>): void {
  print(`${title}: ${short(counts.total)} parameters, ${short(counts.active)} active a token`);
  print(
    `(${short(counts.activeWithoutEmbedding)} active without the input embedding, of which a token reads one row)\n`,
  );
  const rows = Object.entries(counts.byPart)
    .filter(([, part]) => part.total > 0)
    .map(([part, { total, active }]) => [
      part,
      short(total),
      short(active),
      `${((100 * total) / counts.total).toFixed(1)} %`,
    ]);
  print(table(["part", "total", "active", "share"], rows));
  print("");
  const sizes = Object.entries(memory).map(([precision, { resident, active }]) => [
    precision,
    bytes(resident),
    bytes(active),
  ]);
  print(table(["weights at", "all experts in memory", "active only"], sizes));
}
