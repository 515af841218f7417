import type { Command } from "commander";
import { fail } from "../errors.ts";
import type { ExpertChoice } from "../infer/index.ts";
import type { Seed } from "../tensor/random.ts";
import { between, byteSize, seedOf, whole } from "./options.ts";

/** How tokens are drawn and by which experts: the flags that `generate` and `chat` share; undefined: not given. */
export interface SamplingFlags {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: ReadonlyMap<number, number>;
  /** For `textOf`, which knows the text. */
  readonly stop?: readonly string[];
  /** None: one is drawn, and told. */
  readonly seed?: Seed;
  readonly activeExperts?: number;
  readonly maskExperts?: ExpertChoice["without"];
}

/** Tokens to write, where nobody says. */
export const usualTokens = { generate: 128, chat: 1024 } as const;

/** What is taken where neither a flag nor the model's files say. */
export const usualSampling = { temperature: 0.8, topP: 0.95 } as const;

/** Adds them to a command; `maxTokens` is the default of --max-tokens. */
export function addSamplingFlags(command: Command, { maxTokens }: { maxTokens: number }): Command {
  const otherwise = (value: number): string => `(default: the model's generation_config.json, else ${value})`;
  return command
    .option("--max-tokens <n>", `tokens to write ${otherwise(maxTokens)}`, whole("--max-tokens", 0))
    .option(
      "--temperature <x>",
      `0 takes the most likely token each time ${otherwise(usualSampling.temperature)}`,
      between("--temperature", 0, 100),
    )
    .option("--top-k <n>", "sample from at most this many tokens; 0: from all", whole("--top-k", 0))
    .option(
      "--top-p <x>",
      `sample from the smallest set of tokens of this probability ${otherwise(usualSampling.topP)}`,
      between("--top-p", 0, 1),
    )
    .option(
      "--min-p <x>",
      "sample from tokens at least this share as likely as the likeliest",
      between("--min-p", 0, 1),
    )
    .option(
      "--repetition-penalty <x>",
      "divide the logits of tokens met before; 1: none",
      between("--repetition-penalty", 0.01, 100),
    )
    .option(
      "--presence-penalty <x>",
      "take this from the logits of tokens written before",
      between("--presence-penalty", -100, 100),
    )
    .option(
      "--frequency-penalty <x>",
      "take this from their logits as often as they were written",
      between("--frequency-penalty", -100, 100),
    )
    .option(
      "--logit-bias <id=x>",
      "add x to a token's logit, -inf forbids it; may be given more than once",
      collectBias,
    )
    .option("--stop <text>", "end before this text; may be given more than once", collectText)
    .option("--seed <n>", "same seed, same text; default: one is drawn and told", seedOf("--seed"))
    .option(
      "--active-experts <n>",
      "experts a token passes, in place of the model's number",
      whole("--active-experts", 1),
    )
    .option(
      "--mask-experts <list>",
      "experts that no token passes: 3,7 in every block, 2:3,2:7 in block 2",
      expertList,
    );
}

/** --expert-cache of `generate` and `chat`, in bytes. */
export interface ExpertCacheFlag {
  readonly expertCache?: number;
}

export function addExpertCacheFlag(command: Command): Command {
  return command.option(
    "--expert-cache <size>",
    "keep at most so much of the experts in memory, for a model wider than it: 4GiB",
    byteSize("--expert-cache"),
  );
}

/** "5=-2.5", "7=-inf". */
function collectBias(text: string, before: ReadonlyMap<number, number> = new Map()): Map<number, number> {
  const [id, value, ...rest] = text.split("=");
  const bias = value === "-inf" ? Number.NEGATIVE_INFINITY : Number(value?.trim() || "none");
  if (rest.length > 0 || Number.isNaN(bias) || bias === Number.POSITIVE_INFINITY)
    fail("usage", `--logit-bias takes id=number or id=-inf, not ${JSON.stringify(text)}`);
  return new Map([...before, [whole("--logit-bias", 0)(id), bias]]);
}

function collectText(text: string, before: readonly string[] = []): string[] {
  if (text === "") fail("usage", "--stop takes a text that is not empty");
  return [...before, text];
}

/** "3,7", "2:3,2:7". */
function expertList(text: string): NonNullable<ExpertChoice["without"]> {
  const number = whole("--mask-experts", 0);
  return text.split(",").map((item) => {
    const parts = item.split(":").map(number);
    if (parts.length > 2)
      fail("usage", `--mask-experts takes experts or block:expert, not ${JSON.stringify(item)}`);
    return parts.length === 1 ? { expert: parts[0] } : { layer: parts[0], expert: parts[1] };
  });
}
