/** Which files of a repository on the hub a model needs. */
import { fail } from "../errors.ts";
import { isGgufPath } from "./gguf/split.ts";
import { shardsOf } from "./safetensors.ts";

/** A file as the hub lists it. */
export interface HubFile {
  /** Inside the repository, with "/" between folders. */
  readonly path: string;
  readonly size: number;
  /** SHA-256 of a large file (LFS), in hex; of others the id that git gives them, a SHA-1. */
  readonly hash: string;
}

/** Exact paths, or patterns with * and ?, of what to fetch; with neither, what is needed to run the model, of the GGUF models that of `quant`. */
export interface Wanted {
  /** Such as Q4_K_M: a word of the file's name or of its folder's. */
  readonly quant?: string;
  readonly files?: readonly string[];
  readonly include?: readonly string[];
}

/** The wanted of these files. Errors: "hub", where a wanted file is not there, or where nothing says which of several. */
export function wantedFiles<File extends { readonly path: string }>(
  all: readonly File[],
  { files = [], include = [], quant }: Wanted,
  name: string,
): File[] {
  return files.length + include.length > 0 ? named(all, files, include, name) : needed(all, name, quant);
}

/** The files to fetch. Errors: as {@link wantedFiles}, and "hub" where the hub lists what cannot be a file. */
export function chooseFiles(all: readonly HubFile[], wanted: Wanted, name: string): HubFile[] {
  const chosen = wantedFiles(all, wanted, name);
  for (const { path, hash, size } of chosen) {
    if (!Number.isSafeInteger(size) || size < 0)
      fail("hub", `${name}: the hub gives ${path} the size ${size}`);
    if (!isInside(path))
      fail(
        "hub",
        `${name}: the hub lists ${JSON.stringify(path)}, which is no path inside a folder`,
        "do not use this repository",
      );
    if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash))
      fail("hub", `${name}: the hub gives ${path} the hash ${JSON.stringify(hash)}, which is none`);
  }
  return chosen;
}

function named<File extends { readonly path: string }>(
  all: readonly File[],
  files: readonly string[],
  include: readonly string[],
  name: string,
): File[] {
  const patterns = [...files.map(withParts), ...include].map((pattern) => ({
    pattern,
    matches: glob(pattern),
  }));
  for (const { pattern, matches } of patterns)
    if (!all.some(({ path }) => matches.test(path)))
      fail("hub", `${name} holds no file ${pattern}`, `it holds: ${summary(all)}`);
  return all.filter(({ path }) => patterns.some(({ matches }) => matches.test(path)));
}

/** The first part of a split GGUF model stands for all of its parts. */
function withParts(path: string): string {
  return path.replace(/-00001-of-(\d{5}\.gguf)$/i, "-?????-of-$1");
}

/** What names the shards of a checkpoint. */
export const indexName = "model.safetensors.index.json";

const singleName = "model.safetensors";
const partName = /^(.*)-\d{5}-of-(\d{5})(\.(?:gguf|safetensors))$/is;

/**
 * What is wanted and not among these files, of checkpoints in several: the parts that the number in the names of others promises, and
 * those that a sharded checkpoint's index names.
 *
 * @param index its text, where it is among the files
 */
export function missingParts(
  files: readonly { readonly path: string }[],
  { files: named = [], include = [] }: Wanted,
  index?: string,
): string[] {
  const there = new Set(files.map(({ path }) => path));
  const asked = named.length + include.length > 0;
  const known = asked ? named.filter((path) => withParts(path) !== path) : [...there];
  const isSharded = !asked && !there.has(singleName);
  const expected = [
    ...known.filter((path) => isSharded || isGgufPath(path)).flatMap(allParts),
    ...(isSharded && index !== undefined ? shardsOf(index, indexName) : []),
  ];
  return [...new Set(expected)].filter((path) => !there.has(path)).sort();
}

/** The names of all parts, from that of one. */
function allParts(path: string): string[] {
  const [, stem, count, ending] = partName.exec(path) ?? [];
  return Array.from(
    { length: Number(count ?? 0) },
    (_, i) => `${stem}-${String(i + 1).padStart(5, "0")}-of-${count}${ending}`,
  );
}

/** As the shell and Hugging Face's libraries read them; * crosses folders. */
function glob(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`, "s");
}

const beside = /^[^/]+\.(json|jinja)$|^(tokenizer\.model|merges\.txt|vocab\.txt|LICENSE[^/]*)$/;

function needed<File extends { readonly path: string }>(
  all: readonly File[],
  name: string,
  quant: string | undefined,
): File[] {
  const weights = quant === undefined ? all.filter(({ path }) => /^[^/]+\.safetensors$/.test(path)) : [];
  // Mistral's repositories hold the weights a second time, in another layout.
  const own = weights.filter(({ path }) => path.startsWith("model"));
  if (weights.length > 0)
    return [...all.filter(({ path }) => beside.test(path)), ...(own.length > 0 ? own : weights)];
  const models = ggufModels(all);
  const chosen = quant === undefined ? models : ofQuant(models, quant);
  // In a cache a split model's first part may be what is missing.
  const others = all.filter(({ path }) => isGgufPath(path) && !isCompanion(path));
  if (models.length === 0 && others.length > 0) return others;
  if (models.length === 0)
    fail("hub", `${name} holds neither safetensors nor GGUF files`, `it holds: ${summary(all)}`);
  if (chosen.length === 0)
    fail("hub", `${name} holds no GGUF model of ${quant}`, `choose one of: ${summary(models)}`);
  if (chosen.length > 1) {
    const which = quant === undefined ? "" : ` of ${quant}`;
    fail(
      "hub",
      `${name} holds ${chosen.length} GGUF models${which}`,
      `choose with --file: ${summary(chosen)}`,
    );
  }
  const parts = glob(withParts(chosen[0]!.path));
  return all.filter(({ path }) => parts.test(path));
}

/** GGUF files that are models, of a split one the first part: not image encoders (mmproj) and not importance matrices. */
export function ggufModels<File extends { readonly path: string }>(all: readonly File[]): File[] {
  return all.filter(({ path }) => isGgufPath(path) && !isCompanion(path) && !laterPart.test(path));
}

/** Whether a GGUF file is, by its name, made to stand beside a model. */
export function isCompanion(path: string): boolean {
  return /mmproj|imatrix/i.test(baseName(path));
}

/** A split file's second part or a later one. */
const laterPart = /-(?!00001)\d{5}-of-\d{5}\.gguf$/i;

/** The models with `quant` as a word of their name, or of their folder's; rather those where no longer word holds it (UD-Q4_K_M). */
export function ofQuant<File extends { readonly path: string }>(
  models: readonly File[],
  quant: string,
): File[] {
  const word = quant.replace(/[.+^${}()|[\]\\*?]/g, "\\$&");
  const matching = (before: string): File[] =>
    models.filter(({ path }) => new RegExp(`(^|${before})${word}(?=[-./]|$)`, "i").test(path));
  const all = matching("[-_./]");
  const plain = all.filter(({ path }) => !new RegExp(`(^|[-_./])ud-${word}(?=[-./]|$)`, "i").test(path));
  return plain.length > 0 ? plain : all;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function summary(files: readonly { readonly path: string }[]): string {
  const most = 30;
  const names = files.slice(0, most).map(({ path }) => path);
  return names.join(", ") + (files.length > most ? ` and ${files.length - most} more` : "");
}

/** Whether a path stays inside the folder it is joined to, on every system. */
function isInside(path: string): boolean {
  const parts = path.split("/");
  const control = [...path].some((character) => character < " " || (character > "~" && character < "\u00a0"));
  return (
    !control && !/[\\:]/.test(path) && parts.every((part) => part !== "" && part !== "." && part !== "..")
  );
}
