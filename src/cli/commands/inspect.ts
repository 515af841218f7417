import { Command } from "commander";
import { defaultWindow, modelArgument, whole } from "../options.ts";
import { lazily } from "./lazily.ts";

export function inspectCommand(): Command {
  return new Command("inspect")
    .description("Show which expert takes which token of a text, and what each specialises in.")
    .argument("<model>", modelArgument)
    .argument("[prompt]", "text to route")
    .option("--file <path>", "route the text of this file instead")
    .option("--out <file>", "the report to write", "report.html")
    .option(
      "--window <n>",
      `tokens a pass (default: ${defaultWindow}, or what the model has positions for)`,
      whole("--window", 1),
    )
    .option("--passage <n>", "tokens shown one by one", whole("--passage", 1), 600)
    .option("--label <name>", "what the tokens are, for a model that routes by label")
    .option("--precision <name>", "bf16 or f32 matrix products", "f32")
    .option("--json", "print the routes and figures as JSON")
    .addHelpText("after", '\nExample:\n  conclave inspect runs/small-1 "The whale rose." --out whale.html')
    .action(lazily(async () => (await import("../inspect.ts")).runInspect));
}
