import { Command } from "commander";
import { familyNames } from "../../models/family-names.ts";
import { publishedNames } from "../../models/published.ts";
import { lazily } from "./lazily.ts";

export function paramsCommand(): Command {
  return new Command("params")
    .description("Count a model's parameters: total, active a token, by part, and the memory they take.")
    .argument(
      "<model>",
      "model folder, .gguf, ORG/NAME that was pulled, config.json, or a published model's name",
    )
    .option("--json", "print as JSON; of a model known by hearsay each number is {low, high}")
    .addHelpText(
      "after",
      `\nPublished models: ${publishedNames.join(", ")}\nFamilies of model folders: ${familyNames.join(", ")}\n\nExample:\n  conclave params mixtral-8x7b`,
    )
    .action(lazily(async () => (await import("../params.ts")).runParams));
}
