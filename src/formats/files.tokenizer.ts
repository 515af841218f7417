import { join } from "node:path";
import { writeFileAtomic } from "./files.atomic.ts";
import { pathExists, readText, readTextIfThere } from "./files.read.ts";
import { tokenizerFiles } from "./tokenizer/hugging-face.ts";
import { readTokenizer } from "./tokenizer/read.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";
import type { BpeModel } from "./tokenizer/train.ts";

/** Whether a model comes with a tokenizer. */
export async function hasTokenizer(folder: string): Promise<boolean> {
  return await pathExists(join(folder, "tokenizer.json"));
}

/** Loads the tokenizer of a model folder: tokenizer.json and, where it is there, tokenizer_config.json. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(folder, "tokenizer.json");
  const config = (await readTextIfThere(join(folder, "tokenizer_config.json"))) ?? "{}";
  return readTokenizer({ tokenizer: await readText(path), config }, path);
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
