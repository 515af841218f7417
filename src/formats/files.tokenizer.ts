import { basename, join } from "node:path";
import { fail } from "../errors.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { readChatTemplate, readGgufChatTemplate } from "./chat-template-files.ts";
import { writeFileAtomic } from "./files.atomic.ts";
import { openGgufFile } from "./files.gguf.ts";
import { pathExists, readBytes, readText, readTextIfThere } from "./files.read.ts";
import { isGgufPath } from "./gguf/split.ts";
import { readGgufTokenizer, type TokenizerMetadata } from "./tokenizer/gguf.ts";
import { tokenizerFiles } from "./tokenizer/hugging-face.ts";
import { readTokenizer } from "./tokenizer/read.ts";
import { readSentencePiece } from "./tokenizer/sentencepiece-folder.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";
import type { BpeModel } from "./tokenizer/train.ts";

/** What tells of a vocabulary in a model folder; the first goes before the second. */
const vocabularyFiles = ["tokenizer.json", "tokenizer.model"] as const;

/** Whether a model folder or .gguf file comes with a tokenizer. */
export async function hasTokenizer(path: string): Promise<boolean> {
  if (!isGgufPath(path))
    return (await Promise.all(vocabularyFiles.map((file) => pathExists(join(path, file))))).includes(true);
  return await withMetadata(path, (metadata) => metadata.get("tokenizer.ggml.model") !== undefined);
}

/**
 * Loads the tokenizer of a model: of a folder its tokenizer.json, or else its tokenizer.model (SentencePiece), with tokenizer_config.json
 * where it is there; of a .gguf file its own vocabulary.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (isGgufPath(path))
    return await withMetadata(path, (metadata) => readGgufTokenizer(metadata, basename(path)));
  const [file, model] = vocabularyFiles.map((name) => join(path, name)) as [string, string];
  const [config, specialTokens, added] = await Promise.all(
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"].map((name) =>
      readTextIfThere(join(path, name)),
    ),
  );
  const beside = { specialTokens, added };
  if (await pathExists(file))
    return readTokenizer({ tokenizer: await readText(file), config: config ?? "{}", ...beside }, file);
  if (!(await pathExists(model)))
    fail(
      "file-missing",
      `${path} holds neither tokenizer.json nor tokenizer.model`,
      "put the model's tokenizer beside its weights, or give token ids instead of a text",
    );
  return readSentencePiece({ model: await readBytes(model), config, ...beside }, model);
}

/** Loads the chat template of a model folder or .gguf file; undefined where it has none. */
export async function loadChatTemplate(path: string): Promise<ChatTemplate | undefined> {
  if (isGgufPath(path))
    return await withMetadata(path, (metadata) => readGgufChatTemplate(metadata, basename(path)));
  const config = await readTextIfThere(join(path, "tokenizer_config.json"));
  const jinja = await readTextIfThere(join(path, "chat_template.jinja"));
  return readChatTemplate({ config, jinja }, path);
}

async function withMetadata<T>(path: string, read: (metadata: TokenizerMetadata) => T): Promise<T> {
  const file = await openGgufFile(path);
  try {
    return read(file.gguf);
  } finally {
    await file.close();
  }
}

/** Writes a trained vocabulary into a model folder, in Hugging Face form. */
export async function saveTokenizer(
  folder: string,
  model: BpeModel,
  options?: { maxLength?: number },
): Promise<void> {
  const files = tokenizerFiles(model, options);
  await writeFileAtomic(join(folder, "tokenizer.json"), files.tokenizer);
  await writeFileAtomic(join(folder, "tokenizer_config.json"), files.config);
}
