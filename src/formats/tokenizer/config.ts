import * as z from "zod";
import { fail } from "../../errors.ts";
import { parseJson } from "../json.ts";
import { type AddedToken, plainToken } from "./added-tokens.ts";

/** A token with its flags, as transformers writes them down. */
export interface TokenJson {
  readonly content: string;
  readonly single_word?: boolean | undefined;
  readonly lstrip?: boolean | undefined;
  readonly rstrip?: boolean | undefined;
  readonly normalized?: boolean | undefined;
  readonly special?: boolean | undefined;
}
type Named = string | TokenJson | null | undefined;
type Flag = boolean | null | undefined;
type Tokens =
  | readonly (string | TokenJson)[]
  | Readonly<Record<string, string | TokenJson>>
  | null
  | undefined;

/** What is read of tokenizer_config.json; other keys are no part of how texts become ids. */
export interface TokenizerConfigJson {
  readonly tokenizer_class?: string | null | undefined;
  readonly legacy?: Flag;
  readonly add_prefix_space?: Flag;
  readonly add_bos_token?: Flag;
  readonly add_eos_token?: Flag;
  readonly bos_token?: Named;
  readonly eos_token?: Named;
  readonly unk_token?: Named;
  readonly sep_token?: Named;
  readonly pad_token?: Named;
  readonly cls_token?: Named;
  readonly mask_token?: Named;
  readonly additional_special_tokens?: Tokens;
  readonly extra_special_tokens?: Tokens;
  readonly added_tokens_decoder?: Readonly<Record<string, TokenJson>> | null | undefined;
  readonly sp_model_kwargs?: Readonly<Record<string, unknown>> | null | undefined;
  readonly split_special_tokens?: Flag;
  readonly clean_up_tokenization_spaces?: Flag;
  readonly clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output?: Flag;
}

const tokenObject = z.looseObject({
  content: z.string(),
  single_word: z.boolean().optional(),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
  normalized: z.boolean().optional(),
  special: z.boolean().optional(),
});
const token = z.union([z.string(), tokenObject]);
const tokens = z.union([z.array(token), z.record(z.string(), token)]).nullish();
const flag = z.boolean().nullish();

const configSchema: z.ZodType<TokenizerConfigJson> = z.looseObject({
  tokenizer_class: z.string().nullish(),
  legacy: flag,
  add_prefix_space: flag,
  add_bos_token: flag,
  add_eos_token: flag,
  bos_token: token.nullish(),
  eos_token: token.nullish(),
  unk_token: token.nullish(),
  sep_token: token.nullish(),
  pad_token: token.nullish(),
  cls_token: token.nullish(),
  mask_token: token.nullish(),
  additional_special_tokens: tokens,
  extra_special_tokens: tokens,
  added_tokens_decoder: z.record(z.string(), tokenObject).nullish(),
  sp_model_kwargs: z.record(z.string(), z.unknown()).nullish(),
  split_special_tokens: flag,
  clean_up_tokenization_spaces: flag,
  clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: flag,
});

/** Reads tokenizer_config.json. Errors: file-damaged, where it is no JSON; tokenizer, with the key. */
export function readTokenizerConfig(text: string, name: string): TokenizerConfigJson {
  const config = configSchema.safeParse(parseJson(text, name));
  if (config.success) return config.data;
  const { path, message } = config.error.issues[0]!;
  return fail(
    "tokenizer",
    `${name}: ${path.join(".") || "the file"}: ${message}`,
    "correct the key, or fetch the file again",
  );
}

/** The text of the files beside a vocabulary; undefined where a file is missing. */
export interface TokenizerConfigFiles {
  /** tokenizer_config.json */
  readonly config?: string | undefined;
  /** special_tokens_map.json, which older models have. */
  readonly specialTokens?: string | undefined;
  /** added_tokens.json, which older models have: ids by text. */
  readonly added?: string | undefined;
}

/**
 * tokenizer_config.json with what the older files say. As in transformers, those count only where tokenizer_config.json lists no
 * added tokens itself.
 *
 * @param name what errors call the vocabulary, whose folder has the files
 */
export function foldedConfig(files: TokenizerConfigFiles, name: string): TokenizerConfigJson {
  const beside = (file: string): string => name.replace(/[^/\\]*$/, file);
  const config = readTokenizerConfig(files.config ?? "{}", beside("tokenizer_config.json"));
  if (config.added_tokens_decoder || !(files.specialTokens || files.added)) return config;
  const map = readTokenizerConfig(files.specialTokens ?? "{}", beside("special_tokens_map.json"));
  const folded = { ...config, ...map };
  const ids = z
    .record(z.string(), z.int())
    .safeParse(parseJson(files.added ?? "{}", beside("added_tokens.json")));
  if (!ids.success)
    fail("tokenizer", `${beside("added_tokens.json")} does not hold ids by text`, "fetch the file again");
  const specials = new Set(configTokens(folded, []).map(({ content }) => content));
  const listed = Object.entries(ids.data).map(([content, id]): [string, TokenJson] => {
    const special = specials.has(content);
    return [String(id), { content, special, normalized: !special }];
  });
  return listed.length > 0 ? { ...folded, added_tokens_decoder: Object.fromEntries(listed) } : folded;
}

const named = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

/** The text of a token that a config names. */
export function contentOf(named: string | { content: string } | null | undefined): string | undefined {
  return typeof named === "string" ? named : named?.content;
}

/**
 * The tokens that transformers adds to a tokenizer because of tokenizer_config.json, in its order: those of added_tokens_decoder that the
 * tokenizer does not have just so, then the named and the additional special tokens that are no added tokens yet.
 * Source: transformers 5.18, TokenizersBackend.__init__.
 */
export function configTokens(config: TokenizerConfigJson, existing: readonly AddedToken[]): AddedToken[] {
  const listed = Object.entries(config.added_tokens_decoder ?? {})
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, entry]) => tokenOf(entry));
  const tokens = listed.filter((entry) => !existing.some((other) => same(entry, other)));
  const known = new Map([...existing, ...listed].map((entry) => [entry.content, entry]));
  const specials = new Set<string>();
  const special = (entry: Named): void => {
    const content = contentOf(entry);
    if (content === undefined || entry === null || entry === undefined) return;
    specials.add(content);
    if (known.has(content)) return;
    const added = typeof entry === "string" ? plainToken(entry, true) : tokenOf(entry);
    known.set(content, added);
    tokens.push(added);
  };
  for (const key of named) special(config[key]);
  const names = new Set(specials);
  for (const [key, entry] of Object.entries(config))
    if (key.endsWith("_token") && !(named as readonly string[]).includes(key) && typeof entry === "string")
      special(entry);
  const extra = config.extra_special_tokens ?? config.additional_special_tokens ?? [];
  for (const entry of Array.isArray(extra) ? extra : Object.values(extra)) special(entry);
  return tokens.map((entry) => (names.has(entry.content) ? { ...entry, special: true } : entry));
}

function tokenOf(entry: TokenJson): AddedToken {
  const { content, special = false } = entry;
  return {
    content,
    special,
    single_word: entry.single_word ?? false,
    lstrip: entry.lstrip ?? false,
    rstrip: entry.rstrip ?? false,
    normalized: entry.normalized ?? !special,
  };
}

function same(a: AddedToken, b: AddedToken): boolean {
  return (
    a.content === b.content &&
    a.single_word === b.single_word &&
    a.lstrip === b.lstrip &&
    a.rstrip === b.rstrip &&
    a.normalized === b.normalized &&
    a.special === b.special
  );
}
