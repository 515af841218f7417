import { Command } from "commander";
import { commandHelp } from "../chat-help.ts";
import { modelArgument } from "../options.ts";
import { addExpertCacheFlag, addSamplingFlags, usualTokens } from "../sampling-flags.ts";
import { lazily } from "./lazily.ts";

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("Talk with a chat model. Lines of a pipe are questions, answered one by one.")
    .argument("<model>", modelArgument)
    .option("--system <text>", "tells the model how to behave")
    .option("--template <file>", "chat template (Jinja) to use in place of the model's");
  return addExpertCacheFlag(addSamplingFlags(command, { maxTokens: usualTokens.chat }))
    .option("--label <name>", "what the tokens are, for a model that routes by label")
    .option("--precision <name>", "of products: f32, bf16, or auto: bf16 for weights in blocks", "auto")
    .option(
      "--json",
      'print {"ids", "text", "finish", "seed", "promptTokens", "defaults", "notes"} for each answer',
    )
    .addHelpText(
      "after",
      `\nWhile you talk:\n${commandHelp}\n\nExample:\n  conclave chat allenai/OLMoE-1B-7B-0924-Instruct --system "Be brief."`,
    )
    .action(lazily(async () => (await import("../chat.ts")).runChat));
}
