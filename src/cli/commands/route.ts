import { Command } from "commander";
import { lazily } from "./lazily.ts";

export function routeCommand(): Command {
  return new Command("route")
    .description(
      "Route logits from a file by a routing spec: which expert takes which token, and the losses.",
    )
    .requiredOption("--spec <file>", "routing spec, JSON (docs/routing.md)")
    .requiredOption(
      "--logits <file>",
      'JSON: {"logits": [[E numbers] a token], "training"?, "bias"?, "noise"?, "labels"?, ...}',
    )
    .option(
      "--no-training",
      "route as at inference, where a capacity acts only if it says so (default: as in training)",
    )
    .option("--json", "print the whole result as JSON")
    .addHelpText("after", "\nExample:\n  conclave route --spec spec.json --logits logits.json --json")
    .action(lazily(async () => (await import("../route.ts")).runRoute));
}
