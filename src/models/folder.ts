/**
 * Models on disk: folders in Hugging Face form, and GGUF files. The file readers and writers are loaded when they are called, so
 * that this module can be part of a program for browsers.
 */
import { type GgufStore, isGgufPath, parseJson } from "../formats/index.ts";
import type { Device } from "../tensor/index.ts";
import { modelTensors, type ReadOptions, readModel, type WeightPrecision } from "./checkpoint.ts";
import type { Decoder } from "./decoder.ts";
import { describeConfig } from "./families.ts";
import { type GenerationDefaults, readGenerationConfig, readOldGenerationKeys } from "./generation-config.ts";
import { ggufConfig, readGguf } from "./gguf/model.ts";
import { configText } from "./hf-config.ts";

export interface SaveOptions {
  /** Of the weights in the file; default f32. */
  readonly precision?: WeightPrecision;
  /** Files to write beside the model, by name, such as tokenizer.json. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Reads a model: a folder with config.json and the weights (one file or shards), or a .gguf file (the first, where
 * it is split). Errors: "file-missing", "file-damaged", "model", "config".
 */
export async function loadModel(
  path: string,
  device: Device,
  options: Pick<ReadOptions, "weights"> = {},
): Promise<Decoder> {
  if (isGgufPath(path)) return await withGguf(path, async (store) => readGguf(store, path, device, options));
  const { openTensors } = await import("../formats/files.safetensors.ts");
  const file = `${path}/config.json`;
  const config = await readConfig(file);
  const store = await openTensors(path);
  try {
    const model = await readModel(config, store, device, { ...options, source: file });
    model.generation = await readGeneration(path, config as Readonly<Record<string, unknown>>, model);
    return model;
  } finally {
    await store.close();
  }
}

/** generation_config.json, or where there is none, what old files say of generation in config.json. */
async function readGeneration(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  model: Decoder,
): Promise<GenerationDefaults> {
  const { readTextIfThere } = await import("../formats/files.read.ts");
  const file = `${folder}/generation_config.json`;
  const text = await readTextIfThere(file);
  return text === undefined
    ? readOldGenerationKeys(config, `${folder}/config.json`)
    : readGenerationConfig(parseJson(text, file), file, model.config.eosIds);
}

/**
 * Reads a config.json, or that of a folder, or the metadata of a .gguf file, alone: the model has shapes but no
 * memory, enough to count it. Errors as {@link loadModel}.
 */
export async function describeModel(path: string): Promise<Decoder> {
  if (isGgufPath(path))
    return await withGguf(path, async (store) => describeConfig(await ggufConfig(store, path), path));
  const file = path.endsWith(".json") ? path : `${path}/config.json`;
  return describeConfig(await readConfig(file), file);
}

async function withGguf<T>(path: string, use: (store: GgufStore) => Promise<T>): Promise<T> {
  const { openGgufFile } = await import("../formats/files.gguf.ts");
  const store = await openGgufFile(path);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

async function readConfig(file: string): Promise<unknown> {
  const { readJson } = await import("../formats/files.read.ts");
  return readJson(file);
}

/** What is written as generation_config.json: the file that the model came with, or its ids and the sampling that its file asks for. */
function generationJson({ config, generation }: Decoder): Readonly<Record<string, unknown>> {
  if (generation.json) return generation.json;
  const { bosId, eosIds, padId } = config;
  const draws = generation.sampling.temperature !== undefined && generation.sampling.temperature > 0;
  const json = {
    bos_token_id: bosId,
    eos_token_id: eosIds.length === 1 ? eosIds[0] : eosIds,
    pad_token_id: padId,
    ...(draws && { do_sample: true }),
    ...generation.taken,
  };
  return Object.fromEntries(
    Object.entries(json).filter(
      ([, value]) => value !== null && !(Array.isArray(value) && value.length === 0),
    ),
  );
}

/**
 * Writes config.json, generation_config.json, model.safetensors and `files` into `folder`, each whole or
 * not at all; a generation_config.json that the model was read with is kept. Returns the keys of the config that other libraries will not obey (they stand under
 * `conclave` in config.json): none for a plain Mixtral or Mistral. Errors: "disk".
 */
export async function saveModel(
  folder: string,
  model: Decoder,
  options: SaveOptions = {},
): Promise<readonly string[]> {
  const { writeFileAtomic } = await import("../formats/files.atomic.ts");
  const { writeTensors } = await import("../formats/files.safetensors.ts");
  const { precision = "f32", files = {} } = options;
  const config = { ...model.configJson(), torch_dtype: precision === "bf16" ? "bfloat16" : "float32" };
  const generationText = `${JSON.stringify(generationJson(model), null, 2)}\n`;
  await writeTensors(`${folder}/model.safetensors`, modelTensors(model, precision));
  await writeFileAtomic(`${folder}/config.json`, configText(config));
  await writeFileAtomic(`${folder}/generation_config.json`, generationText);
  for (const [name, text] of Object.entries(files)) await writeFileAtomic(`${folder}/${name}`, text);
  return model.beyondFamily();
}
