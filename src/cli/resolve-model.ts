import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fail } from "../errors.ts";
import {
  cachedSnapshot,
  type HubArgument,
  listFolder,
  parseHubArgument,
  pathExists,
} from "../formats/files.ts";
import { ggufModels, isCompanion, isGgufPath, ofQuant } from "../formats/index.ts";
import { modelArgument } from "./options.ts";
import { commandLine } from "./output.ts";

/**
 * The path of a model: what a verb was given as a folder, a file, ORG/NAME[:QUANT][@REVISION] in the hub's cache, or a path inside such a
 * repository. A folder that holds no config.json but one GGUF model, itself or in its folders, is that model. Errors: "file-missing",
 * with `remedy` where there is a better one than to pull.
 */
export async function resolveModel(argument: string, remedy?: string): Promise<string> {
  if (await pathExists(argument)) return await modelIn(argument, argument);
  const wanted = parseHubArgument(argument);
  if (!wanted)
    fail("file-missing", `${argument}: there is no such folder or file`, remedy ?? `give a ${modelArgument}`);
  const { model, quant, path } = wanted;
  const snapshot = await cachedSnapshot(model);
  if (snapshot === undefined)
    fail(
      "file-missing",
      `${argument}: there is no such folder or file, and no model of that name in the hub's cache`,
      `fetch it with: ${pullOf(wanted)}${remedy === undefined ? "" : `; ${remedy}`}`,
    );
  if (path === undefined) return await modelIn(snapshot, argument, wanted, quant);
  const inside = join(snapshot, path);
  if (!(await pathExists(inside)))
    fail("file-missing", `${argument}: the file was not pulled`, `fetch it with: ${pullOf(wanted)}`);
  return await modelIn(inside, argument, wanted);
}

/** The command that fetches what was named. */
function pullOf({ model, quant, path }: HubArgument): string {
  const name = quant === undefined ? model.name : `${model.name}:${quant}`;
  const words = [name, ...(model.revision === "main" ? [] : ["--revision", model.revision])];
  if (path === undefined) return commandLine("pull", ...words);
  return isGgufPath(path)
    ? commandLine("pull", ...words, "--file", path)
    : commandLine("pull", ...words, "--include", `${path}/*`);
}

/** The model of a folder: the folder itself, or the one GGUF model that it holds instead. */
async function modelIn(path: string, argument: string, hub?: HubArgument, quant?: string): Promise<string> {
  if (!(await stat(path)).isDirectory()) {
    if (isGgufPath(path)) return path;
    if (slice.test(path))
      fail(
        "usage",
        `${argument} is a slice of a .gguf file`,
        "join the slices in order, as with cat, into one file that ends in .gguf, and give that",
      );
    fail(
      "usage",
      `${argument} is neither a model folder nor a .gguf file`,
      /\.(safetensors|json)$/.test(path)
        ? `give the folder that it is in: ${dirname(argument)}`
        : "give the folder that holds config.json and the weights",
    );
  }
  if (quant === undefined && (await pathExists(join(path, "config.json")))) return path;
  const names = await listFolder(path);
  if (names.includes("run.json"))
    fail(
      "file-missing",
      `${argument} holds a run that has not ended, and no model yet`,
      `go on with: ${commandLine("train", "--resume", argument)}`,
    );
  const models = await modelsIn(path, quant);
  if (models.length === 0) await refuseEmpty(path, argument, hub, quant);
  if (models.length > 1)
    fail(
      "usage",
      `${argument} holds ${models.length} GGUF models: ${models.join(", ")}`,
      `name one: ${inside(argument, models[0]!, hub)}`,
    );
  return join(path, models[0]!);
}

/** How a reader names a file of what was named. */
function inside(argument: string, file: string, hub: HubArgument | undefined): string {
  if (!hub) return `${argument.replace(/\/+$/, "")}/${file}`;
  const { model, path } = hub;
  const revision = model.revision === "main" ? "" : `@${model.revision}`;
  return `${[model.name, ...(path === undefined ? [] : [path]), file].join("/")}${revision}`;
}

/** A piece of a file that was cut for upload, as TheBloke's and mradermacher's are: such are joined as they are. */
const slice = /\.gguf[-.](split-[a-z]+|part[-.]?\w+)$/i;

/** Folders below a folder that are looked into: repositories have a folder for each quantisation. */
const deepest = 2;

/** The GGUF models of a folder, or where it holds none itself, those of its folders. */
async function modelsIn(path: string, quant: string | undefined): Promise<string[]> {
  const own = ggufModels((await listFolder(path)).map((name) => ({ path: name })));
  if (own.length > 0 && quant === undefined) return own.map((one) => one.path);
  const all = ggufModels((await filesBelow(path, "", deepest)).map((name) => ({ path: name })));
  return (quant === undefined ? all : ofQuant(all, quant)).map((one) => one.path);
}

async function filesBelow(root: string, folder: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (!entry.isDirectory()) found.push(name);
    else if (depth > 0 && !entry.name.startsWith("."))
      found.push(...(await filesBelow(root, name, depth - 1)));
  }
  return found.sort();
}

/** Says what a folder without a model holds instead. */
async function refuseEmpty(
  path: string,
  argument: string,
  hub: HubArgument | undefined,
  quant: string | undefined,
): Promise<never> {
  const files = await filesBelow(path, "", deepest);
  const companions = files.filter((name) => isGgufPath(name) && isCompanion(name));
  const slices = files.filter((name) => slice.test(name));
  if (quant !== undefined)
    fail(
      "file-missing",
      `${argument}: no GGUF model of ${quant} was pulled`,
      hub && `fetch it with: ${pullOf(hub)}`,
    );
  if (slices.length > 0)
    fail(
      "file-missing",
      `${argument} holds a .gguf file cut into slices: ${slices.join(", ")}`,
      "join the slices in order, as with cat, into one file that ends in .gguf, and give that",
    );
  if (companions.length > 0)
    fail(
      "file-missing",
      `${argument} holds no model, only what stands beside one: ${companions.join(", ")}`,
      "mmproj files encode images and imatrix files are for quantising: fetch the model's own .gguf file",
    );
  return fail(
    "file-missing",
    `${argument} holds neither config.json nor a GGUF model`,
    "give the folder that holds config.json and the weights",
  );
}
