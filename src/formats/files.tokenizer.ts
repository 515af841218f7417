import { basename, join } from "node:path";
import { fail } from "../errors.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { readChatTemplate, readGgufChatTemplate } from "./chat-template-files.ts";
import { writeFileAtomic } from "./files.atomic.ts";
import { openGgufFile } from "./files.gguf.ts";
import { pathExists, readText, readTextIfThere } from "./files.read.ts";
import { isGgufPath } from "./gguf/split.ts";
import { readGgufTokenizer, type TokenizerMetadata } from "./tokenizer/gguf.ts";
import { tokenizerFiles } from "./tokenizer/hugging-face.ts";
import { readTokenizer } from "./tokenizer/read.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";
import type { BpeModel } from "./tokenizer/train.ts";

/** Whether a model folder or .gguf file comes with a tokenizer. */
export async function hasTokenizer(path: string): Promise<boolean> {
  if (!isGgufPath(path)) return await pathExists(join(path, "tokenizer.json"));
  return await withMetadata(path, (metadata) => metadata.get("tokenizer.ggml.model") !== undefined);
}

/**
 * Loads the tokenizer of a model: of a folder its tokenizer.json and, where it is there, tokenizer_config.json; of a
 * .gguf file its own vocabulary.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (isGgufPath(path))
    return await withMetadata(path, (metadata) => readGgufTokenizer(metadata, basename(path)));
  const file = join(path, "tokenizer.json");
  if (!(await pathExists(file)) && (await pathExists(join(path, "tokenizer.model"))))
    fail(
      "tokenizer",
      `${path} holds a tokenizer.model and no tokenizer.json`,
      "convert it: transformers' AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes a tokenizer.json",
    );
  const config = (await readTextIfThere(join(path, "tokenizer_config.json"))) ?? "{}";
  return readTokenizer({ tokenizer: await readText(file), config }, file);
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
