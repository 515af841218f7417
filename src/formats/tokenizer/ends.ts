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
