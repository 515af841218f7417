import type { Command } from "commander";
import type { GenerateOptions } from "../infer/index.ts";
import { between, whole } from "./options.ts";

/** How tokens are drawn: the flags that `generate` and `chat` share. */
export interface SamplingFlags {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK?: number;
  readonly seed: number;
}

/** Adds them to a command; `maxTokens` is the default of --max-tokens. */
export function addSamplingFlags(command: Command, { maxTokens }: { maxTokens: number }): Command {
  return command
    .option("--max-tokens <n>", "tokens to write", whole("--max-tokens", 0), maxTokens)
    .option(
      "--temperature <x>",
      "0 takes the most likely token each time",
      between("--temperature", 0, 100),
      0.8,
    )
    .option(
      "--top-p <x>",
      "sample from the smallest set of tokens of this probability",
      between("--top-p", 0, 1),
      0.95,
    )
    .option("--top-k <n>", "sample from at most this many tokens", whole("--top-k", 1))
    .option("--seed <n>", "same seed, same text", whole("--seed", 0), 0);
}

/** What the flags ask of {@link generate}. */
export function samplingOf(
  flags: SamplingFlags,
): Pick<GenerateOptions, "maxTokens" | "temperature" | "topP" | "topK" | "seed"> {
  const { maxTokens, temperature, topP, topK, seed } = flags;
  return { maxTokens, temperature, topP, topK, seed };
}
