import { fail } from "../errors.ts";
import { loadTokenizer, pathExists } from "../formats/files.ts";
import type { Tokenizer } from "../formats/index.ts";
import { type Decoder, loadModel } from "../models/index.ts";
import type { Device, Precision } from "../tensor/index.ts";
import { idList } from "./options.ts";

/** Checks the precision option. */
export function precisionOf(name: string): Precision {
  return name === "f32" || name === "bf16"
    ? name
    : fail("usage", `--precision takes bf16 or f32, not ${JSON.stringify(name)}`);
}

/** A model folder's weights. */
export async function openModel(folder: string, device: Device): Promise<Decoder> {
  if (!(await pathExists(folder))) fail("file-missing", `${folder}: there is no such model folder`);
  return await loadModel(folder, device);
}

/** The tokens that a command was given, as text or as ids. */
export async function promptIds(
  folder: string,
  prompt: string | undefined,
  ids: string | undefined,
): Promise<{ ids: number[]; tokenizer: Tokenizer | null }> {
  if ((prompt === undefined) === (ids === undefined))
    fail("usage", "give either a prompt or --ids, and not both");
  if (ids !== undefined) {
    const tokenizer = (await pathExists(`${folder}/tokenizer.json`)) ? await loadTokenizer(folder) : null;
    return { ids: idList(ids), tokenizer };
  }
  const tokenizer = await loadTokenizer(folder);
  const encoded = [...tokenizer.encode(prompt ?? "", { addSpecial: true })];
  if (encoded.length === 0) fail("usage", "the prompt is empty");
  return { ids: encoded, tokenizer };
}
