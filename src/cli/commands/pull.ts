import { Command } from "commander";
import { lazily } from "./lazily.ts";

const gather = (value: string, before: string[]): string[] => [...before, value];

export function pullCommand(): Command {
  return new Command("pull")
    .description("Fetch a model from the Hugging Face hub into its cache on this machine.")
    .argument("<model>", "ORG/NAME, ORG/NAME:QUANT or ORG/NAME/PATH, each with @REVISION or without")
    .option("--revision <name>", "branch, tag or commit (default: main)")
    .option("--file <path>", "fetch this file; may be given several times", gather, [])
    .option(
      "--include <pattern>",
      "fetch the files that match, with * and ?; may be given several times",
      gather,
      [],
    )
    .option("--json", 'print {"folder", "commit", "files"}')
    .addHelpText(
      "after",
      "\nWithout --file and --include: the safetensors with configuration and tokenizer, or the one GGUF model,\nof several that of QUANT, such as Q4_K_M. PATH is one file or folder." +
        "\nHF_HUB_CACHE or HF_HOME say where the cache is, HF_TOKEN or the token that\n`hf auth login` keeps who you are, HF_ENDPOINT where the hub is. HF_HUB_OFFLINE=1 asks the cache alone." +
        "\n\nExamples:\n  conclave pull allenai/OLMoE-1B-7B-0924-Instruct" +
        "\n  conclave pull Qwen/Qwen3-30B-A3B-GGUF --file Qwen3-30B-A3B-Q4_K_M.gguf" +
        "\n  conclave pull Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M",
    )
    .action(lazily(async () => (await import("../pull.ts")).runPull));
}
