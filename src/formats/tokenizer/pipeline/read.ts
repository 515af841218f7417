import { type AddedToken, plainToken } from "../added-tokens.ts";
import { configTokens, type TokenizerConfigJson } from "../config.ts";
import { endsOf } from "../ends.ts";
import { decodersOf, spaced } from "./decoders.ts";
import { modelOf } from "./models.ts";
import { normalizerOf } from "./normalizers.ts";
import { Part } from "./part.ts";
import { preTokenizerOf } from "./pre-tokenizers.ts";
import { type PipelineParts, PipelineTokenizer } from "./tokenizer.ts";
import { mostIds } from "./vocabulary.ts";

/**
 * Reads any tokenizer.json. Its keys "truncation" and "padding" are for training: transformers takes no notice of them either, unless
 * it is asked for.
 *
 * Errors: tokenizer, with the key.
 *
 * @param name what errors call the file
 * @param adds whether bos and eos stand around a text, instead of what the post-processor says
 */
export function readPipeline(
  json: object,
  config: TokenizerConfigJson,
  name: string,
  adds?: { readonly bos: boolean; readonly eos: boolean },
): PipelineTokenizer {
  const parts = pipelineParts(json, config, name);
  if (!adds) return new PipelineTokenizer(parts);
  const ids = (wanted: boolean, id: number | null): number[] => (wanted && id !== null ? [id] : []);
  const around = { before: ids(adds.bos, parts.bosId), after: ids(adds.eos, parts.eosId) };
  return new PipelineTokenizer({ ...parts, around });
}

function pipelineParts(json: object, config: TokenizerConfigJson, name: string): PipelineParts {
  const root = new Part(json, name);
  const model = modelOf(root.part("model"));
  const added = addedTokensOf(root, model.ids, config);
  const addedIds = new Map([...added].map(([id, { content }]) => [content, id]));
  const decoder = root.has("decoder") ? root.part("decoder") : undefined;
  // For BPE, transformers takes no notice of the wish: it would remove spaces that belong to the text.
  const cleans =
    model.type !== "BPE" ||
    config.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output === true;
  return {
    name,
    model,
    added,
    normalizer: root.has("normalizer") ? normalizerOf(root.part("normalizer")) : undefined,
    preTokenizer: root.has("pre_tokenizer") ? preTokenizerOf(root.part("pre_tokenizer")) : undefined,
    decoders: decoder ? decodersOf(decoder) : [spaced],
    around: root.has("post_processor") ? aroundOf(root.part("post_processor")) : { before: [], after: [] },
    splitSpecial: config.split_special_tokens === true,
    cleanUpSpaces: config.clean_up_tokenization_spaces === true && cleans,
    byteLevel: decoder !== undefined && JSON.stringify(json).includes('"ByteLevel"') && isByteLevel(decoder),
    ...endsOf(
      config,
      (content) => addedIds.get(content) ?? model.ids.get(content),
      (content) => addedIds.get(content),
    ),
  };
}

function isByteLevel(decoder: Part): boolean {
  return decoder.type === "Sequence"
    ? decoder.parts("decoders").some(isByteLevel)
    : decoder.type === "ByteLevel";
}

/**
 * The added tokens of a tokenizer.json and of tokenizer_config.json, by id. As in tokenizers, a text that the model knows has the
 * model's id, others the next ids in order; the ids that the file writes down do not count. Source: added_vocabulary.rs, add_tokens.
 */
export function addedTokensOf(
  root: Part,
  ids: ReadonlyMap<string, number>,
  config: TokenizerConfigJson,
): Map<number, AddedToken> {
  const added = new Map<number, AddedToken>();
  add(root.has("added_tokens") ? root.parts("added_tokens").map(tokenOf) : [], ids, added);
  add(configTokens(config, [...added.values()]), ids, added);
  return added;
}

function tokenOf(part: Part): AddedToken {
  const id = part.count("id");
  if (id >= mostIds) part.fail(`has the id ${id}, which is too large`);
  const special = part.boolean("special", false);
  return {
    ...plainToken(part.string("content"), special),
    single_word: part.boolean("single_word", false),
    lstrip: part.boolean("lstrip", false),
    rstrip: part.boolean("rstrip", false),
    normalized: part.boolean("normalized", !special),
  };
}

function add(
  tokens: readonly AddedToken[],
  ids: ReadonlyMap<string, number>,
  added: Map<number, AddedToken>,
): void {
  const idOf = new Map([...added].map(([id, { content }]) => [content, id]));
  let next = Math.max(ids.size, ...[...added.keys()].map((id) => id + 1));
  for (const token of tokens) {
    if (token.content === "") continue;
    const id = idOf.get(token.content) ?? ids.get(token.content) ?? next++;
    idOf.set(token.content, id);
    added.set(id, token);
  }
}

interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** The ids that a post-processor puts before and after a text. */
export function aroundOf(part: Part): Around {
  switch (part.type) {
    case "ByteLevel":
      return { before: [], after: [] };
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: [idOfPair(part, "cls")], after: [idOfPair(part, "sep")] };
    case "TemplateProcessing":
      return aroundOfTemplate(part);
    case "Sequence": {
      const all = part.parts("processors").filter(({ type }) => type !== "ByteLevel");
      if (all.length > 1) part.unsupported("processors");
      return all[0] ? aroundOf(all[0]) : { before: [], after: [] };
    }
    default:
      return part.unsupported("type");
  }
}

function idOfPair(part: Part, key: string): number {
  const [, id] = part.list(key);
  return Number.isInteger(id) ? (id as number) : part.fail(`has no text and id for "${key}"`);
}

function aroundOfTemplate(part: Part): Around {
  const around = { before: [] as number[], after: [] as number[] };
  let texts = 0;
  for (const piece of part.parts("single")) {
    if (piece.has("Sequence")) {
      if (piece.part("Sequence").string("id") !== "A") part.unsupported("single");
      texts++;
      continue;
    }
    const special = part.part("special_tokens").part(piece.part("SpecialToken").string("id"));
    around[texts === 0 ? "before" : "after"].push(...(special.list("ids") as number[]));
  }
  if (texts !== 1) part.unsupported("single");
  return around;
}
