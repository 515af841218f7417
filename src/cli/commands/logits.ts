import { Command } from "commander";
import { modelArgument } from "../options.ts";
import { lazily } from "./lazily.ts";

export function logitsCommand(): Command {
  return new Command("logits")
    .description("Write a model's logits of given tokens to a NumPy file: float32 [tokens, vocabulary].")
    .argument("<model>", modelArgument)
    .requiredOption("--ids <list>", "token ids: 1,2,3")
    .requiredOption("--out <file>", "the .npy file to write")
    .option("--label <name>", "what the tokens are, for a model that routes by label")
    .option("--precision <name>", "bf16 or f32 matrix products", "f32")
    .option("--json", 'print {"file", "shape", "notes"}')
    .addHelpText("after", "\nExample:\n  conclave logits runs/small-1 --ids 1,2,3 --out logits.npy")
    .action(lazily(async () => (await import("../logits.ts")).runLogits));
}
