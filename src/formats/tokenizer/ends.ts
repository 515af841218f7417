import { contentOf, type TokenizerConfigJson } from "./config.ts";

/** Tokens that end a turn, by the names that families give them. */
const turnEnds = [
  "<|im_end|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|eot|>",
  "<|eom|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<end_of_turn>",
  "<|end_of_text|>",
  "<|endoftext|>",
  "<|user|>",
  "<|observation|>",
  "<｜end▁of▁sentence｜>",
  "[EOT]",
] as const;

/**
 * Ids that end what a model writes: those given, and every special token of a known name. gpt-oss ends each of its
 * messages with <|end|>, its turn with <|return|> or <|call|> only.
 *
 * @param specialId the id of a special token, undefined where the vocabulary has none of that text
 */
export function endIdsOf(
  given: readonly (number | null)[],
  specialId: (text: string) => number | undefined,
): number[] {
  const severalMessages = specialId("<|return|>") !== undefined && specialId("<|call|>") !== undefined;
  const named = turnEnds.filter((text) => !(severalMessages && text === "<|end|>")).map(specialId);
  return [...new Set([...given, ...named])].filter((id) => id !== null && id !== undefined);
}

/** What begins and ends texts, as tokenizer_config.json names it. */
export function endsOf(
  config: TokenizerConfigJson,
  idOf: (content: string) => number | undefined,
  addedId: (content: string) => number | undefined,
): { bosId: number | null; eosId: number | null; endIds: number[] } {
  const find = (content: string | undefined): number | null =>
    (content === undefined ? undefined : idOf(content)) ?? null;
  const eosId = find(contentOf(config.eos_token));
  return { bosId: find(contentOf(config.bos_token)), eosId, endIds: endIdsOf([eosId], addedId) };
}
