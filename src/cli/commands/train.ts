import { Command } from "commander";
import { presets } from "../../train/presets.ts";
import { between, seedOf, whole } from "../options.ts";
import { lazily } from "./lazily.ts";

export function trainCommand(): Command {
  return new Command("train")
    .description(
      "Train a mixture-of-experts language model, and a dense twin of the same active size beside it.",
    )
    .option("--preset <name>", `one of ${Object.keys(presets).join(", ")} (default: small)`)
    .option("--config <file>", "JSON with any of the configuration's keys; docs/training.md lists them")
    .option(
      "--data <path...>",
      "text files or folders, each a domain (name=path names it); default: a demo corpus",
    )
    .option("--out <folder>", "where the run goes; a new folder (default: runs/<preset>-<n>)")
    .option("--resume <folder>", "go on with the run in this folder")
    .option("--steps <n>", "training steps", whole("--steps", 1))
    .option("--batch <n>", "windows at once; a step takes data.accumulate times as many", whole("--batch", 1))
    .option("--lr <x>", "highest learning rate", between("--lr", 1e-8, 10))
    .option("--warmup <n>", "steps in which the learning rate rises to it", whole("--warmup", 0))
    .option("--seed <n>", "seed of everything random", seedOf("--seed"))
    .option("--precision <name>", "bf16 (mixed precision) or f32")
    .option("--checkpoint-every <n>", "steps between checkpoints", whole("--checkpoint-every", 1))
    .option("--no-twin", "train no dense twin")
    .option("--json", "print the summary as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  conclave train                                     the demo: three domains, a few minutes" +
        "\n  conclave train --preset tiny --data notes/ --out runs/notes\n  conclave train --resume runs/notes",
    )
    .action(lazily(async () => (await import("../train.ts")).runTrain));
}
