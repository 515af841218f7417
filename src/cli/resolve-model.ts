import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fail } from "../errors.ts";
import { cachedSnapshot, type HubModel, listFolder, parseHubModel, pathExists } from "../formats/files.ts";
import { isGgufPath } from "../formats/index.ts";
import { modelArgument } from "./options.ts";
import { commandLine } from "./output.ts";

/**
 * The path of a model: what a verb was given as a folder, a file, ORG/NAME[@REVISION] in the hub's cache, or
 * ORG/NAME/FILE.gguf there. A folder that holds no config.json but one GGUF model is that model. Errors: "file-missing",
 * with `remedy` where there is a better one than to pull.
 */
export async function resolveModel(argument: string, remedy?: string): Promise<string> {
  if (await pathExists(argument)) return await modelIn(argument, argument);
  const wanted = parseArgument(argument);
  if (!wanted)
    fail("file-missing", `${argument}: there is no such folder or file`, remedy ?? `give a ${modelArgument}`);
  const { model, file } = wanted;
  const snapshot = await cachedSnapshot(model);
  const words = [model.name, ...(model.revision === "main" ? [] : ["--revision", model.revision])];
  const pull = commandLine("pull", ...words, ...(file === undefined ? [] : ["--file", file]));
  if (snapshot === undefined)
    fail(
      "file-missing",
      `${argument}: there is no such folder or file, and no model of that name in the hub's cache`,
      `fetch it with: ${pull}${remedy === undefined ? "" : `; ${remedy}`}`,
    );
  if (file === undefined) return await modelIn(snapshot, argument);
  const path = join(snapshot, file);
  if (!(await pathExists(path)))
    fail("file-missing", `${argument}: the file was not pulled`, `fetch it with: ${pull}`);
  return path;
}

/** ORG/NAME[@REVISION] or ORG/NAME/FILE.gguf[@REVISION]. */
function parseArgument(text: string): { model: HubModel; file?: string } | undefined {
  const model = parseHubModel(text);
  if (model) return { model };
  const match = /^([^/@]+\/[^/@]+)\/([^@]+\.gguf)(@.+)?$/i.exec(text);
  const of = match ? parseHubModel(match[1] + (match[3] ?? "")) : undefined;
  if (!of || match![2].split(/[\\/]/).includes("..")) return undefined;
  return { model: of, file: match![2] };
}

/** The model of a folder: the folder itself, or the one GGUF model that it holds instead. */
async function modelIn(path: string, argument: string): Promise<string> {
  if (!(await stat(path)).isDirectory()) {
    if (isGgufPath(path)) return path;
    fail(
      "usage",
      `${argument} is neither a model folder nor a .gguf file`,
      /\.(safetensors|json)$/.test(path)
        ? `give the folder that it is in: ${dirname(argument)}`
        : "give the folder that holds config.json and the weights",
    );
  }
  if (await pathExists(join(path, "config.json"))) return path;
  const names = await listFolder(path);
  if (names.includes("run.json"))
    fail(
      "file-missing",
      `${argument} holds a run that has not ended, and no model yet`,
      `go on with: ${commandLine("train", "--resume", argument)}`,
    );
  const files = names.filter(isGgufPath);
  const models = files.filter((name) => !laterPart.test(name));
  if (models.length === 0)
    fail(
      "file-missing",
      `${argument} holds neither config.json nor a GGUF model`,
      "give the folder that holds config.json and the weights",
    );
  if (models.length > 1)
    fail(
      "usage",
      `${argument} holds ${models.length} GGUF models: ${models.join(", ")}`,
      `name one: ${argument}/${models[0]}`,
    );
  return join(path, models[0]!);
}

/** A split file's second part or a later one. */
const laterPart = /-(?!00001)\d{5}-of-\d{5}\.gguf$/i;
