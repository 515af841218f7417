import { Command } from "commander";
import { modelArgument, whole } from "../options.ts";
import { addExpertCacheFlag, addSamplingFlags, usualTokens } from "../sampling-flags.ts";
import { lazily } from "./lazily.ts";

export function generateCommand(): Command {
  const command = new Command("generate")
    .description("Continue a prompt.")
    .argument("<model>", modelArgument)
    .argument("[prompt]", "text to continue")
    .option("--ids <list>", "token ids to continue instead of a text: 1,2,3");
  return addExpertCacheFlag(addSamplingFlags(command, { maxTokens: usualTokens.generate }))
    .option("--label <name>", "what the tokens are, for a model that routes by label")
    .option("--precision <name>", "of products: f32, bf16, or auto: bf16 for weights in blocks", "auto")
    .option(
      "--logprobs <n>",
      "with --json: log-probabilities of each token and of the n likeliest",
      whole("--logprobs", 0),
    )
    .option("--routes", "with --json: the experts of the position that each token was read from")
    .option("--json", 'print {"ids", "text", "finish", "seed", "timings", "defaults", "notes"}')
    .addHelpText(
      "after",
      '\nExample:\n  conclave generate runs/small-1 "Call me" --max-tokens 64 --temperature 0.7',
    )
    .action(lazily(async () => (await import("../generate.ts")).runGenerate));
}
