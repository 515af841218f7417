import * as z from "zod";
import { fail } from "../errors.ts";
import { ChatTemplate } from "./chat-template.ts";
import { GgufArray } from "./gguf/metadata.ts";
import { parseJson } from "./json.ts";
import type { TokenizerMetadata } from "./tokenizer/gguf.ts";

const text = z.string();
const tokenText = z.union([text, z.looseObject({ content: text })]);
const configSchema = z.looseObject({
  chat_template: z
    .union([text, z.array(z.looseObject({ name: text, template: text }))])
    .nullable()
    .optional(),
});
const specialNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "pad_token",
  "sep_token",
  "cls_token",
  "mask_token",
] as const;

/** Texts of a model folder's files that hold chat templates; undefined where there is none. */
export interface ChatTemplateFiles {
  /** tokenizer_config.json */
  readonly config?: string;
  /** chat_template.jinja, which goes before what tokenizer_config.json holds. */
  readonly jinja?: string;
}

/**
 * Reads a model folder's chat template, with the special tokens that it may name; undefined where it has none.
 * Errors: file-damaged, template.
 *
 * @param name what errors call the model
 */
export function readChatTemplate(files: ChatTemplateFiles, name: string): ChatTemplate | undefined {
  const json = parseJson(files.config ?? "{}", `${name}/tokenizer_config.json`);
  const config = configSchema.safeParse(json);
  if (!config.success)
    fail(
      "template",
      `${name}/tokenizer_config.json: chat_template is neither a text nor a list of them`,
      "correct the file, or give a template with --template FILE",
    );
  const specialTokens: Record<string, string> = {};
  for (const key of specialNames) {
    const token = tokenText.safeParse((config.data as Record<string, unknown>)[key]);
    if (token.success) specialTokens[key] = typeof token.data === "string" ? token.data : token.data.content;
  }
  const { chat_template: given } = config.data;
  const templates = new Map(
    typeof given === "string" ? [["default", given]] : given?.map(({ name, template }) => [name, template]),
  );
  if (files.jinja !== undefined) templates.set("default", files.jinja);
  return templates.size === 0 ? undefined : new ChatTemplate({ templates, specialTokens, name });
}

/** Reads the chat template of a GGUF file's metadata; undefined where it has none. Errors: template. */
export function readGgufChatTemplate(metadata: TokenizerMetadata, name: string): ChatTemplate | undefined {
  const templates = new Map<string, string>();
  for (const key of metadata.keys()) {
    const value = metadata.get(key);
    const match = /^tokenizer\.chat_template(?:\.(.+))?$/.exec(key);
    if (match && typeof value === "string") templates.set(match[1] ?? "default", value);
  }
  if (templates.size === 0) return undefined;
  return new ChatTemplate({ templates, specialTokens: ggufSpecialTokens(metadata), name });
}

const ggufIds: Readonly<Record<string, string>> = {
  bos_token: "bos_token_id",
  eos_token: "eos_token_id",
  unk_token: "unknown_token_id",
  pad_token: "padding_token_id",
};

/** The texts of a GGUF file's special tokens, as templates name them. */
function ggufSpecialTokens(metadata: TokenizerMetadata): Record<string, string> {
  const stored = metadata.get("tokenizer.ggml.tokens");
  const tokens: unknown = stored instanceof GgufArray ? stored.values() : stored;
  const found: Record<string, string> = {};
  if (!Array.isArray(tokens)) return found;
  for (const [variable, key] of Object.entries(ggufIds)) {
    const token: unknown = tokens[Number(metadata.get(`tokenizer.ggml.${key}`))];
    if (typeof token === "string") found[variable] = token;
  }
  return found;
}
